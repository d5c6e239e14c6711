"""A parsed record in the template's terms: identity, time, values beside what was given, pictures,
duplicates.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.elements import Flag, ImageRow, RawRecord, Record, Reject, decoder, encode
from schemas.loading import parse_template
from schemas.reasons import Effect, reason
from transforms.extraction.cells import given_text, is_null
from transforms.items.identity import content_digest
from transforms.normalise.picture_rows import normalise_image_row
from transforms.normalise.pictures import PictureAccess, content_reference
from transforms.normalise.records import Normaliser

SHOP = parse_template(
    """
name: shop
version: 1.0.0
record:
  id: [sku, id]
  event_ts: [changed, created]
  null_values: ["", "N/A", no_selection]
  images:
    columns: [photo, more_photos]
    separator: ","
    strip_prefix: /
    table: {id: sku, image: file}
columns:
  extra: {format: pairs}
  groups: {format: list, path_separator: /, ignore: [Root]}
attributes:
  - {name: title, type: string, role: title, from: [name, titles.en, titles.de]}
  - {name: titles, type: localized, from: titles}
  - {name: about, type: string, role: text, from: text}
  - {name: color, type: enum, from: [extra.color, color], values: [Red, Blue]}
  - {name: material, type: multi_enum, from: extra.material, values: [Wool, Cotton]}
  - {name: group, type: category, from: groups, values: [Men > Tees, Gear]}
  - {name: weight, type: number, unit: g, min: 0, from: net}
  - {name: volume, type: number, unit: ml, min: 0, from: net}
  - {name: stock, type: boolean, from: stock}
  - {name: ean, type: identifier, scheme: gtin, from: ean}
  - {name: season, type: enum, values: [Summer, Winter], fill: true}
""",
    "test",
)
RAW = RawRecord(b"{}\n", "jsonl", "shop.jsonl", 7)
NORMALISER = Normaliser(SHOP)


def record(**cells: Any) -> Record:
    """The normalised record of these cells, which have to have a usable id."""
    result = NORMALISER.normalise(RAW, {"sku": "a", **cells})
    assert isinstance(result, Record)
    return result


def reasons(result: Record) -> list[tuple[str, str]]:
    return [(flag.reason, flag.field) for flag in result.flags]


@pytest.mark.parametrize(
    ("cell", "item_id"), [("a-1", "a-1"), (" a-1 ", "a-1"), (7, "7"), (0, "0"), (2**70, str(2**70))]
)
def test_ids_are_text_or_whole_numbers(cell: Any, item_id: str) -> None:
    """Text keeps its form but for space around it; whole numbers become their digits."""
    result = NORMALISER.normalise(RAW, {"sku": cell})
    assert isinstance(result, Record)
    assert result.item_id == item_id


@pytest.mark.parametrize(
    ("cells", "reason_id"),
    [
        ({}, "missing-id"),
        ({"sku": None, "id": " "}, "missing-id"),
        ({"sku": "n/a"}, "missing-id"),
        ({"sku": []}, "missing-id"),
        ({"sku": True}, "id-wrong-type"),
        ({"sku": 7.5}, "id-wrong-type"),
        ({"sku": ["a"]}, "id-wrong-type"),
        ({"sku": {"a": 1}}, "id-wrong-type"),
        ({"sku": "a\x00b"}, "id-invalid"),
        ({"sku": "a\nb"}, "id-invalid"),
        ({"sku": "x" * 513}, "id-invalid"),
        ({"sku": 10**5000}, "id-invalid"),
    ],
)
def test_records_without_a_usable_id_are_set_aside(cells: dict[str, Any], reason_id: str) -> None:
    """Each kind of unusable id has its own reason, and the raw record goes along."""
    result = NORMALISER.normalise(RAW, cells)
    assert isinstance(result, Reject)
    assert (result.reason, result.stage, result.raw) == (reason_id, "normalise", RAW)
    assert result.field in ("sku", "sku or id")


def test_the_second_id_column_counts_when_the_first_is_empty() -> None:
    """Id columns are tried in the template's order."""
    result = NORMALISER.normalise(RAW, {"sku": "", "id": 7})
    assert isinstance(result, Record)
    assert result.item_id == "7"


def test_values_stand_beside_what_was_given() -> None:
    """The source's cell stays as it wrote it; the value is the normalised form."""
    result = record(
        name=" <b>Mug</b> ",
        net="0.5 kg",
        titles={"de": "Becher"},
        extra="color=red,material=Wool|Silk,x=1",
    )
    assert result.values == {
        "title": "Mug", "titles": {"de": "Becher"}, "color": "Red", "material": ["Wool"], "weight": 500.0,
    }  # fmt: skip
    assert result.given == {
        "title": " <b>Mug</b> ",
        "titles": '{"de":"Becher"}',
        "color": "red",
        "material": "Wool|Silk",
        "weight": "0.5 kg",
    }
    assert reasons(result) == [("value-not-in-list", "material")]


def test_the_first_column_with_something_wins() -> None:
    """Null columns and cells of which nothing remains are passed over; a wrong cell is not."""
    assert record(name="n/a", titles={"en": "", "de": "Becher"}).values["title"] == "Becher"
    assert record(name="<p></p>", titles={"en": "Mug"}).given["title"] == "Mug"
    wrong = record(extra="color=mauve", color="red")
    assert "color" not in wrong.values
    assert wrong.given["color"] == "mauve"


def test_a_cell_without_the_keys_it_should_have_is_flagged() -> None:
    """Where an object is expected and something else stands, the cell is kept as given and the flag
    says so.
    """
    result = record(titles=["Mug"], color="red")
    assert result.given["title"] == '["Mug"]'
    assert reasons(result) == [("value-wrong-type", "title"), ("value-wrong-type", "titles")]


def test_a_cell_of_pairs_without_a_pair_is_flagged() -> None:
    """Text where key=value pairs should stand is kept as given, and the flag shows what a pair
    looks like.
    """
    result = record(extra="colour red", color="red")
    assert result.given == {"color": "colour red", "material": "colour red"}
    assert reasons(result) == [("value-wrong-type", "color"), ("value-wrong-type", "material")]
    expected = (
        "extra is 'colour red' and holds no color; write pairs such as color=value, parted by ','"
    )
    assert result.flags[0].detail == expected
    assert record(name="Mug", extra="x=1").flags == record(name="Mug", extra=" N/A ").flags == ()


def test_the_source_of_each_cell_is_kept() -> None:
    """The source that gave a cell is named as the template writes it, valid or not; the digest does
    not cover it.
    """
    result = record(titles={"de": "Becher"}, color="red", stock="perhaps")
    assert result.origins == {
        "title": "titles.de",
        "titles": "titles",
        "color": "color",
        "stock": "stock",
    }
    assert set(result.origins) == set(result.given)
    assert content_digest(replace(result, origins={})) == content_digest(result)


def test_categories_come_from_all_given_paths() -> None:
    """Ignored roots vanish, and the deepest known path wins over the shop's other paths."""
    assert record(groups="Root/Sale,Root/Men/Tees,Root").values["group"] == "Men > Tees"


def test_one_column_can_feed_a_weight_and_a_volume() -> None:
    """An amount goes to the attribute that it fits, without a flag at the other."""
    volume = record(net="1l")
    assert (volume.values, volume.given, volume.flags) == ({"volume": 1000.0}, {"volume": "1l"}, ())
    assert reasons(record(net="much")) == [
        ("value-wrong-type", "weight"),
        ("value-wrong-type", "volume"),
    ]


def test_event_times() -> None:
    """The first column with something counts; what is no time is flagged and left out."""
    assert record(changed="1970-01-02").event_ts_us == 86_400_000_000
    assert record(changed="", created="1970-01-02").event_ts_us == 86_400_000_000
    wrong = record(changed="soon", name="Mug")
    assert (wrong.event_ts_us, reasons(wrong)) == (None, [("event-ts-invalid", "event_ts")])


def test_picture_references() -> None:
    """Several columns, lists and separated cells give one list in order, each picture once, without
    the prefix.
    """
    result = record(photo="/a/1.jpg", more_photos="/b/2.jpg, /a/1.jpg,no_selection,,c.jpg")
    assert result.image_refs == ("a/1.jpg", "b/2.jpg", "c.jpg")
    assert record(photo=["1.jpg", None, "2,3.jpg"]).image_refs == ("1.jpg", "2,3.jpg")
    odd = record(photo=["1.jpg", 7, {"url": "x"}])
    assert odd.image_refs == ("1.jpg",)
    assert reasons(odd) == [("value-wrong-type", "images")] * 2
    assert odd.flags[0].detail.startswith("photo: 7 is not an image reference")


def test_an_id_and_nothing_else() -> None:
    """Nulls everywhere leave an item that says so."""
    assert reasons(record(name=None, extra="", other="x")) == [("no-content", "")]
    assert reasons(record(photo="1.jpg")) == []


@pytest.mark.parametrize(
    ("cell", "held", "paths"),
    [
        (b"one", [b"one"], ()),
        ({"bytes": b"one", "path": "x.jpg"}, [b"one"], ()),
        ({"bytes": None, "path": "/a/1.jpg"}, [], ("a/1.jpg",)),
        ("data:image/png;base64,b25l", [b"one"], ()),
        ("data:,one", [b"one"], ()),
        ([{"bytes": b"one", "path": None}, {"bytes": b"two", "path": None}], [b"one", b"two"], ()),
        (["/a/1.jpg", None, "2.jpg", "2.jpg"], [], ("a/1.jpg", "2.jpg")),
        ([b"one", "2.jpg"], [b"one"], ("2.jpg",)),
    ],
)
def test_rows_of_the_image_table_may_hold_pictures(
    cell: Any, held: list[bytes], paths: tuple[str, ...]
) -> None:
    """Bytes, structures with them, data: addresses and lists are read as they are in records."""
    kept: list[bytes] = []

    def keep(data: bytes) -> str:
        kept.append(data)
        return content_reference(data)

    access = PictureAccess(keep=keep)
    row = normalise_image_row(SHOP, RAW, {"sku": 7, "file": cell}, access)
    assert isinstance(row, ImageRow)
    assert kept == held
    assert row.paths == (*map(content_reference, held), *paths)


def test_rows_of_the_image_table() -> None:
    """Rows name an item and a picture, prefix removed; a row that lacks one of them is set aside."""
    row = normalise_image_row(SHOP, RAW, {"sku": 7, "file": "/a/1.jpg"})
    assert row == ImageRow("7", "a/1.jpg", RAW)
    for cells in (
        {"file": "1.jpg"},
        {"sku": "7"},
        {"sku": "7", "file": "no_selection"},
        {"sku": "7", "file": ["1.jpg", 7]},
        {"sku": "7", "file": b""},
        {"sku": "7", "file": {"bytes": None, "path": None}},
        {"sku": "7", "file": "data:image/png;base64,%%%"},
    ):
        rejected = normalise_image_row(SHOP, RAW, cells)
        assert isinstance(rejected, Reject)
        assert rejected.reason == "image-table-row-invalid"
    bad_id = normalise_image_row(SHOP, RAW, {"sku": 1.5, "file": "1.jpg"})
    assert isinstance(bad_id, Reject)
    no_table = SHOP.model_copy(
        update={"record": SHOP.record.model_copy(update={"images": type(SHOP.record.images)()})}
    )
    with pytest.raises(ValueError, match="no image table"):
        normalise_image_row(no_table, RAW, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)
LIKELY = st.sampled_from(
    [
        "Red",
        "color=Red,material=Wool|x",
        "Root/Men/Tees,Root",
        "1l",
        "4006381333931",
        "<p>&amp;</p>",
        "N/A",
    ]
)
COLUMNS = sorted({*SHOP.mapped_columns, "unknown"})
ROWS = st.dictionaries(
    st.sampled_from(COLUMNS), JSON | LIKELY | st.dictionaries(st.sampled_from(["en", "de"]), JSON)
)
NULLS = frozenset(["", "n/a", "no_selection"])
READ_WHOLE = {"titles": "titles", "text": "about", "stock": "stock", "ean": "ean"}


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_any_cells_give_a_record_or_a_registered_reason(cells: dict[str, Any]) -> None:
    """Nothing raises; every flag is registered; what the source gave is kept to the letter; the
    element serialises.
    """
    result = NORMALISER.normalise(RAW, cells)
    if isinstance(result, Reject):
        assert reason(result.reason).effects == (Effect.QUARANTINE,)
        return
    assert all(reason(flag.reason).effects == (Effect.FLAG,) for flag in result.flags)
    assert set(result.values) <= set(result.given)
    for name in set(result.given) - set(result.values):
        assert any(flag.field == name for flag in result.flags)
    for column, name in READ_WHOLE.items():
        cell = cells.get(column)
        if name in result.given:
            assert result.given[name] == given_text(cell)
        elif not is_null(cell, NULLS):
            assert isinstance(
                cell, str | list | dict
            )  # markup, invisible characters or nulls that leave nothing
    assert decoder(Record).decode(encode(result)) == result
    assert content_digest(result) == content_digest(
        replace(result, raw=replace(RAW, position=99), flags=())
    )


@given(st.lists(ROWS, min_size=2, max_size=6))
@settings(max_examples=200, deadline=None)
def test_no_record_shows_what_was_read_before(rows: list[dict[str, Any]]) -> None:
    """A record is the same whatever records came before it, and nothing of it is shared that could
    be changed in another.
    """
    used = Normaliser(SHOP)
    found = [used.normalise(RAW, {"sku": "a", **cells}) for cells in (*rows, *rows)]
    alone = [Normaliser(SHOP).normalise(RAW, {"sku": "a", **cells}) for cells in rows]
    assert list(map(repr, found)) == list(map(repr, alone * 2))  # NaN equals none
    changeable = [
        id(value)
        for each in found
        if isinstance(each, Record)
        for value in each.values.values()
        if isinstance(value, list | dict)
    ]
    assert len(changeable) == len(set(changeable))


def test_the_digest_covers_what_the_record_says() -> None:
    """Id, values, given cells, pictures and event time shape the digest; the order of columns does
    not.
    """
    base = record(name="Mug", color="red")
    assert content_digest(base) == content_digest(record(color="red", name="Mug"))
    different = [
        record(name="Mug"), record(name="Mug ", color="red"), record(name="Mug", color="red", photo="1.jpg"),
        record(name="Mug", color="red", changed="1970-01-02"), replace(base, item_id="b"),
    ]  # fmt: skip
    assert len({content_digest(each) for each in [base, *different]}) == 6


def test_flags_are_plain_elements() -> None:
    """A flag names the reason, the attribute and what is wrong."""
    (flag,) = record(stock="perhaps").flags
    expected = "'perhaps' is neither yes nor no; allowed: yes, true, 1, no, false, 0"
    assert flag == Flag("value-wrong-type", "stock", expected)


@given(st.integers(0, 2**53 - 1))
def test_ids_that_became_floats(number):
    """An id is the same, whether it comes as a number, as a float of it, or as text."""
    ids = {
        NORMALISER.normalise(RAW, {"sku": cell}).item_id
        for cell in (number, float(number), str(number), Decimal(number))
    }
    assert ids == {str(number)}


@pytest.mark.parametrize(
    ("cell", "item_id", "is_flagged"),
    [
        (2.0**53, "9.007199254740992e+15", True),
        (1.2345e17, "1.2345e+17", True),
        ("1.23457E+17", "1.23457E+17", True),
        ("4E+12", "4E+12", True),
        ("A+12", "A+12", False),
        ("1E5", "1E5", False),
        ("12.0", "12.0", False),
        (Decimal("12345678901234567890.0"), "12345678901234567890", False),
    ],
)
def test_ids_that_lost_digits(cell, item_id, is_flagged):
    """An id that lost digits is kept as it is written, and flagged; no digits are made up."""
    record = NORMALISER.normalise(RAW, {"sku": cell})
    assert record.item_id == item_id
    assert [flag.reason for flag in record.flags if flag.reason == "code-lost-digits"] == (
        ["code-lost-digits"] * is_flagged
    )


@pytest.mark.parametrize("cell", [12.5, Decimal("0.5"), float("inf"), Decimal("1e999999999")])
def test_fractions_are_no_ids(cell):
    """A number with a fraction, or of no size that an id has, is refused."""
    rejected = NORMALISER.normalise(RAW, {"sku": cell})
    assert rejected.reason == "id-wrong-type"


SPARSE = """
name: sparse
version: 1.0.0
record: {id: sku, images: {columns: ["image_{n}"]}}
columns:
  "Attribute {n} value": {name_from: "Attribute {n} name"}
attributes:
  - {name: title, type: string, role: title, from: [name, details.title]}
  - {name: color, type: string, from: "Attribute {n} value.Color"}
  - {name: weight, type: number, unit: g, from: [weight, Item Weight]}
  - {name: price, type: money, from: price}
"""
SPARSE_CELLS = {
    "name": "Mug",
    "NAME": "Cup",
    "details": {"title": "Pot"},
    "image_2": "b.jpg",
    "image_1": "a.jpg",
    "Attribute 1 name": "Color",
    "Attribute 1 value": "Red",
    "weight": "1.5",
    "g:Item Weight": "2",
    "weight_unit": "kg",
    "height_unit": "cm",
    "height": "9",
    "units": "lb",
    "price": "12",
    "price_currency": "EUR",
    "cost_currency": "USD",
    "cost": "5",
    "community": "x",
    "more": "y",
}


@given(
    st.lists(
        st.lists(st.sampled_from(sorted(SPARSE_CELLS)), unique=True, max_size=12),
        min_size=1,
        max_size=12,
    )
)
def test_keys_of_other_records_and_other_columns_change_nothing(keys):
    """LAW: a record is read alike whatever records came before it with other keys, and whatever
    columns stand beside that the template does not mean.
    """
    template = parse_template(SPARSE, "t.yaml")
    shared = Normaliser(template)
    for number, names in enumerate(keys):
        cells = {"sku": f"s{number}", **{name: SPARSE_CELLS[name] for name in names}}
        among = {"extra": "1", **cells, "Length (cm)": "5", "of_all": "z"}
        alone = Normaliser(template).normalise(RAW, cells)
        assert shared.normalise(RAW, cells) == alone
        assert shared.normalise(RAW, among) == alone

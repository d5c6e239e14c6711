"""Protocols: what is run on, hidden and true is what was asked for; what does not fit is refused
with the fix.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.configuration.errors import ConfigError
from pipelines.evaluation.judge import same_text
from pipelines.evaluation.protocols.catalogs import Request, Trial, first_by_hash, reference_labels
from pipelines.evaluation.protocols.implicitave import department_group
from pipelines.evaluation.protocols.registry import PROTOCOLS
from pipelines.evaluation.truth import read_truth
from schemas.loading import load_template, parse_template
from tests.support import DATA, ROOT, needs_data
from transforms.readers import ReadLimits

TEMPLATE = parse_template(
    """
name: shop
version: 1.0.0
record: {id: sku}
columns: {more: {format: pairs}, path: {format: path, separator: "/"}}
attributes:
  - {name: title, type: string, role: title, from: title}
  - {name: color, label: Colour, type: enum, from: [color, more.color], values: [Red, {value: Blue, synonyms: [navy]}], absent: [none], fill: true}
  - {name: weight, type: number, unit: g, from: weight, fill: true}
  - {name: tags, type: multi_enum, from: more.tags, values: [new, sale, eco], fill: true}
  - {name: category, type: category, from: path, values: [{value: Plants > Oat milk, synonyms: [Packages > Oat Milk]}], fill: true}
  - {name: note, type: string, fill: true}
""",
    "shop",
)
WDC = """
name: offers
version: 1.0.0
record: {id: id}
attributes:
  - {name: title, type: string, role: title, from: title}
  - {name: brand, label: Brand, type: string, from: Brand, absent: [n/a], fill: true}
  - {name: colors, type: string, from: Color(s), absent: [n/a], fill: true}
"""
AVE = """
name: ave
version: 1.0.0
record: {id: id}
attributes:
  - {name: title, type: string, role: title, from: title}
  - {name: home_shape, type: enum, from: Home/Shape, values: [Oval, Square], fill: true}
  - {name: jewelry_shape, type: enum, from: Clothing_Shoes_and_Jewelry/Shape, values: [Oval, Heart], fill: true}
"""


def lines(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def read_back(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def request(
    tmp_path: Path,
    catalog: Iterable[dict[str, Any]],
    truth: Iterable[dict[str, Any]] | None,
    **more: Any,
) -> Request:
    return Request(
        template=more.pop("template", TEMPLATE),
        catalog=(lines(tmp_path / "in.jsonl", catalog),),
        work=tmp_path / "work",
        truth=None if truth is None else lines(tmp_path / "true.jsonl", truth),
        **more,
    )


def refused(protocol: str, asked: Request) -> str:
    with pytest.raises(ConfigError) as caught:
        PROTOCOLS[protocol](asked)
    return str(caught.value)


def hidden(tmp_path: Path, *removed: dict[str, Any]) -> Trial:
    """The trial of one item, p1, with these truth lines."""
    return PROTOCOLS["hidden"](request(tmp_path, [{"sku": "p1"}], removed))


@pytest.mark.parametrize(
    ("field", "cell", "attribute", "accepted"),
    [
        ("color", "navy", "color", ("Blue",)),
        ("weight", "0.25 kg", "weight", ("250",)),
        ("path", ["Packages", "Oat Milk"], "category", ("Plants > Oat milk",)),
        ("path", "Packages/Oat Milk", "category", ("Plants > Oat milk",)),
        ("tags", "sale|new", "tags", ("new", "sale")),
        ("more.tags", "sale|new", "tags", ("new", "sale")),
        ("more", "color=red,tags=eco", "color", ("Red",)),
        ("color", "none", "color", ()),
    ],
)
def test_removed_cells_are_read_as_the_template_reads_them(
    tmp_path: Path, field: str, cell: Any, attribute: str, accepted: tuple[str, ...]
) -> None:
    """Units, synonyms, paths, keys in cells and "none" mean in the truth what they mean in the
    catalog.
    """
    truth = hidden(tmp_path, {"sku": "p1", "hidden": {field: cell}}).truth
    assert truth is not None
    assert truth["p1", attribute] == accepted


def test_of_several_places_the_one_that_reads_counts(tmp_path: Path) -> None:
    """A field that is a column here and a key in a cell there is read in whichever way it can be."""
    template = parse_template(
        """
name: shop
version: 1.0.0
record: {id: sku}
columns: {more: {format: pairs}, tags: {format: list, separator: "\\n"}}
attributes:
  - {name: tags, type: multi_enum, from: [tags, more.tags], values: [new, sale], fill: true}
""",
        "shop",
    )
    for number, cell in enumerate(("new|sale", "new\nsale")):
        folder = tmp_path / str(number)
        folder.mkdir()
        asked = request(
            folder, [{"sku": "p1"}], [{"sku": "p1", "hidden": {"tags": cell}}], template=template
        )
        assert PROTOCOLS["hidden"](asked).truth == {("p1", "tags"): ("new", "sale")}


@pytest.mark.parametrize(
    ("line", "slot", "accepted"),
    [
        ({"attribute": "color", "value": "navy"}, ("p1", "color"), ("Blue",)),
        ({"attribute": "Colour", "value": "Red"}, ("p1", "color"), ("Red",)),
        ({"attribute": "color", "values": ["Red", "navy"]}, ("p1", "color"), ("Red", "Blue")),
        ({"attribute": "tags", "values": ["eco", "new"]}, ("p1", "tags"), ("new", "eco")),
        ({"attribute": "weight", "value": 250}, ("p1", "weight"), ("250",)),
        ({"attribute": "note", "value": "handmade"}, ("p1", "note"), ("handmade",)),
        ({"attribute": "note", "value": None}, ("p1", "note"), ()),
    ],
)
def test_truth_by_attribute(
    tmp_path: Path, line: dict[str, Any], slot: tuple[str, str], accepted: tuple[str, ...]
) -> None:
    """A line may name an attribute by name or label, with one value, several, or none; it needs no
    column.
    """
    assert hidden(tmp_path, {"id": "p1", **line}).truth == {slot: accepted}


def test_truth_that_cannot_be_read_is_left_out_and_told(tmp_path: Path) -> None:
    """Unreadable, unfilled and unread truth is counted with examples, and costs nothing else."""
    removed = {"color": "shiny", "title": "Mug", "price": 3, "weight": "2 kg"}
    trial = hidden(
        tmp_path, {"sku": "p1", "hidden": removed}, {"sku": "p9", "hidden": {"color": "Red"}}
    )
    assert trial.truth == {("p1", "weight"): ("2000",)}
    notes = "\n".join(trial.notes)
    assert "Unreadable truth of color, left out: 1, for example 'shiny' not in the list" in notes
    assert "does not fill, left out: title 1" in notes
    assert "no attribute reads, left out: price 1" in notes
    assert "not in the catalog that was run: 1" in notes


def test_the_known_part_of_a_list_is_true(tmp_path: Path) -> None:
    """Of a list with values that the template does not have, those that it has remain."""
    trial = hidden(tmp_path, {"sku": "p1", "hidden": {"tags": "eco|odd"}})
    assert trial.truth == {("p1", "tags"): ("eco",)}
    assert "a part is unreadable and left out: tags 1" in "\n".join(trial.notes)


def test_hidden_runs_once_on_the_users_own_files(tmp_path: Path) -> None:
    """Nothing is prepared and nothing masked."""
    asked = request(tmp_path, [{"sku": "p1"}], [{"sku": "p1", "hidden": {"color": "Red"}}])
    trial = PROTOCOLS["hidden"](asked)
    assert (trial.inputs, trial.masks) == (asked.catalog, (None,))


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (
            [{"sku": "q", "hidden": {"color": "Red"}}],
            "has no id of the catalog: its ids are 'q', the catalog's 'p1'",
        ),
        (
            [{"sku": "p1", "attribute": "size", "value": "L"}],
            "attribute 'size' is not in template shop",
        ),
        ([{"sku": "p1", "value": "L"}], "record 1 has neither hidden"),
        ([{"hidden": {}}], "record 1 has no id under sku or id"),
        ([{"sku": "p1", "hidden": {"title": "Mug"}}], "says nothing of what template shop fills"),
    ],
)
def test_truth_that_does_not_fit_is_refused(
    tmp_path: Path, truth: list[dict[str, Any]], message: str
) -> None:
    """What makes an evaluation pointless is reported before anything runs."""
    assert message in refused("hidden", request(tmp_path, [{"sku": "p1"}], truth))


def test_options_that_contradict_the_protocol_are_refused(tmp_path: Path) -> None:
    """A truth that is missing, not wanted, or no file, and folds that leave nothing known."""
    asked = request(tmp_path, [{"sku": "p1"}], [{"sku": "p1", "hidden": {"color": "Red"}}])
    without = replace(asked, truth=None)
    for protocol in ("hidden", "wdc-pave", "implicitave"):
        assert "--truth is missing" in refused(protocol, without)
    assert "leave it out" in refused("holdout", asked)
    assert "--folds 1: at least 2" in refused("holdout", replace(without, folds=1))
    assert "--truth: " in refused("hidden", replace(asked, truth=str(tmp_path / "nothing.jsonl")))


def test_holdout_hides_what_the_template_fills_from_columns(tmp_path: Path) -> None:
    """Each fold hides other values of fillable attributes; what has no column has nothing to hide."""
    trial = PROTOCOLS["holdout"](request(tmp_path, [{"sku": "p1"}], None, folds=3, seed=7))
    assert trial.truth is None
    assert [(mask.fold, mask.folds, mask.unit, mask.seed) for mask in trial.masks if mask] == [
        (fold, 3, "value", 7) for fold in range(3)
    ]
    assert {mask.attributes for mask in trial.masks if mask} == {
        frozenset(["color", "weight", "tags", "category"])
    }


def test_a_limit_takes_the_same_records_whatever_their_order(tmp_path: Path) -> None:
    """The first by hash are written to a prepared catalog, cells as they were."""
    rows = [{"sku": f"p{n}", "more": "a=1,b=2", "weight": n / 3} for n in range(30)]
    trial = PROTOCOLS["holdout"](request(tmp_path, rows, None, limit=5))
    chosen = first_by_hash((row["sku"] for row in reversed(rows)), 5)
    assert read_back(trial.inputs[0]) == [row for row in rows if row["sku"] in chosen]
    assert len(chosen) == 5
    assert chosen < first_by_hash((row["sku"] for row in rows), 6)


OFFERS = [{"id": 1, "title": "Xerox toner"}, {"id": 2, "title": "Red tag"}]
OFFERS_TRUTH = [
    {"id": "1", "attribute": "Brand", "values": ["Xerox", " XEROX "]},
    {"id": "1", "attribute": "Color(s)", "values": ["n/a"]},
    {"id": "2", "attribute": "Brand", "values": ["n/a"]},
    {"id": "2", "attribute": "Color(s)", "values": ["Red"]},
]


def test_wdc_pave_labels_all_but_the_hidden_items(tmp_path: Path) -> None:
    """First values are columns of the catalog, `n/a` among them; truth has every slot, and items
    are hidden whole.
    """
    trial = PROTOCOLS["wdc-pave"](
        request(tmp_path, OFFERS, OFFERS_TRUTH, template=parse_template(WDC, "w"))
    )
    assert read_back(trial.inputs[0]) == [
        {"id": 1, "title": "Xerox toner", "Brand": "Xerox", "Color(s)": "n/a"},
        {"id": 2, "title": "Red tag", "Brand": "n/a", "Color(s)": "Red"},
    ]
    assert trial.truth == {
        ("1", "brand"): ("Xerox", "XEROX"),
        ("1", "colors"): (),
        ("2", "brand"): (),
        ("2", "colors"): ("Red",),
    }
    assert trial.key is same_text
    for item in ("1", "2"):
        hiding = [m for m in trial.masks if m and m.hides(item, "brand")]
        assert len(hiding) == 1
        assert hiding[0].hides(item, "colors")


def test_wdc_pave_needs_every_attribute_and_its_absent_word(tmp_path: Path) -> None:
    """A template that lacks an attribute, or takes n/a for a value, is refused with the fix."""
    lacking = WDC.replace("from: Brand, absent: [n/a]", "from: Brand").replace(
        "from: Color(s)", "from: colors"
    )
    message = refused(
        "wdc-pave", request(tmp_path, OFFERS, OFFERS_TRUTH, template=parse_template(lacking, "w"))
    )
    assert "attribute brand lacks absent: [n/a]" in message
    assert (
        "'Color(s)' is read by no attribute with fill: true; add one with from: ['Color(s)']"
        in message
    )


ITEMS = [
    {"id": "a", "domain": "Home", "title": "Rug"},
    {"id": "b", "domain": "Footwear", "title": "Charm"},
]
ITEMS_TRUTH = [
    {"id": "a", "attribute": "Shape", "value": "Oval"},
    {"id": "b", "attribute": "Shape", "value": "Heart"},
]


def test_implicitave_without_labels_shows_no_truth(tmp_path: Path) -> None:
    """Nothing of what is evaluated is labelled, and attributes of one name are told apart by
    department.
    """
    trial = PROTOCOLS["implicitave"](
        request(tmp_path, ITEMS, ITEMS_TRUTH, template=parse_template(AVE, "a"))
    )
    assert read_back(trial.inputs[0]) == ITEMS
    assert trial.masks == (None,)
    assert trial.truth == {("a", "home_shape"): ("Oval",), ("b", "jewelry_shape"): ("Heart",)}


def test_implicitave_with_labels_hides_each_item_once(tmp_path: Path) -> None:
    """With folds the truth is columns, named by department group and attribute."""
    asked = request(
        tmp_path, ITEMS, ITEMS_TRUTH, template=parse_template(AVE, "a"), labelled_folds=4
    )
    trial = PROTOCOLS["implicitave"](asked)
    assert read_back(trial.inputs[0]) == [
        {**ITEMS[0], "Home/Shape": "Oval"},
        {**ITEMS[1], "Clothing_Shoes_and_Jewelry/Shape": "Heart"},
    ]
    assert [mask and (mask.unit, mask.folds) for mask in trial.masks] == [("item", 4)] * 4
    assert "--labelled-folds 1" in refused("implicitave", replace(asked, labelled_folds=1))


def test_labelled_texts_become_a_reference_catalog(tmp_path: Path) -> None:
    """One row an id, a column an attribute, ids of the catalog prefixed; their labels make the
    majority.
    """
    texts = [
        {
            "id": "x",
            "domain": "Home",
            "category": "Rugs",
            "title": "T",
            "attribute": "Shape",
            "value": "Square",
        },
        {
            "id": "x",
            "domain": "Home",
            "category": "Rugs",
            "title": "T",
            "attribute": "Odd",
            "value": "1",
        },
        {
            "id": "a",
            "domain": "Home",
            "category": "Rugs",
            "title": "U",
            "attribute": "Shape",
            "value": "Square",
        },
    ]
    template = parse_template(AVE, "a")
    reference = (lines(tmp_path / "texts.jsonl.gz", texts),)
    trial = PROTOCOLS["implicitave"](
        request(tmp_path, ITEMS, ITEMS_TRUTH, template=template, reference=reference)
    )
    assert read_back(trial.reference[0]) == [
        {"id": "x", "domain": "Home", "category": "Rugs", "title": "T", "Home/Shape": "Square"},
        {
            "id": "labelled-a",
            "domain": "Home",
            "category": "Rugs",
            "title": "U",
            "Home/Shape": "Square",
        },
    ]
    assert "1 labelled rows are of attributes that the template does not have" in "\n".join(
        trial.notes
    )
    labels = reference_labels(template, trial.reference, ReadLimits())
    assert labels["home_shape"] == {("Square",): 2}
    assert not labels["jewelry_shape"]


def test_a_reference_of_another_shape_is_refused(tmp_path: Path) -> None:
    """Rows without attribute and value are no labelled texts."""
    reference = (lines(tmp_path / "other.jsonl", [{"id": "x", "title": "T"}]),)
    asked = request(
        tmp_path, ITEMS, ITEMS_TRUTH, template=parse_template(AVE, "a"), reference=reference
    )
    assert "takes rows {id, domain, title, attribute, value}" in refused("implicitave", asked)


def test_fashion_departments_share_their_lists() -> None:
    """All departments but food and home are one group."""
    assert {
        department_group(name) for name in ("Clothing", "Footwear", "Jewlery_and_General_Apparel")
    } == {"Clothing_Shoes_and_Jewelry"}
    assert department_group("Home") == "Home"


@needs_data
def test_the_benchmarks_templates_read_every_option() -> None:
    """Each of the paper's options is a value of the template, and nothing else is."""
    template = load_template(str(ROOT / "benchmarks" / "templates" / "implicitave.yaml"))
    options = json.loads((DATA / "implicitave" / "options.json").read_text())
    by_column = {
        source: attribute for attribute in template.attributes for source in attribute.from_
    }
    for group, attributes in options.items():
        for label, values in attributes.items():
            assert [choice.value for choice in by_column[f"{group}/{label}"].values] == values


@needs_data
@pytest.mark.parametrize(
    ("folder", "template", "slots"),
    [("grocery", "grocery", 239), ("magento", "apparel", 998), ("interactions", "films", 668)],
)
def test_real_truth_is_read_whole(folder: str, template: str, slots: int) -> None:
    """Nothing of what the packaged templates fill is unreadable in the real catalogs' truth."""
    path = DATA / folder / "truth.jsonl"
    rows = read_back(str(path))
    ids = frozenset(str(row.get("id") or row.get("sku") or row.get("item_id")) for row in rows)
    found = read_truth(load_template(template), str(path), ids)
    assert found.unreadable == {}
    assert len(found.truth) == slots

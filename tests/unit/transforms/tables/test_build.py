"""Tables: order by content, provenance of descriptions."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import (
    AttributeValue,
    Bucket,
    Evidence,
    ImageFeatures,
    ImageResult,
    Item,
    RawRecord,
    Record,
    Reject,
)
from schemas.loading import parse_template
from schemas.tables.specs import TABLES, tables_of
from tests.support import PLACE_COLUMNS, TEMPLATE
from transforms.tables.build import (
    BUILDERS,
    MAX_HEADERS_BYTES,
    Encoders,
    RunInfo,
    TableContext,
    build_table,
    items_table,
    quarantine_table,
)

SHOP = parse_template(TEMPLATE, "test")
RUN = RunInfo("run", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})


def test_every_table_has_its_builder() -> None:
    """Each specified table, and no other, is built with the columns of its specification."""
    shop = parse_template(
        f"{TEMPLATE}\nvectors: [{{name: what-it-is, of: text, parts: [title]}}]", ""
    )
    names = [space.name for space in shop.spaces]
    assert names == ["text", "image", "what-it-is"]
    dimensions = dict.fromkeys(names, 4)
    encoders = Encoders(dict.fromkeys(names, "fake"), dimensions)
    context = TableContext("", shop, encoders, RUN)
    for spec in tables_of(shop.spaces).values():
        built = build_table(spec, Bucket(0, ()), context)
        assert built.schema.equals(spec.schema(shop, dimensions)), spec.name
    assert BUILDERS.keys() < TABLES.keys()


def reject(
    data: bytes, reason: str, item_id: str | None, message: str, kind: str, place: int
) -> Reject:
    return Reject(
        RawRecord(data, "jsonl", f"f{place}", place, kind=kind),
        reason,
        "normalise",
        message,
        item_id,
    )


contents = st.tuples(
    st.sampled_from([b"{}", b"[]"]),
    st.sampled_from(["missing-id", "duplicate-id"]),
    st.sampled_from([None, "", "a"]),
    st.sampled_from(["m", "n"]),
    st.sampled_from(["catalog", "image-table"]),
)


@given(st.lists(contents, max_size=8), st.data())
def test_quarantine_order_does_not_depend_on_places(
    found: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """The same records at other places in other files give the same rows in the same order, places
    apart.
    """
    places = data.draw(st.permutations(range(len(found))))
    here = [reject(*each, place=n) for n, each in enumerate(found)]
    there = [reject(*each, place=n) for n, each in zip(places, found, strict=True)]
    dropped = list(PLACE_COLUMNS)
    tables = [quarantine_table(rejects, RUN).drop_columns(dropped) for rejects in (here, there)]
    assert tables[0].equals(tables[1])


def test_headers_of_quarantined_rows_are_bounded() -> None:
    """Rows of a file whose header is as long as a row group keep it as far as there is room; those
    behind are known by their key and cut, so that nothing takes them for whole.
    """
    header = b"name," * (1 << 20)
    raws = [RawRecord(b"%06d\n" % n, "csv", "in.csv", n, header=header) for n in range(1_000)]
    table = quarantine_table([Reject(raw, "missing-id", "read", "") for raw in raws], RUN)
    rows = table.to_pylist()
    whole = [row for row in rows if row["raw_header"]]
    assert sum(len(row["raw_header"]) for row in whole) <= MAX_HEADERS_BYTES
    assert len(whole) == MAX_HEADERS_BYTES // len(header)
    assert all(len(row["raw"]) < row["raw_size_bytes"] for row in rows if not row["raw_header"])
    assert {row["raw_key"] for row in rows} == {raw.key for raw in raws}


def described(fingerprint: str, evidence: Evidence | None = None) -> dict[str, Any]:
    features = ImageFeatures(
        "d", "0" * 16, 1, 1, "PNG", 1, description="A mug.", fingerprint=fingerprint
    )
    values = {
        attribute.name: AttributeValue(None, reason="not-stated") for attribute in SHOP.attributes
    }
    values["color"] = AttributeValue("Red", "image", "rule", 0.9, evidence)
    record = Record("a", {}, {}, ("a.png",), (), RawRecord(b"", "jsonl", "f", 1))
    item = Item(record, (ImageResult("a.png", features),), values, image_description="A mug.")
    other = replace(features, digest="e", description="A cup.")
    item = replace(item, images=(*item.images, ImageResult("b.png", other)))
    (row,) = items_table(SHOP, [item], RUN).to_pylist()
    found: dict[str, Any] = row
    return found


def test_a_description_is_fingerprinted_with_its_model_and_prompt() -> None:
    """The fingerprint of a description follows that of each picture's answer, not only the
    picture's bytes.
    """
    one, same, other = (
        described(fingerprint)["image_description__provenance"]["fingerprint"]
        for fingerprint in ("f", "f", "g")
    )
    assert one == same != other


def test_evidence_without_a_span_has_no_text() -> None:
    """Where nothing was quoted, evidence.text is null and not an empty text."""
    row = described("f", Evidence("images", image="d"))
    assert row["image_description__provenance"]["evidence"]["text"] is None
    assert row["color__provenance"]["evidence"]["text"] is None

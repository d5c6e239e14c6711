"""Which list of a JSON document holds the records, and what is told of the rest of it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.sections.inputs import InputDescription
from transforms.readers import InputRefusedError, ParsedRecord, plan_splits, read_split

RECORDS = [{"id": str(n), "title": f"Mug {n}", "price": n + 0.5} for n in range(3)]
FACETS = [{"name": f"facet {n}", "count": n, "label": "of many products " * 5} for n in range(40)]


def read(path: Path, document: Any, indent: int | None = None, **about: Any):
    """Cells of the records of a document, and the report."""
    path.write_text(json.dumps(document, indent=indent), "utf-8")
    splits = plan_splits([str(path)], description=InputDescription(**about))
    *elements, report = [element for split in splits for element in read_split(split)]
    assert all(isinstance(element, ParsedRecord) for element in elements)
    return [element.cells for element in elements], report


NAMES = ["products", "Items", "offers", "data", "results", "entries", "artikel", "records"]
OTHERS = ["facets", "categories", "fields", "filters", "breadcrumbs", "images", "links", "brands"]


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    others=st.lists(st.sampled_from(OTHERS), max_size=3, unique=True),
    place=st.integers(0, 3),
    above=st.lists(st.sampled_from(["response", "payload"]), max_size=2, unique=True),
    indent=st.sampled_from([None, 1]),
    is_large=st.booleans(),
)
def test_lists_of_something_else(name, others, place, above, indent, is_large):
    """However much larger lists of facets, categories or fields are, and wherever they stand, the
    list that is called as records are is read, also where the document's end is not at hand; what
    else the document holds is told.
    """
    records = [{**each, "text": "x" * 1_000} for each in RECORDS * 400] if is_large else RECORDS
    lists: list[tuple[str, Any]] = [(other, FACETS) for other in others]
    lists.insert(min(place, len(lists)), (name, records))
    document: Any = {"total": 3, **dict(lists)}
    for key in above:
        document = {key: document}
    with tempfile.TemporaryDirectory() as folder:
        found, report = read(Path(folder) / "a.json", document, indent)
    assert found == records
    assert '"total": 3' in report.left_out["around"]


def test_nothing_is_told_of_brackets(tmp_path):
    """A document with nothing but its records has nothing around them."""
    for document in (RECORDS, {"data": {"products": RECORDS}}):
        assert "around" not in read(tmp_path / "a.json", document, 1)[1].left_out


def test_what_stands_behind_the_list_is_told(tmp_path):
    """What a document says behind its records is told, too."""
    _, report = read(tmp_path / "a.json", {"products": RECORDS, "facets": FACETS[:1]})
    assert report.left_out["around"].startswith('"facets": [{"name": "facet 0"')


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    ("around", "key"),
    [({"id": "set-1", "title": "Set"}, "products"), ({"name": "My shop"}, "items")],
)
def test_a_record_or_a_list_of_them(tmp_path, around, key, indent):
    """An object that is named as a record and holds a list of records is refused until somebody
    decides; both can be said.
    """
    document = {**around, key: RECORDS}
    with pytest.raises(InputRefusedError, match="may be a record itself, because it has"):
        read(tmp_path / "a.json", document, indent)
    assert read(tmp_path / "a.json", document, indent, records=key)[0] == RECORDS
    assert read(tmp_path / "a.json", document, indent, records=".")[0] == [document]


@pytest.mark.parametrize(
    ("around", "key"),
    [
        ({"type": "FeatureCollection", "name": "shops"}, "features"),
        ({"version": "https://jsonfeed.org/version/1.1", "title": "News"}, "items"),
    ],
)
def test_formats_that_name_their_lists(tmp_path, around, key):
    """GeoJSON and JSON Feed have a name and hold records all the same."""
    assert read(tmp_path / "a.json", {**around, key: RECORDS})[0] == RECORDS


def test_a_product_with_lists_is_a_record(tmp_path):
    """One product with variants, images and reviews is one record."""
    product = {**RECORDS[0], "variants": RECORDS, "images": FACETS, "reviews": RECORDS}
    assert read(tmp_path / "a.json", product)[0] == [product]


@pytest.mark.parametrize(
    "document",
    [
        {"products": RECORDS, "recommended": RECORDS[:1]},
        {"current": RECORDS, "archived": RECORDS[:2]},
        {"a": [{"x": 1}] * 5, "b": [{"y": 1}] * 4},
    ],
)
def test_lists_that_may_be_meant_as_well(tmp_path, document):
    """Another list with the same keys, or about as large, is not left out in silence."""
    first, second = document
    with pytest.raises(InputRefusedError, match=f"several lists of objects, {first} or {second}"):
        read(tmp_path / "a.json", document)
    assert read(tmp_path / "a.json", document, records=second)[0] == document[second]


def test_products_within_categories(tmp_path):
    """Records within the records of something else are not taken for theirs in silence."""
    document = {"categories": [{"id": "c", "name": "Mugs", "products": RECORDS}]}
    with pytest.raises(InputRefusedError, match=r"jq -c '\.categories\[\]\.products\[\]' FILE"):
        read(tmp_path / "a.json", document)
    assert len(read(tmp_path / "a.json", document, records="categories")[0]) == 1


@pytest.mark.parametrize("indent", [None, 1])
def test_texts_with_separators(tmp_path, indent):
    """JSON texts with a record separator before each (RFC 7464) are read."""
    path = tmp_path / "a.json"
    path.write_text("".join(f"\x1e{json.dumps(each, indent=indent)}\n" for each in RECORDS))
    *elements, report = [e for split in plan_splits([str(path)]) for e in read_split(split)]
    assert [element.cells for element in elements] == RECORDS
    assert report.left_out == {}


PAGES = [{"page": 1, "hasMore": True, "products": RECORDS}, {"page": 2, "products": RECORDS[:1]}]


@pytest.mark.parametrize("indent", [None, 1])
def test_pages_behind_each_other(tmp_path, indent):
    """Pages of an interface, one a line or behind each other, are no records; they can be said to
    be some.
    """
    path = tmp_path / "a.json"
    path.write_text("\n".join(json.dumps(page, indent=indent) for page in PAGES), "utf-8")
    with pytest.raises(
        InputRefusedError, match=r"a page of records in products.*jq -c '\.products"
    ):
        plan_splits([str(path)])
    splits = plan_splits([str(path)], description=InputDescription(records="."))
    *elements, _ = [element for split in splits for element in read_split(split)]
    assert [element.cells for element in elements] == PAGES


@pytest.mark.parametrize(
    "first",
    [
        {"uniq_no": "1", "label": "Mug", "offers": RECORDS},
        {"asin": "1", "products": RECORDS},
        {"page": 1, "variants": RECORDS},
    ],
)
def test_records_with_lists_are_no_pages(tmp_path, first):
    """Records with lists of offers or variants, one a line, stay records."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(first) + "\n" + json.dumps(first) + "\n", "utf-8")
    *elements, _ = [e for split in plan_splits([str(path)]) for e in read_split(split)]
    assert [element.cells for element in elements] == [first, first]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"A1": {"title": "Mug", "price": 5}, "A2": {"title": "Cup"}}, "to_entries"),
        ({"id": {"0": 1, "1": 2}, "title": {"0": "Mug", "1": "Cup"}}, "orient='records'"),
        ({"columns": ["id"], "index": [0], "data": [[1]]}, "orient='records'"),
    ],
)
def test_tables_that_are_no_lists(tmp_path, document, said):
    """Records under their ids, and columns as pandas writes them, are refused with what helps."""
    with pytest.raises(InputRefusedError, match=said):
        read(tmp_path / "a.json", document)
    record = {"sku": "1", "name": {"en": "Mug", "de": "Becher"}, "text": {"en": "x", "de": "y"}}
    assert read(tmp_path / "a.json", record)[0] == [record]


@pytest.mark.parametrize("is_large", [False, True])
def test_a_list_that_is_empty_today(tmp_path, is_large):
    """A night without products has no records; the facets beside them are none. A list of another
    name with records is read before an empty one.
    """
    facets = FACETS * (300 if is_large else 1)
    found, report = read(tmp_path / "a.json", {"products": [], "facets": facets})
    assert (found, report.records) == ([], 0)
    assert read(tmp_path / "a.json", {"results": [], "things": RECORDS})[0] == RECORDS
    assert read(tmp_path / "a.json", {"products": [], "items": []})[0] == []

"""The newest attribute type end to end: read, filled by a rule, written, checked by the gate, and
carried into the next run.
"""

from __future__ import annotations

from pathlib import Path

from tests.support import Shop, flags

TEMPLATE = """
name: books
version: 1.0.0
record: {id: sku}
attributes:
  - {name: title, type: string, role: title, from: name, description: What it is called.}
  - {name: release_date, type: date, from: since, fill: true, description: When it came out.}
"""
RECORDS = [
    {"sku": "exact", "name": "One", "since": "17.05.2024"},
    {"sku": "month", "name": "Two", "since": "Mai 2021"},
    {"sku": "stated", "name": "Three. Release date: May 17, 2023"},
    {"sku": "either", "name": "Four", "since": "03/04/2024"},
    {"sku": "both", "name": "Five. Release date: 31 Jan 2020", "since": "2020-01-31T10:00:00Z"},
]


def test_dates_from_cell_and_text_to_the_next_snapshot(tmp_path: Path) -> None:
    """Dates come out in ISO form and as exact as they are known, an ambiguous one is flagged and not
    filled, and the next run keeps them.
    """
    shop = Shop(tmp_path, TEMPLATE)
    first = shop.run(shop.file("in.jsonl", RECORDS))
    assert first.code == 0
    rows = {row["item_id"]: row for row in first.rows("items")}
    assert {name: row["release_date"] for name, row in rows.items()} == {
        "exact": "2024-05-17",
        "month": "2021-05",
        "stated": "2023-05-17",
        "either": None,
        "both": "2020-01-31",
    }
    provenance = rows["stated"]["release_date__provenance"]
    assert (provenance["method"], provenance["evidence"]["text"]) == ("rule:date", "May 17, 2023")
    assert rows["either"]["release_date__provenance"]["reason"] == "given-invalid"
    assert flags(rows["either"]) == {"value-wrong-type"}
    assert rows["exact"]["text_enriched"] == "Title: One. Release date: 17 May 2024."
    added = {"sku": "new", "name": "Six", "since": 2022}
    second = shop.run(shop.file("in.jsonl", [*RECORDS, added]))
    assert second.code == 0
    again = {row["item_id"]: row["release_date"] for row in second.rows("items")}
    assert again == {name: row["release_date"] for name, row in rows.items()} | {"new": "2022"}

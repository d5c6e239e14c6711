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
    {"sku": "exact", "name": "One", "since": "17 May 2024"},
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


PRICES = """
name: shop
version: 1.0.0
record: {id: sku}
attributes:
  - {name: title, type: string, role: title, from: name, description: What it is called.}
  - {name: price, type: money, from: price, min: 0, currency: SEK, fill: true, description: What it costs.}
"""
PRICED = [
    {"sku": "euro", "name": "One", "price": "12,90 €"},
    {"sku": "crown", "name": "Two", "price": "1.299:-"},
    {"sku": "range", "name": "Three", "price": "12-13 USD"},
    {"sku": "stated", "name": "Four. Price: 19.90 EUR"},
    {"sku": "decided", "name": "Five", "price": "1.299 EUR"},
    {"sku": "shared", "name": "Six", "price": {"value": 5, "currency": "$"}},
]


def test_prices_from_cell_and_text_to_the_next_snapshot(tmp_path: Path) -> None:
    """Amounts come out beside their currency, a range keeps both ends, what reads two ways is
    decided by the column, and the next run and the comparison of the two keep and show them.
    """
    shop = Shop(tmp_path, PRICES)
    first = shop.run(shop.file("in.jsonl", PRICED))
    assert first.code == 0
    rows = {row["item_id"]: row for row in first.rows("items")}
    prices = {
        name: row["price"]
        and tuple(row["price"][key] for key in ("amount", "amount_to", "currency"))
        for name, row in rows.items()
    }
    assert prices == {
        "euro": (12.9, None, "EUR"),
        "crown": (1299.0, None, "SEK"),
        "range": (12.0, 13.0, "USD"),
        "stated": (19.9, None, "EUR"),
        "decided": (1299.0, None, "EUR"),
        "shared": (5.0, None, None),
    }
    assert rows["euro"]["text_enriched"] == "Title: One. Price: 12.90 EUR."
    assert rows["range"]["text_enriched"] == "Title: Three. Price: 12.00 to 13.00 USD."
    assert rows["stated"]["price__provenance"]["method"] == "rule:money"
    assert [sorted(flags(rows[name])) for name in ("range", "shared", "decided", "euro")] == [
        ["price-range"],
        ["currency-unknown"],
        [],
        [],
    ]
    changed = [PRICED[0] | {"price": "13,90 €"}, *PRICED[1:]]
    second = shop.run(shop.file("in.jsonl", changed))
    assert second.code == 0
    again = {row["item_id"]: row["price"] for row in second.rows("items")}
    assert again["euro"] == {"amount": 13.9, "amount_to": None, "currency": "EUR"}
    assert {name: price for name, price in again.items() if name != "euro"} == {
        name: row["price"] for name, row in rows.items() if name != "euro"
    }

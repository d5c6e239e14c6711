"""transforms.normalise.column_currencies: the currency and the cents of an amount, by what stands
beside it.
"""

from __future__ import annotations

from typing import Any

import pytest

from schemas.elements import RawRecord, Record
from schemas.loading import parse_template
from transforms.normalise.column_currencies import currency_of_name
from transforms.normalise.records import Normaliser

TEMPLATE = """
name: shop
version: 1.0.0
record: {{id: sku}}
columns: {columns}
attributes:
  - {{name: title, type: string, role: title, from: title, description: Name.}}
  - {{name: price, type: money, currency: EUR, from: {column}, description: Price.}}
  - {{name: euros, type: number, unit: EUR, from: {column}, description: Price in euros.}}
"""


def read(column: str, cells: dict[str, Any], columns: str = "{}") -> Record:
    """The record of these cells, of a shop whose prices are in euros unless something says else."""
    template = parse_template(TEMPLATE.format(column=f'"{column}"', columns=columns), "test")
    raw = RawRecord(b"", "jsonl", "x", 1, 0)
    record = Normaliser(template).normalise(raw, {"sku": "a", "title": "Mug", **cells})
    assert isinstance(record, Record)
    return record


def price(column: str, cells: dict[str, Any], columns: str = "{}") -> tuple[str, str | None] | None:
    value = read(column, cells, columns).values.get("price")
    assert value is None or isinstance(value, dict)
    return None if value is None else (value["amount"], value.get("currency"))


@pytest.mark.parametrize(
    ("column", "cells", "amount", "currency"),
    [
        ("price_cents", {"price_cents": "1290"}, "12.9", "EUR"),
        ("Price (cents)", {"Price (cents)": 1290}, "12.9", "EUR"),
        ("price_cents", {"price_cents": 1290.0, "currency": "JPY"}, "1290", "JPY"),
        ("price_cents_usd", {"price_cents_usd": 1290}, "12.9", "USD"),
        ("p.centAmount", {"p": {"centAmount": 1290, "currencyCode": "USD"}}, "12.9", "USD"),
        ("p.value", {"p": {"value": 1290, "unit": "cents"}}, "12.9", "EUR"),
        ("price_cents.value", {"price_cents": {"value": 1290}}, "12.9", "EUR"),
        ("p.amount", {"p": {"amount": 1290, "divisor": 100, "currency": "USD"}}, "12.9", "USD"),
        ("p[].amount", {"p": [{"amount": 12.9, "currency": "USD"}]}, "12.9", "USD"),
        ("p[0].amount", {"p": [{"amount": "12.9", "currency": "USD"}]}, "12.9", "USD"),
        ("p.sale", {"p": {"sale": 12.9}, "currency": "USD"}, "12.9", "USD"),
        ("p.value", {"p": {"value": 12.9, "unit": "USD"}}, "12.9", "USD"),
        ("p.value", {"p": {"value": 12.9, "unit": "piece"}}, "12.9", "EUR"),
        ("p.value", {"p": {"value": 12.9, "unit": "pound"}}, "12.9", "EUR"),
        ("p.amount", {"p.amount": "12.9", "p.currency": "USD"}, "12.9", "USD"),
        ("p.centAmount", {"p.centAmount": "1290", "p.currencyCode": "USD"}, "12.9", "USD"),
        ("sale_amount", {"sale_amount": "12.9", "sale_currency": "USD"}, "12.9", "USD"),
        ("price_usd", {"price_usd": ["12.9"]}, "12.9", "USD"),
        ("USD", {"USD": "12.9"}, "12.9", "USD"),
        ("usd_price", {"usd_price": "12.9"}, "12.9", "USD"),
        ("Price (USD) excl. VAT", {"Price (USD) excl. VAT": "12.9"}, "12.9", "USD"),
        ("price", {"price": "12.9", "Currency Symbol": "£", "currency": "GBP"}, "12.9", "GBP"),
        ("price", {"price": "12.9", "cost": "5", "cost_currency": "USD"}, "12.9", "EUR"),
        ("price", {"price": "12.9", "shop_currency": "EUR"}, "12.9", "EUR"),
        ("price_top", {"price_top": "12.9"}, "12.9", "EUR"),
        ("PRICE_ALL", {"PRICE_ALL": "12.9"}, "12.9", "EUR"),
    ],
)
def test_what_stands_beside_counts(
    column: str, cells: dict[str, Any], amount: str, currency: str
) -> None:
    """Names, keys and columns beside an amount say its currency, and that it is in cents."""
    assert price(column, cells) == (amount, currency)


@pytest.mark.parametrize(
    ("column", "cells", "told"),
    [
        ("price", {"price": "5", "currency": "USD", "currency_code": "GBP"}, "USD in currency"),
        ("price", {"price": "5", "shop_currency": "USD"}, "USD in shop_currency"),
        ("p.amount", {"p": {"amount": 1290, "scale": 2}}, "decimals"),
        ("price_cents", {"price_cents": "12.90"}, "not one price"),
        ("p[].v", {"p": [{"v": 5, "currency": "EUR"}, {"v": 5, "currency": "USD"}]}, "EUR / USD"),
    ],
)
def test_what_may_be_another_price_is_unknown(
    column: str, cells: dict[str, Any], told: str
) -> None:
    """Where the amount may be another by a factor or in another currency, it is flagged."""
    record = read(column, cells)
    assert "price" not in record.values
    assert "euros" not in record.values
    assert any(told in flag.detail for flag in record.flags)


def test_the_template_decides_between_columns() -> None:
    """What the template says of the column ends the doubt."""
    cells = {"price": "5", "currency": "USD", "currency_code": "GBP"}
    assert price("price", cells, "{price: {unit_from: currency_code}}") == ("5", "GBP")
    assert price("price", cells, "{price: {unit: EUR}}") == ("5", "EUR")


@pytest.mark.parametrize(
    "name",
    [
        "price",
        "price_all",
        "price_std",
        "made_in",
        "Price (excl. VAT)",
        "EUR/USD",
        "SALE PRICE ALL",
    ],
)
def test_names_without_one_currency(name: str) -> None:
    """A word that is a code of a rare currency, or several codes, name none."""
    assert currency_of_name(name) is None


SALE = """
name: shop
version: 1.0.0
record: {id: sku}
columns: %s
attributes:
  - {name: title, type: string, role: title, from: title, description: Name.}
  - {name: price, type: money, currency: EUR, from: [sale, price, list], description: Price.}
  - {name: euros, type: number, unit: EUR, from: [sale, price], description: Price in euros.}
"""


def sale(cells: dict[str, Any], columns: str = "{}") -> Record:
    raw = RawRecord(b"", "jsonl", "x", 1, 0)
    template = parse_template(SALE % columns, "test")
    record = Normaliser(template).normalise(raw, {"sku": "a", "title": "Mug", **cells})
    assert isinstance(record, Record)
    return record


@pytest.mark.parametrize("nothing", ["0.00", "0", 0, 0.0, "0,00 EUR"])
def test_a_price_of_nothing_before_another_is_unknown(nothing: Any) -> None:
    """Shops write 0 where there is no sale: whether the item is free is told, and not guessed."""
    record = sale({"sale": nothing, "price": "12.90"})
    assert not {"price", "euros"} & set(record.values)
    assert [flag.field for flag in record.flags] == ["price", "euros"]
    assert "ignore" in record.flags[0].detail
    ignoring = sale(
        {"sale": nothing, "price": "12.90"}, '{sale: {ignore: ["0", "0.00", "0,00 EUR"]}}'
    )
    assert ignoring.values["euros"] == 12.9
    assert not ignoring.flags


@pytest.mark.parametrize(
    ("cells", "amount"),
    [
        ({"sale": "0.00", "price": "0"}, "0"),
        ({"sale": "0.00", "price": "", "list": "#N/A"}, "0"),
        ({"sale": "9", "price": "0"}, "9"),
        ({"sale": "", "price": "0"}, "0"),
        ({"sale": "free"}, "0"),
    ],
)
def test_what_is_free_is_free(cells: dict[str, Any], amount: str) -> None:
    """A price of 0 that no other column contradicts stays."""
    assert sale(cells).values["price"] == {"amount": amount, "currency": "EUR"}

"""transforms.attribute_types.money: prices in cells, columns, texts, answers and tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attributes import Attribute
from schemas.elements import RawRecord, Record
from schemas.loading import TemplateRefusedError, parse_template
from schemas.template import ColumnFormat
from transforms.attribute_types.registry import operations_of
from transforms.normalise.records import Normaliser

PRICE = Attribute.model_validate({"name": "price", "type": "money", "fill": True})
KRONOR = Attribute.model_validate({"name": "price", "type": "money", "currency": "SEK", "min": 1})
MONEY = operations_of(PRICE)

TEMPLATE = """
name: shop
version: 1.0.0
record: {{id: sku}}
columns: {columns}
attributes:
  - {{name: title, type: string, role: title, from: title, description: Name.}}
  - {{name: price, {kind}, from: {column}, description: Price.}}
"""


def read(cell: Any, attribute: Attribute = PRICE, column: ColumnFormat | None = None) -> Any:
    """Return the value and the reasons of the flags."""
    reader = operations_of(attribute).reader(attribute, ())
    value, flags = reader(cell, column or ColumnFormat(), False)
    return value, [flag.reason for flag in flags]


def of_record(
    column: str, cells: dict[str, Any], kind: str = "type: money", columns: str = "{}"
) -> tuple[Any, list[str]]:
    """Return the price of a whole record and the reasons of its flags."""
    template = parse_template(
        TEMPLATE.format(column=f'"{column}"', columns=columns, kind=kind), "test"
    )
    record = Normaliser(template).normalise(
        RawRecord(b"", "jsonl", "x", 1, 0), {"sku": "a", **cells}
    )
    assert isinstance(record, Record)
    return record.values.get("price"), [flag.reason for flag in record.flags]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12,90 €", {"amount": "12.9", "currency": "EUR"}),
        ("<b>USD&nbsp;219.00</b>", {"amount": "219", "currency": "USD"}),
        ({"value": 12.9, "currency": "EUR"}, {"amount": "12.9", "currency": "EUR"}),
        ('{"amount": "12.90", "currencyCode": "EUR"}', {"amount": "12.9", "currency": "EUR"}),
        (["12 EUR", "12.00 EUR"], {"amount": "12", "currency": "EUR"}),
        ("free", {"amount": "0"}),
        (None, None),
        (" ", None),
        ([], None),
    ],
)
def test_cells_that_people_have_are_read(cell: Any, value: Any) -> None:
    """Texts, objects and repeated prices are read; an empty cell is no mistake."""
    assert read(cell) == (value, [])


@pytest.mark.parametrize(
    ("cell", "value", "reason"),
    [
        (12.9, {"amount": "12.9"}, "currency-unknown"),
        (Decimal("12.90"), {"amount": "12.9"}, "currency-unknown"),
        ("$5", {"amount": "5"}, "currency-unknown"),
        ("12-13 EUR", {"amount": "12", "amount_to": "13", "currency": "EUR"}, "price-range"),
        ("from 12.50 EUR", {"amount": "12.5", "currency": "EUR"}, "price-range"),
        ("1.299 EUR", None, "value-wrong-type"),
        ("12 EUR USD", None, "value-wrong-type"),
        ("12 EUR/kg", None, "value-wrong-type"),
        (["12 EUR", "14 USD"], None, "value-wrong-type"),
        (True, None, "value-wrong-type"),
        ({"x": 1}, None, "value-wrong-type"),
    ],
)
def test_what_is_not_sure_is_flagged(cell: Any, value: Any, reason: str) -> None:
    """An unknown currency, a range and what is no price are told, each with its reason."""
    assert read(cell) == (value, [reason])


@pytest.mark.parametrize("tag", ["del", "s", "strike", "S"])
def test_a_price_that_is_crossed_out_is_none(tag: str) -> None:
    """A price of before, alone or beside the price, leaves it unknown and flagged."""
    for cell in (f"<{tag}>20 EUR</{tag}>", f"<{tag} class='x'>20 €</{tag}> <ins>15 €</ins>"):
        assert read(cell) == (None, ["value-wrong-type"])
        euros = Attribute.model_validate({"name": "price", "type": "number", "unit": "EUR"})
        assert read(cell, euros) == (None, ["value-wrong-type"])


def test_the_template_names_the_currency() -> None:
    """The attribute's currency holds for bare amounts and for signs that may mean it, never for
    those of others; of several prices it picks its own.
    """
    sek = {"amount": "199", "currency": "SEK"}
    assert read("kr 199", KRONOR) == (sek, [])
    assert read("199:-", KRONOR) == (sek, [])
    assert read(199, KRONOR) == (sek, [])
    assert read("199 EUR", KRONOR) == ({"amount": "199", "currency": "EUR"}, [])
    assert read("$199", KRONOR) == ({"amount": "199"}, ["currency-unknown"])
    assert read(["20 EUR", "199 SEK"], KRONOR) == (sek, [])
    assert read("0.5", KRONOR) == (None, ["value-out-of-range"])


@pytest.mark.parametrize(
    ("column", "cells", "columns", "currency"),
    [
        ("price", {"price": "12.9", "currency": "EUR"}, "{}", "EUR"),
        ("price", {"price": 12.9, "price_currency": "EUR"}, "{}", "EUR"),
        ("price", {"price": "kr 12.9", "Currency": "NOK"}, "{}", "NOK"),
        ("price", {"price": "$12.9", "currencyCode": "CAD"}, "{}", "CAD"),
        ("price", {"price": "12,9", "currency": "€"}, "{}", "EUR"),
        ("price-EUR", {"price-EUR": "12.90"}, "{}", "EUR"),
        ("Price (USD)", {"Price (USD)": "$12.90"}, "{}", "USD"),
        ("price_gbp", {"price_gbp": "£12.90", "currency": "USD"}, "{}", "GBP"),
        ("Preis [€]", {"Preis [€]": "12,90"}, "{}", "EUR"),
        ("price", {"price": {"value": 12.9}, "currency": "EUR"}, "{}", "EUR"),
        ("price.value", {"price": {"value": 12.9, "currency": "EUR"}}, "{}", "EUR"),
        ("price.EUR", {"price": {"EUR": "12.90", "USD": "14"}}, "{}", "EUR"),
        ("price", {"price": "12.9", "cur": "EUR"}, "{price: {unit_from: cur}}", "EUR"),
        ("price", {"price": "12.9", "currency": "EUR"}, "{price: {unit: USD}}", "USD"),
    ],
)
def test_currencies_beside_the_amount(
    column: str, cells: dict[str, Any], columns: str, currency: str
) -> None:
    """The currency stands in a column of its own, in the header, or in the template."""
    value = {"amount": "12.9", "currency": currency}
    assert of_record(column, cells, columns=columns) == (value, [])


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"price": "12 EUR", "currency": "USD"}, "value-wrong-type"),
        ({"price": "12", "currency": "parsnip"}, "value-wrong-type"),
        ({"price": "kr 12", "currency": ""}, "currency-unknown"),
    ],
)
def test_a_column_that_contradicts(cells: dict[str, Any], reason: str) -> None:
    """Cell and column of two currencies leave the price unknown; an empty column tells nothing."""
    assert of_record("price", cells)[1] == [reason]


@pytest.mark.parametrize(
    ("kind", "cells", "value", "reasons"),
    [
        ("type: number, unit: USD", {"price": "219.00 USD"}, 219.0, []),
        ("type: number, unit: USD", {"price": "$1,299"}, 1299.0, []),
        ("type: number, unit: USD", {"price": 12.9}, 12.9, []),
        (
            "type: number, unit: USD",
            {"price": "12.9", "currency": "EUR"},
            None,
            ["value-wrong-type"],
        ),
        ("type: number, unit: USD", {"price": "39 EUR"}, None, ["value-wrong-type"]),
        ("type: number, unit: USD", {"price": "kr 39"}, None, ["value-wrong-type"]),
        ("type: number, unit: USD", {"price": "12-13 USD"}, None, ["value-wrong-type"]),
        ("type: number, unit: USD", {"price": "1.299 USD"}, None, ["value-wrong-type"]),
        ("type: number, unit: SEK", {"price": "1.299:-"}, 1299.0, []),
        ("type: number", {"price": "219.00 USD"}, 219.0, []),
        ("type: number", {"price": "39 EUR"}, 39.0, []),
        ("type: number", {"price": "12,90 €"}, 12.9, []),
        ("type: number", {"price": "1.299 EUR"}, None, ["value-wrong-type"]),
        ("type: number", {"price": "12-13 EUR"}, None, ["value-wrong-type"]),
        ("type: number", {"price": "from 12 EUR"}, None, ["value-wrong-type"]),
        ("type: number", {"price": "free"}, None, ["value-wrong-type"]),
        ("type: number, unit: g", {"price": "12 EUR"}, None, ["value-wrong-type"]),
    ],
)
def test_numbers_with_a_currency(
    kind: str, cells: dict[str, Any], value: float | None, reasons: list[str]
) -> None:
    """A number in a currency reads the same cells, and no other currency's amount as its own."""
    assert of_record("price", cells, kind) == (value, reasons)


def test_amounts_in_two_currencies_of_one_column() -> None:
    """Two attributes of one column each take the amounts of their own currency."""
    both = TEMPLATE.format(column="p", columns="{}", kind="type: number, unit: USD") + (
        "  - {name: euros, type: number, unit: EUR, from: p, description: In euros.}\n"
    )
    normaliser = Normaliser(parse_template(both, "test"))
    found = {}
    for cell in ("12 USD", "12 EUR", "12"):
        record = normaliser.normalise(RawRecord(b"", "jsonl", "x", 1, 0), {"sku": "a", "p": cell})
        assert isinstance(record, Record)
        found[cell] = (dict(record.values), len(record.flags))
    assert found == {"12 USD": ({"price": 12.0}, 0), "12 EUR": ({"euros": 12.0}, 0), "12": ({}, 2)}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("type: money, currency: parsnip", "'parsnip' is no currency; write a code of ISO 4217"),
        ("type: money, unit: EUR", "unit and integer belong to type number"),
        ("type: number, currency: EUR", "currency belongs to type money, not number"),
        ("type: money, min: 5, max: 2", "min 5 is above max 2; swap them"),
        ("type: number, unit: XQZ", "'XQZ' is not a unit; write for example g, ml, cm"),
    ],
)
def test_what_a_template_may_not_say(entry: str, problem: str) -> None:
    """Options that do not fit are refused with what to write."""
    with pytest.raises(TemplateRefusedError, match=problem):
        parse_template(TEMPLATE.format(column="p", columns="{}", kind=entry), "test")


def test_texts_state_prices_behind_the_label() -> None:
    """Only a price with its currency right behind the attribute's name is its value."""

    def stated(text: str) -> list[Any]:
        return [s.value for s in MONEY.finder(PRICE, alone=True)(text)]

    euros = {"amount": "12.9", "currency": "EUR"}
    for text in ("Price: 12.90 EUR", "A mug. Price: €12.90, new", "Price 12,90 €"):
        assert stated(text) == [euros]
    for text in (
        "Price: 12.90",
        "12.90 EUR",
        "Price: 12-13 EUR",
        "Price: $12",
        "Unit price: 1 EUR",
    ):
        assert stated(text) == []


def test_answers_of_a_model() -> None:
    """An answer is an amount with its currency; another range than the attribute's is none."""
    assert MONEY.parse_answer(PRICE, "12.90 EUR") == {"amount": "12.9", "currency": "EUR"}
    assert MONEY.parse_answer(KRONOR, "1.299") == {"amount": "1.299", "currency": "SEK"}
    assert MONEY.parse_answer(KRONOR, "0.5 SEK") is None
    assert MONEY.parse_answer(PRICE, "12.90 XQZ") is None


def test_prices_are_compared_and_counted() -> None:
    """Amounts agree in the same currency, or where one is not known; the gate checks amounts."""
    euros, dollars, bare = (
        {"amount": "12.9", **more} for more in ({"currency": "EUR"}, {"currency": "USD"}, {})
    )
    assert MONEY.agree(euros, bare)
    assert not MONEY.agree(euros, dollars)
    rows = [MONEY.to_arrow(PRICE, euros), None, MONEY.to_arrow(PRICE, {"amount": "0"})]
    column = pa.array(rows, PRICE.spec.arrow_type(PRICE))
    assert MONEY.count(column) == {"2^3.5": 1, "0": 1}
    assert MONEY.gate_values(pa.chunked_array([column])).to_pylist() == [12.9, None, 0.0]


CODES = st.sampled_from([None, "EUR", "JPY", "KWD", "SEK", "USD"])


@given(
    st.decimals(0, 10**9, places=3, allow_nan=False, allow_infinity=False),
    st.decimals(0, 10**3, places=2, allow_nan=False, allow_infinity=False),
    CODES,
)
def test_a_value_comes_back_from_every_form(low: Decimal, more: Decimal, code: str | None) -> None:
    """Words, column and candidate of a price all give the price back."""
    given_object = {"min": low, "max": low + more, **({"currency": code} if code else {})}
    value, _ = read(given_object)
    column = pa.array([MONEY.to_arrow(PRICE, value)], PRICE.spec.arrow_type(PRICE))
    assert MONEY.from_arrow(column[0].as_py()) == value
    # An evaluation compares what columns hold.
    assert MONEY.texts(column[0].as_py()) == MONEY.texts(value)
    assert MONEY.agree(column[0].as_py(), value)
    shown = MONEY.format(PRICE, value)
    point = ColumnFormat(decimal=".")
    assert read(shown, column=point)[0] == value
    assert read(MONEY.candidate_text(value), column=point)[0] == value
    assert (code is None) or code in shown

"""transforms.extraction.money: amounts that are counted in cents, by names, units and scales."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.extraction.money.amounts import UnclearMoneyError, read_money
from transforms.extraction.money.minor_units import part_of_name
from transforms.extraction.money.objects import read_money_object


@pytest.mark.parametrize(
    "name",
    [
        *("price_cents", "Price (cents)", "priceCents", "PRICE_IN_CENTS", "centAmount"),
        *("amount_minor", "price_minor_units", "Preis ct", "price-pence", "unit_amount"),
        *("prix centimes", "precio_centavos", "cena_groszy", "amountcents", "pris_öre"),
    ],
)
def test_names_that_count_cents(name: str) -> None:
    """A name with a word for cents counts them, however its words are joined."""
    assert part_of_name(name) == "cents"


@pytest.mark.parametrize(
    "name",
    [
        *("price", "percent", "discount_percent", "recent_price", "price_per_ct", "center"),
        *("innocent", "amount", "unit_price", "ct_code", "accent_color", "minority", ""),
    ],
)
def test_names_that_count_nothing(name: str) -> None:
    """A word that only holds one for cents, and carats, say nothing of cents."""
    assert part_of_name(name) is None


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ({"amount_cents": 1290, "currency": "EUR"}, "12.90"),
        ({"amount_cents": 1290.0, "currency": "EUR"}, "12.90"),
        ({"amount_cents": "1290", "currency": "EUR"}, "12.90"),
        ({"cents": Decimal("1290.00"), "currency": "EUR"}, "12.90"),
        ({"value": 1290, "unit": "cents", "currency": "EUR"}, "12.90"),
        ({"amount_cents": 1290, "precision": 3, "currency": "EUR"}, "1.290"),
        ({"amountMicros": "12900000", "currencyCode": "EUR"}, "12.900000"),
        ({"units": "12", "nanos": 900000000, "currencyCode": "EUR"}, "12.900000000"),
        ({"amount": 1290, "divisor": 100, "currency_code": "EUR"}, "12.9"),
        ({"amount": 12.9, "precision": 2, "currency": "EUR"}, "12.9"),
        ({"amount": "12.00", "precision": 2, "currency": "EUR"}, "12.00"),
        ({"amount": 1290, "precision": 0, "currency": "EUR"}, "1290"),
    ],
)
def test_scales_beside_an_amount(given: dict[str, Any], amount: str) -> None:
    """Cents, millionths, nanos and divisors make the amount that is meant."""
    money = read_money_object(given)
    assert money is not None
    assert str(money.amount) == amount
    assert money.currencies == {"EUR"}


@pytest.mark.parametrize("key", ["precision", "scale", "exponent", "decimals", "minor_units"])
def test_a_whole_amount_beside_its_decimals_is_unclear(key: str) -> None:
    """1290 with a precision of 2 is 12.90 for one program and 1290 for another."""
    with pytest.raises(UnclearMoneyError, match="decimals"):
        read_money_object({"amount": 1290, key: 2, "currency": "EUR"})


@pytest.mark.parametrize(
    "given",
    [
        {"amount_cents": 12.9, "currency": "EUR"},
        {"amount_cents": "12,90", "currency": "EUR"},
        {"amount_cents": True, "currency": "EUR"},
        {"amount": 1290, "divisor": 0, "currency": "EUR"},
        {"value": "12.90", "unit": "cents", "currency": "EUR"},
    ],
)
def test_cents_are_whole(given: dict[str, Any]) -> None:
    """What is no whole number of cents is no price."""
    assert read_money_object(given) is None


@given(st.integers(0, 10**12), st.sampled_from(["EUR", "USD", "JPY", "KWD"]))
def test_cents_come_back(cents: int, code: str) -> None:
    """A number of cents is the amount that has these cents in the decimals of its currency."""
    places = {"JPY": 0, "KWD": 3}.get(code, 2)
    money = read_money_object({"price_cents": cents, "currency": code})
    assert money is not None
    assert money.amount * 10**places == cents


@pytest.mark.parametrize(
    ("text", "amount"),
    [("12⁹⁰ €", "12.90"), ("€ 12⁹⁰", "12.90"), ("EUR 1299⁰⁰", "1299.00"), ("12⁹⁰", "12.90")],
)
def test_raised_cents(text: str, amount: str) -> None:
    """Two raised digits behind whole ones are cents."""
    money = read_money(text)
    assert money is not None
    assert str(money.amount) == amount


@pytest.mark.parametrize(
    "text", ["12,90¹", "12.90² EUR", "1.299¹ €", "12₅", "①2", "12¹", "12⁹⁰⁵ €", "*", "12 €/m²"]
)
def test_raised_digits_are_no_others(text: str) -> None:
    """Any other raised digit may be of a note: it is never read as one more digit of the price."""
    assert read_money(text) is None

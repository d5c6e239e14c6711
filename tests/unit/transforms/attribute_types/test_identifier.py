"""transforms.attribute_types.identifier: codes as they are, and as spreadsheets leave them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import ean

from schemas.attributes import Attribute
from schemas.elements import RawRecord, Record, Reject
from schemas.loading import parse_template
from schemas.template import ColumnFormat
from transforms.attribute_types.registry import operations_of
from transforms.normalise.records import Normaliser

SHOP = """
name: shop
version: 1.0.0
record: {id: sku, event_ts: changed, images: {columns: photo}}
attributes:
  - {name: title, type: string, role: title, from: [name, title], description: Name.}
  - {name: price, type: number, from: [sale, price], description: Price.}
"""


def read(cell: Any, scheme: str = "gtin") -> tuple[Any, list[str]]:
    """Return the code and the reasons of the flags."""
    attribute = Attribute.model_validate({"name": "code", "type": "identifier", "scheme": scheme})
    value, flags = operations_of(attribute).reader(attribute, ())(cell, ColumnFormat(), False)
    return value, [flag.reason for flag in flags]


@pytest.mark.parametrize(
    ("cell", "scheme", "code"),
    [
        ('="4006381333931"', "gtin", "4006381333931"),
        ("=4006381333931", "gtin", "4006381333931"),
        ('=T("0012345678905")', "gtin", "0012345678905"),
        ("'0012345678905", "gtin", "0012345678905"),
        ("’012345678905", "gtin", "012345678905"),
        ("4006381333931.0", "gtin", "4006381333931"),
        ("4006381333931,00", "gtin", "4006381333931"),
        (4006381333931.0, "gtin", "4006381333931"),
        ("4 006381 333931", "gtin", "4006381333931"),
        ("4006\u00a0381\u2013333931", "gtin", "4006381333931"),
        ("4.006381333931E+12", "gtin", "4006381333931"),
        ("978-0-306-40615-7", "isbn", "9780306406157"),
        ('="0-306-40615-2"', "isbn", "0306406152"),
        ("'00123-AB", "any", "00123-AB"),
        ("306406152", "isbn", "0306406152"),
        ("10012345.0", "any", "10012345"),
        ("1.0", "any", "1.0"),
        ("4E5", "any", "4E5"),
        ("MAR-05", "any", "MAR-05"),
        ("'quoted'", "any", "'quoted'"),
    ],
)
def test_codes_come_back_as_they_were(cell: Any, scheme: str, code: str) -> None:
    """What only keeps or shows a code otherwise is taken off; other codes stay as they are."""
    assert read(cell, scheme) == (code, [])


@pytest.mark.parametrize(
    ("cell", "scheme", "code"),
    [
        ("12345678905", "gtin", "012345678905"),
        (12345678905, "gtin", "012345678905"),
        (12345678905.0, "gtin", "012345678905"),
        ("12345678905.0", "gtin", "012345678905"),
        ("7149522", "isbn", "0007149522"),
        ("80442957X"[1:], "isbn", None),
        ("3178471", "issn", "03178471"),
        ("218250097", "orcid", "0000000218250097"),
    ],
)
def test_lost_zeros_are_given_back(cell: Any, scheme: str, code: str | None) -> None:
    """Where the check digit proves that zeros are lost they are given back, and told."""
    value, reasons = read(cell, scheme)
    assert (value, reasons) == (
        (code, ["code-restored"]) if code else (None, ["value-bad-check-digit"])
    )


@pytest.mark.parametrize(
    "cell", ["12345678906", "1234567", "905", "40063813339310", "4006381333932", 96385075]
)
def test_unproven_zeros_are_not(cell: Any) -> None:
    """A code of another length, or whose check digit is wrong, is not completed."""
    assert read(cell) == (None, ["value-bad-check-digit"])


@pytest.mark.parametrize(
    ("cell", "scheme"),
    [
        ("4.00638E+12", "gtin"),
        ("4,00638E+12", "gtin"),
        ("9.78031E+12", "isbn"),
        (4.00638e12, "gtin"),
        ("1.23E+05", "any"),
        ("3-Feb", "any"),
        ("03-Feb", "any"),
        ("Mar-05", "any"),
        ("01. Mrz", "any"),
        ("3-Feb-24", "any"),
        ("3-févr", "any"),
    ],
)
def test_what_is_lost_is_named_and_not_guessed(cell: Any, scheme: str) -> None:
    """A rounded number and a date that was a code stay unknown, with what happened to them."""
    assert read(cell, scheme) == (None, ["code-lost-digits"])


@given(st.integers(10**8, 10**11 - 1))
def test_a_code_without_its_zeros(number: int) -> None:
    """For every number of nine to eleven digits: it is the UPC that it is part of, or none."""
    value, reasons = read(str(number))
    whole = str(number).rjust(12, "0")
    assert (value, reasons) == (
        (whole, ["code-restored"]) if ean.is_valid(whole) else (None, ["value-bad-check-digit"])
    )


def record(**cells: Any) -> Record | Reject:
    return Normaliser(parse_template(SHOP, "test")).normalise(
        RawRecord(b"", "jsonl", "x", 1, 0), cells
    )


@pytest.mark.parametrize(
    "error", ["#N/A", " #REF! ", "#name?", "#DIV/0!", "#NV", "#BEZUG!", "#N/D"]
)
def test_errors_of_spreadsheets_are_no_values(error: str) -> None:
    """An error is no value of any type: the next column counts, and the flag says so."""
    found = record(
        sku="a", name=error, title="Mug", sale=error, price="12", changed=error, photo=error
    )
    assert isinstance(found, Record)
    assert found.values == {"title": "Mug", "price": 12.0}
    assert found.image_refs == ()
    assert [(flag.reason, flag.field) for flag in found.flags] == [
        ("spreadsheet-error", "title"),
        ("spreadsheet-error", "price"),
        ("spreadsheet-error", "event_ts"),
        ("spreadsheet-error", "images"),
    ]
    only = record(sku="a", name="#1 mug", sale=error)
    assert isinstance(only, Record)
    assert (only.values, only.given) == ({"title": "#1 mug"}, {"title": "#1 mug"})


@pytest.mark.parametrize(
    ("cell", "item_id"),
    [(1001.0, "1001"), ('="0012"', "0012"), ("'0012", "0012"), ("0012", "0012"), ("1.0", "1.0")],
)
def test_ids_that_became_numbers(cell: Any, item_id: str) -> None:
    """An id that became a float is the number again; what keeps its zeros is no part of it."""
    found = record(sku=cell, name="Mug")
    assert isinstance(found, Record)
    assert found.item_id == item_id


@pytest.mark.parametrize(("cell", "reason"), [("#N/A", "missing-id"), (10.5, "id-wrong-type")])
def test_what_is_no_id(cell: Any, reason: str) -> None:
    """An error would be one id for many records; half a number is none."""
    found = record(sku=cell, name="Mug")
    assert isinstance(found, Reject)
    assert found.reason == reason

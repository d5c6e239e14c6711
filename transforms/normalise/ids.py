"""What identifies an item or a product: cell → id, or why it is none. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from schemas.elements import Flag
from schemas.reasons import CODE_LOST_DIGITS
from transforms.attribute_types.reading import shorten
from transforms.attribute_types.spreadsheets import unwrapped
from transforms.extraction.cells import as_text
from transforms.extraction.identifiers import EXACT

STAGE = "normalise"
MAX_ID_CHARS = 512
_ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")
# Nobody sees them around an id, and no two ids differ by them.
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"
_NO_ID_CHARS = frozenset({"Cc", "Cs", "Zl", "Zp"})
# What people and programs write where there is nothing; "0" may be the first of all items.
_STAND_INS = frozenset(
    {
        *("n/a", "na", "n.a.", "n/v", "#n/a", "<na>", "nan", "nat", "null", "none", "nil"),
        *("undefined", "unknown", "tbd", "tba", "todo", "xxx", r"\n"),
        *("not set", "(none)", "(null)", "(blank)", "(leer)"),
    }
)


@dataclass(frozen=True, slots=True)
class IdProblem:
    """Why a cell is no id."""

    reason: str
    message: str
    column: str


def is_stand_in(item_id: str) -> bool:
    """Return whether a text stands for nothing, so that records with it have nothing in common.

    >>> [is_stand_in(text) for text in ("N/A", "--", "?", "null", "NA-1", "0")]
    [True, True, True, True, False, False]
    """
    return item_id.casefold() in _STAND_INS or not any(map(str.isalnum, item_id))


def has_lost_digits(item_id: str) -> bool:
    """Return whether an id is a number that a spreadsheet rounded.

    >>> has_lost_digits("1.23457E+17"), has_lost_digits("1,23457E+17"), has_lost_digits("E+17")
    (True, True, False)
    """
    return "+" in item_id and _ROUNDED.fullmatch(item_id) is not None


def lost_digits(item_id: str) -> list[Flag]:
    """Return the flag of an id that a spreadsheet rounded; others may have become the same."""
    if not has_lost_digits(item_id):
        return []
    message = (
        f"the id {item_id} is a number that was rounded when it was written, so other items may "
        "have it too; export the column as text"
    )
    return [Flag(CODE_LOST_DIGITS, "", message)]


def _whole_number(number: float | Decimal) -> int | str | float | Decimal:
    """Return the whole number that an id was before it became a float: as it is written where
    digits are lost, itself where it has a fraction.
    """
    if isinstance(number, Decimal):
        is_whole = number.is_finite() and 0 <= number.adjusted() < MAX_ID_CHARS
        return int(number) if is_whole and number == number.to_integral_value() else number
    if not number.is_integer():
        return number
    return int(number) if abs(number) < EXACT else f"{Decimal(repr(number)).normalize():e}"


def wrong_type(column: str, cell: Any) -> IdProblem:
    """Return what is wrong with a cell that can be no id."""
    return IdProblem(
        "id-wrong-type",
        f"{column} holds {shorten(cell)}, a {type(cell).__name__}; write text or a whole number",
        column,
    )


def check_id(column: str, cell: Any) -> str | IdProblem:
    """Return the id that a cell of an input holds, or why it holds none."""
    if isinstance(cell, float | Decimal):
        cell = _whole_number(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        return wrong_type(column, cell)
    text = as_text(cell)
    item_id = "" if text is None else unwrapped(text).strip()
    if not item_id.isascii():
        item_id = item_id.strip(_INVISIBLE).strip()
    if not 0 < len(item_id) <= MAX_ID_CHARS:
        return IdProblem(
            "id-invalid",
            f"{column} is {len(item_id):,} characters long; allowed: {MAX_ID_CHARS}",
            column,
        )
    if not item_id.isprintable() and any(
        unicodedata.category(char) in _NO_ID_CHARS for char in item_id
    ):
        return IdProblem(
            "id-invalid", f"{column} holds {item_id!a}; control characters are not allowed", column
        )
    return item_id

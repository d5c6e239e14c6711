"""Dates, as exactly as they are known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.attributes import Attribute
from schemas.elements import Value
from schemas.template import ColumnFormat
from transforms.attribute_types.contract import (
    NOTHING,
    CellReader,
    Reading,
    TypeOperations,
    count_texts,
)
from transforms.attribute_types.reading import flagged, shorten, single_entry
from transforms.extraction.cells import as_text
from transforms.extraction.dates.formats import date_of_moment, read_formatted
from transforms.extraction.dates.written import (
    FIRST_YEAR,
    LAST_YEAR,
    DateOrder,
    are_compatible,
    date_readings,
    find_dates,
    in_words,
)
from transforms.extraction.plain_text import to_single_line
from transforms.extraction.statements import Finder, Statement, label_ends, labels_of

_LABEL_THEN_DATE = re.compile(r"\s?[:=]\s?|\s")
_YEAR_CHARS = 4
_SAY_ORDER = "dates: day-first or dates: month-first under columns:"


class DateOperations(TypeOperations):
    """ISO dates of day, month or year.

    A date says the same as a more exact one that begins with it: they do not contradict each
    other, and a text that states both states the exact one. An evaluation tells them apart, as an
    answer that is less exact than the truth is not the truth.

    No probe learns them: nearly each item has its own.
    """

    rule_method = "rule:date"
    is_checked_against_texts = True

    def reader(self, attribute: Attribute, _sibling_units: tuple[str, ...]) -> CellReader:
        return partial(_read, attribute)

    def finder(self, attribute: Attribute, *, alone: bool) -> Finder:  # noqa: ARG002
        return _labelled_dates(attribute)

    def decide(self, _attribute: Attribute, statements: Sequence[Statement]) -> Statement | None:
        exact = max(statements, key=lambda statement: len(str(statement.value)))
        agrees = all(self.agree(statement.value, exact.value) for statement in statements)
        return exact if agrees else None

    def parse_answer(self, _attribute: Attribute, said: Any) -> Value | None:
        readings = date_readings(said)
        return readings[0] if len(readings) == 1 else None

    def format(self, _attribute: Attribute, value: Value) -> str:
        return in_words(str(value))

    def agree(self, given: Value, stated: Value) -> bool:
        return are_compatible(str(given), str(stated))

    def count(self, values: pa.Array) -> dict[str, int] | None:
        """Return how often each year occurs."""
        return count_texts(pc.utf8_slice_codeunits(values, 0, _YEAR_CHARS))


def _read(attribute: Attribute, cell: Any, column: ColumnFormat, keyed: bool) -> Reading:
    entry, problem = single_entry(attribute, cell, column, keyed)
    if entry is None:
        return problem
    is_number = isinstance(entry, int | float) and not isinstance(entry, bool)
    text = as_text(entry)
    if attribute.format:
        return _read_formatted(attribute, entry, text)
    if is_number and (text is None or not _is_year(text)):
        # A float has lost the zero of 2024.10, so it is not known which month was meant.
        detail = f"{shorten(entry)} is a number, and only a year may be one"
        return flagged(
            attribute, "value-wrong-type", f'{detail}; write a date as text, for example "2024-10"'
        )
    line = "" if text is None else to_single_line(text)
    if text is not None and not line:
        return NOTHING
    readings = _readings(line, column.dates)
    if len(readings) == 1:
        return readings[0], ()
    if readings:
        meant, written = " or ".join(map(in_words, readings)), " or ".join(readings)
        detail = f"{shorten(entry)} may mean {meant}; write {written}, or say {_SAY_ORDER}"
    else:
        detail = (
            f"{shorten(entry)} is not a date; write for example 2024-05-17, 2024-05 or 2024, the "
            "year with four digits"
        )
    return flagged(attribute, "value-wrong-type", detail)


def _read_formatted(attribute: Attribute, entry: Any, text: str | None) -> Reading:
    line = "" if text is None else to_single_line(text)
    if text is not None and not line:
        return NOTHING
    found = read_formatted(line, attribute.format)
    if found is None or not FIRST_YEAR <= int(found.value[:_YEAR_CHARS]) <= LAST_YEAR:
        allowed = " or ".join(attribute.format)
        detail = f"{shorten(entry)} is no date as the template has it; write {allowed}"
        return flagged(attribute, "value-wrong-type", detail)
    return found.value, ()


def _readings(line: str, order: DateOrder | None) -> Sequence[str]:
    """Return the dates that a text may mean, of a date with a time the date as it stands there."""
    readings = date_readings(line, order)
    # A time behind a year that comes last: "15.01.2026 08:30".
    return readings or date_readings(date_of_moment(line), order)


def _is_year(text: str) -> bool:
    return len(text) == _YEAR_CHARS and bool(date_readings(text))


def _labelled_dates(attribute: Attribute) -> Finder:
    """Find dates behind the attribute's name; any other date may be of anything."""
    labels = labels_of(attribute)

    def find(text: str) -> list[Statement]:
        ends = label_ends(text, labels)
        # Most texts name no label, and looking for dates costs more than looking for labels.
        return [
            Statement(mention.value, mention.begin, mention.end, "labelled-term")
            for mention in (find_dates(text) if ends else ())
            if _is_behind(text, mention.begin, ends)
        ]

    return find


def _is_behind(text: str, begin: int, ends: Sequence[int]) -> bool:
    return any(_LABEL_THEN_DATE.fullmatch(text, end, begin) for end in ends)

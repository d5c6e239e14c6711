"""Yes or no."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa

from schemas.attributes import Attribute
from schemas.elements import Value
from schemas.template import ColumnFormat
from transforms.attribute_types.contract import (
    CellReader,
    ProbeKind,
    Reading,
    TypeOperations,
    count_texts,
)
from transforms.attribute_types.reading import flagged, shorten, single_entry
from transforms.extraction.cells import as_text
from transforms.extraction.plain_text import to_single_line
from transforms.extraction.statements import Finder, term_finder

_JOINED = re.compile(r"(?<=\w)[_-](?=\w)")
_YES, _NO = "yes", "no"


class BooleanOperations(TypeOperations):
    """Booleans; a text states one by a term of the template, or by a denied true term."""

    rule_method = "rule:term"
    helps_probes = True
    is_checked_against_texts = True
    is_compared_across_items = True
    is_held_by_gate = True

    def reader(self, attribute: Attribute, _sibling_units: tuple[str, ...]) -> CellReader:
        return partial(_read, attribute, _terms(attribute))

    def finder(self, attribute: Attribute, *, alone: bool) -> Finder:  # noqa: ARG002
        return term_finder(attribute)

    def parse_answer(self, _attribute: Attribute, said: Any) -> Value | None:
        return bool(said == _YES)

    def format(self, _attribute: Attribute, value: Value) -> str:
        return _YES if value else _NO

    def candidate_text(self, value: Value) -> str:
        # Candidates of an earlier run come back as the text that they were written as.
        if isinstance(value, str):
            return value
        return _YES if value else _NO

    def texts(self, value: Value) -> tuple[str, ...]:
        return (_YES if value else _NO,)

    def candidate_texts(self, candidate: str) -> tuple[str, ...]:
        return self.texts(candidate.strip().casefold() in ("true", "yes", "1"))

    def probe_kind(self, _attribute: Attribute) -> ProbeKind:
        return "classes"

    def value_of_labels(self, _attribute: Attribute, labels: Sequence[str]) -> Value:
        return labels[0] == _YES

    def count(self, values: pa.Array) -> dict[str, int] | None:
        return count_texts(values)


@lru_cache(maxsize=1024)
def _folded(term: str) -> str:
    """Return a term without case, and with spaces where feeds write `in_stock` or `pre-order`."""
    return _JOINED.sub(" ", term).casefold()


def _terms(attribute: Attribute) -> dict[str, bool]:
    """Return how yes and no are written, folded; what stands for both is yes."""
    said_no = dict.fromkeys(map(_folded, attribute.false_terms), False)
    return said_no | dict.fromkeys(map(_folded, attribute.true_terms), True)


def _read(
    attribute: Attribute, terms: Mapping[str, bool], cell: Any, column: ColumnFormat, keyed: bool
) -> Reading:
    entry, problem = single_entry(attribute, cell, column, keyed)
    if entry is None:
        return problem
    if isinstance(entry, bool):
        return entry, ()
    text = as_text(entry)
    term = "" if text is None else _folded(to_single_line(text))
    # A column of 0 and 1 in which some are missing is one of floats for pandas.
    value = terms.get(term.removesuffix(".0") if term in ("0.0", "1.0") else term)
    if value is not None:
        return value, ()
    allowed = ", ".join([*attribute.true_terms, *attribute.false_terms])
    return flagged(
        attribute, "value-wrong-type", f"{shorten(entry)} is neither yes nor no; allowed: {allowed}"
    )

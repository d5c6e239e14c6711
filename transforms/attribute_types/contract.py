"""What the stages ask of an attribute type; templates ask its half in schemas.attribute_types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from schemas.attribute_types.contract import UNKNOWN
from schemas.attributes import Attribute
from schemas.elements import Flag, Value
from schemas.template import ColumnFormat
from transforms.extraction.plain_text import to_single_line
from transforms.extraction.statements import Finder, Statement

# A value, or None with the flags that say why there is none; no flags where the cell says nothing.
Reading = tuple[Value | None, tuple[Flag, ...]]
# (cell, how its column is written, whether it stood under a key of the column's cell) → Reading
CellReader = Callable[[Any, ColumnFormat, bool], Reading]
ProbeKind = Literal["classes", "spans", "none"]

NOTHING: Reading = (None, ())


class TypeOperations(ABC):
    """One attribute type at work. Stateless: the attribute comes with every call.

    What a base method does fits a type whose values are single texts.

    rule_method: how the tables name what the rules of this type find; empty where there are none.
    is_context: a known value is shown to a language model that is asked for others. Never so for
    what changes every night, as each change would make a new question, to be paid for again.
    is_label: a known value is kept as a label, to learn from or to be shown as an example.
    helps_probes: a known value is a feature of probes for other attributes.
    is_checked_against_texts: a text that surely states another value contradicts the source.
    is_compared_across_items: items with the same picture or text should have the same value.
    is_held_by_gate: the gate checks values themselves and not only that there are any.
    """

    rule_method: ClassVar[str] = ""
    is_context: ClassVar[bool] = False
    is_label: ClassVar[bool] = True
    helps_probes: ClassVar[bool] = False
    is_checked_against_texts: ClassVar[bool] = False
    is_compared_across_items: ClassVar[bool] = False
    is_held_by_gate: ClassVar[bool] = False

    # From cells, texts and answers

    @abstractmethod
    def reader(self, attribute: Attribute, sibling_units: tuple[str, ...]) -> CellReader:
        """Return the function that reads the attribute's cells; it never raises.

        sibling_units: of attributes that read the same column but measure something else.
        """

    def finder(self, attribute: Attribute, *, alone: bool) -> Finder:  # noqa: ARG002
        """Return the function that finds what a text states, in order of place.

        alone: no other attribute takes quantities of this kind.
        """
        return lambda _text: []

    def decide(self, attribute: Attribute, statements: Sequence[Statement]) -> Statement | None:  # noqa: ARG002
        """Return the one statement that all of a text come down to, None where they differ.

        statements: at least one.
        """
        return agreed(statements)

    def is_unknown(self, said: Any) -> bool:
        """Return whether a model's answer says that it does not know.

        A closed list may hold the word itself in another case, so that case counts.
        """
        return bool(said == UNKNOWN)

    def parse_answer(self, attribute: Attribute, said: Any) -> Value | None:  # noqa: ARG002
        """Return the value that an answer stands for; None for what its schema could not rule out.

        said: obeys the schema of `TypeSpec.answer_schema`, and is not unknown.
        """
        return str(said)

    # To texts and tables, and back

    def format(self, attribute: Attribute, value: Value) -> str:  # noqa: ARG002
        """Return a value as a reader would say it."""
        return str(value)

    def to_arrow(self, attribute: Attribute, value: Value) -> Any:  # noqa: ARG002
        """Return a value as its column takes it."""
        return value

    def from_arrow(self, value: Any) -> Value:
        """Return a value as elements hold it; the inverse of `to_arrow`."""
        return value

    def gate_values(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the values that the gate checks, of a type that is held by it."""
        return values

    def candidate_text(self, value: Value) -> str:
        """Return a value that was considered and not good enough, as the provenance writes it."""
        return str(value)

    # To compare, learn and count

    def agree(self, given: Value, stated: Value) -> bool:
        """Return whether a value of the source and one that a text states may both be right."""
        return given == stated

    def texts(self, value: Value) -> tuple[str, ...]:
        """Return a value as texts that an evaluation compares; several for several answers."""
        return (str(value),)

    def candidate_texts(self, candidate: str) -> tuple[str, ...]:
        """Return the texts of a value that `candidate_text` wrote."""
        return (candidate,)

    def comparison_key(self, text: str) -> str:
        """Return what is equal for texts of equal values: without case and spacing."""
        return to_single_line(text).casefold()

    def probe_kind(self, attribute: Attribute) -> ProbeKind:  # noqa: ARG002
        """Return what a probe learns: a class, a span of the texts, or nothing."""
        return "none"

    def value_of_labels(self, attribute: Attribute, labels: Sequence[str]) -> Value:  # noqa: ARG002
        """Return the value that labels stand for, at least one."""
        return labels[0]

    def count(self, values: pa.Array) -> dict[str, int] | None:  # noqa: ARG002
        """Return how often each value occurs, or each bin; None for a type with too many values."""
        return None


def agreed(statements: Sequence[Statement]) -> Statement | None:
    """Return the first of statements that are all of one value, else None.

    The value's own name outranks a synonym of it.
    """
    if any(statement.value != statements[0].value for statement in statements):
        return None
    return min(statements, key=lambda statement: (statement.kind == "synonym", statement.begin))


def count_texts(values: pa.Array) -> dict[str, int]:
    """Return how often each value occurs, nulls left out."""
    return {
        str(each["values"]): each["counts"]
        for each in pc.value_counts(values.drop_null()).to_pylist()
    }

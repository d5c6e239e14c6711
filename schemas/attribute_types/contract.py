"""What every attribute type has to say before a value is seen: its options, its column, and how a
language model is asked for it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import pyarrow as pa

# The word by which a model says that it does not know.
UNKNOWN = "unknown"
MAX_TEXT_CHARS = 200
MAX_LIST_VALUES = 12


class Entry(Protocol):
    """What a type may look at of the entry that names it, a schemas.attributes.Attribute."""

    @property
    def fill(self) -> bool: ...
    @property
    def unit(self) -> str | None: ...
    @property
    def part(self) -> str | None: ...
    @property
    def min(self) -> float | None: ...
    @property
    def max(self) -> float | None: ...
    @property
    def integer(self) -> bool: ...
    @property
    def pattern(self) -> str | None: ...
    @property
    def max_length(self) -> int: ...
    @property
    def scheme(self) -> str | None: ...
    @property
    def currency(self) -> str | None: ...


class TypeSpec(ABC):
    """One attribute type; to be compared by identity, as there is one object of each class.

    JSON schemas and prompt lines are part of the address of a stored answer: whoever changes one
    for an existing type makes every answer be asked, and paid for, again.

    options: keys of the template entry that only some types take.
    has_closed_list: the template lists the values, which may be checked, counted and offered.
    of_one_row: a value is never that of another variant of the product: weights, codes, dates.
    is_list: an item has several values, and they have a frame of their own in the gate.
    is_taxonomy: the values are paths, of which one may lie above another.
    is_number: values are counted in bins, and compared with those of similar items.
    is_free_text: a value is no longer than the attribute's `max_length`.
    takes_role: a value may be the item's title or text, from which others are filled.
    is_fillable: a missing value may be filled.
    is_drafted_filled: a drafted template fills missing values, as a wrong one is unlikely enough.
    """

    options: ClassVar[frozenset[str]] = frozenset()
    has_closed_list: ClassVar[bool] = False
    is_list: ClassVar[bool] = False
    of_one_row: ClassVar[bool] = False
    is_taxonomy: ClassVar[bool] = False
    is_number: ClassVar[bool] = False
    is_free_text: ClassVar[bool] = False
    takes_role: ClassVar[bool] = False
    is_fillable: ClassVar[bool] = True
    is_drafted_filled: ClassVar[bool] = False

    def problems(self, entry: Entry) -> Iterator[str]:  # noqa: ARG002
        """Yield what is wrong with the entry's own options, each with what to write instead."""
        yield from ()

    def arrow_type(self, entry: Entry) -> pa.DataType:  # noqa: ARG002
        """Return the type of the value column."""
        return pa.string()

    def stored_pattern(self, entry: Entry) -> str | None:  # noqa: ARG002
        """Return the regular expression that every stored value must match as a whole, if any."""
        return None

    @abstractmethod
    def answer_schema(self, entry: Entry, offered: Sequence[str]) -> dict[str, Any]:
        """Return the JSON Schema of a model's answer, which always allows UNKNOWN or an empty list.

        offered: of a closed list, the values that this question offers.
        """

    @abstractmethod
    def answer_hint(self, entry: Entry, offered: Sequence[str]) -> str:
        """Return the sentence of the prompt that says which answers are allowed."""


def matching(pattern: str) -> dict[str, Any]:
    """Return the JSON Schema of a text that matches `pattern`, or UNKNOWN."""
    return {"type": "string", "pattern": f"^({UNKNOWN}|{pattern})$"}


def listed(values: Sequence[str]) -> str:
    """Return the values as a prompt lists them, quoted as JSON.

    >>> listed(["Red", "Café"])
    '"Red", "Café"'
    """
    return _listed(tuple(values))


# A list stands in the prompt of every item.
@lru_cache(maxsize=256)
def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values)

"""What is made of a column: an attribute, or nothing with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipelines.drafting.shapes import ONE_VALUE
from schemas.template import ColumnFormat


@dataclass(frozen=True, slots=True)
class Guess:
    """An attribute to draft.

    source: the raw column, with `.key`; options: of the attribute's entry, but its name.

    known_share: of the records; examples: some of its texts; why: this type. column_format: of the
    raw column; column: its name, where source leads into its cells;
    more_formats: of further raw columns that feed it.
    """

    source: str
    options: dict[str, Any] = field(default_factory=dict)
    known_share: float = 0.0
    examples: tuple[str, ...] = ()
    why: str = ""
    column_format: ColumnFormat = ONE_VALUE
    column: str = ""
    mean_chars: float = 0.0
    more_formats: tuple[tuple[str, ColumnFormat], ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column that the draft does not read, and why."""

    column: str
    why: str


def key_of(source: str) -> str:
    """Return what a column, or a key of a column, is called."""
    before, dot, key = source.rpartition(".")
    # "Image URLs (x,y,z...)" has dots and no key.
    return key if dot and before and key.strip(" .)]") else source

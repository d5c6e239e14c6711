"""Columns of which an empty cell means the cell above it, and how what a row has from above is
spelled in the name of its format.

Exports write a product's key into its first row only. A row is read again from its own bytes and
its format, so the format has to hold what the bytes do not: `csv;filled=Handle%3Dmug`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from schemas.template import Template

REASON = "no-row-above"
_PART = ";filled="

Filled = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FillDown:
    """columns: as the template names them, the key first; each belongs to those before it.

    null_values: texts that count as empty, as `is_null` compares them.
    """

    columns: tuple[str, ...]
    null_values: frozenset[str]

    @classmethod
    def of(cls, template: Template) -> FillDown | None:
        """Return what a template says, None where it says nothing."""
        record = template.record
        return cls(record.fill_down, record.null_texts) if record.fill_down else None


def with_filled(spelled: str, filled: Filled) -> str:
    """Return the name of a record's format with the cells that it has from rows above; with none,
    that it needs some and there were none.

    >>> with_filled("csv", (("Handle", "mug"),)), with_filled("csv", ())
    ('csv;filled=Handle%3Dmug', 'csv;filled=')
    """
    entries = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in filled)
    return f"{spelled}{_PART}{quote(entries, safe='')}"


@lru_cache(maxsize=256)
def filled_of(spelled: str) -> Filled | None:
    """Return what `with_filled` was given; None for other formats.

    >>> filled_of("csv;filled=Handle%3Dmug"), filled_of("csv;filled="), filled_of("csv")
    ((('Handle', 'mug'),), (), None)
    """
    _, is_there, rest = spelled.partition(_PART)
    if not is_there:
        return None
    entries = [each for each in unquote(rest.partition(";")[0]).split("&") if each]
    pairs = (entry.partition("=") for entry in entries)
    return tuple((unquote(name), unquote(text)) for name, _, text in pairs)

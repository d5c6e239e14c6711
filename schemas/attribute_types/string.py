"""Free text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.attribute_types.contract import MAX_TEXT_CHARS, UNKNOWN, Entry, TypeSpec


class StringSpec(TypeSpec):
    """A text, with a greatest length and a pattern if the template gives one."""

    is_free_text = True
    takes_role = True

    def stored_pattern(self, entry: Entry) -> str | None:
        return entry.pattern

    def answer_schema(self, entry: Entry, _offered: Sequence[str]) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": min(entry.max_length, MAX_TEXT_CHARS),
        }

    def answer_hint(self, _entry: Entry, _offered: Sequence[str]) -> str:
        return f'A short text, or "{UNKNOWN}".'

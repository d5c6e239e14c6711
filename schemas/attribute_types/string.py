"""Free text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from schemas.attribute_types.contract import MAX_TEXT_CHARS, UNKNOWN, TypeSpec

if TYPE_CHECKING:
    from schemas.attributes import Attribute


class StringSpec(TypeSpec):
    """A text, with a greatest length and a pattern if the template gives one."""

    is_free_text = True
    takes_role = True

    def stored_pattern(self, attribute: Attribute) -> str | None:
        return attribute.pattern

    def answer_schema(self, attribute: Attribute, _offered: Sequence[str]) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": min(attribute.max_length, MAX_TEXT_CHARS),
        }

    def answer_hint(self, _attribute: Attribute, _offered: Sequence[str]) -> str:
        return f'A short text, or "{UNKNOWN}".'

"""Values of a list that the template gives: one, several, or a path of a taxonomy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from schemas.attribute_types.contract import MAX_LIST_VALUES, UNKNOWN, Entry, TypeSpec, listed


class EnumSpec(TypeSpec):
    """One value of a list, which a vocabulary may make."""

    options = frozenset({"vocabulary"})
    has_closed_list = True
    is_drafted_filled = True

    def answer_schema(self, _entry: Entry, offered: Sequence[str]) -> dict[str, Any]:
        return {"type": "string", "enum": [*dict.fromkeys([*offered, UNKNOWN])]}

    def answer_hint(self, _entry: Entry, offered: Sequence[str]) -> str:
        return f'One of {listed(offered)}, or "{UNKNOWN}".'


class CategorySpec(EnumSpec):
    """One value of a taxonomy; its values are paths, `Food > Dairy > Milk`."""

    options = frozenset()
    is_taxonomy = True


class MultiEnumSpec(TypeSpec):
    """Several values of a list, which a vocabulary may make."""

    options = frozenset({"vocabulary"})
    has_closed_list = True
    is_list = True
    is_drafted_filled = True

    def arrow_type(self, _entry: Entry) -> pa.DataType:
        return pa.list_(pa.string())

    def answer_schema(self, _entry: Entry, offered: Sequence[str]) -> dict[str, Any]:
        return {
            "type": "array",
            "items": {"type": "string", "enum": list(offered)},
            "maxItems": min(len(offered), MAX_LIST_VALUES),
        }

    def answer_hint(self, _entry: Entry, offered: Sequence[str]) -> str:
        most = min(len(offered), MAX_LIST_VALUES)
        return f"A list of up to {most} of {listed(offered)}; an empty list when unknown."

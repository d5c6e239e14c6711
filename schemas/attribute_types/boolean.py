"""Yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from schemas.attribute_types.contract import UNKNOWN, Entry, TypeSpec


class BooleanSpec(TypeSpec):
    """Yes or no, in the words of the template's `true_terms` and `false_terms`."""

    is_drafted_filled = True

    def arrow_type(self, _entry: Entry) -> pa.DataType:
        return pa.bool_()

    def answer_schema(self, _entry: Entry, _offered: Sequence[str]) -> dict[str, Any]:
        return {"type": "string", "enum": ["yes", "no", UNKNOWN]}

    def answer_hint(self, _entry: Entry, _offered: Sequence[str]) -> str:
        return f'"yes", "no" or "{UNKNOWN}".'

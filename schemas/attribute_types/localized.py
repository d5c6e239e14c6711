"""Texts by language."""

from __future__ import annotations

import pyarrow as pa

from schemas.attribute_types.contract import Entry
from schemas.attribute_types.string import StringSpec


class LocalizedSpec(StringSpec):
    """The same text in several languages; a translation that is missing is not filled."""

    is_free_text = False  # checked language by language while it is read
    is_fillable = False

    def arrow_type(self, _entry: Entry) -> pa.DataType:
        return pa.map_(pa.string(), pa.string())

    def stored_pattern(self, _entry: Entry) -> str | None:
        return None

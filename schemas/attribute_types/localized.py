"""Texts by language."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from schemas.attribute_types.string import StringSpec

if TYPE_CHECKING:
    from schemas.attributes import Attribute


class LocalizedSpec(StringSpec):
    """The same text in several languages; a translation that is missing is not filled."""

    is_free_text = False  # checked language by language while it is read
    is_fillable = False

    def arrow_type(self, _attribute: Attribute) -> pa.DataType:
        return pa.map_(pa.string(), pa.string())

    def stored_pattern(self, _attribute: Attribute) -> str | None:
        return None

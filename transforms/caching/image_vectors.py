"""Vectors of images by encoders other than the run's own, cached by content: an image is encoded
once by each, over all runs.

OUTPUT/picture-features/<made by>, by the range of the digests (transforms/caching/key_range.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from transforms.caching.files import Row, RowLayout
from transforms.caching.image_features import VECTOR_ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class VectorCodec:
    """Vectors, float32 little-endian bytes, as rows by the digest of their image.

    made_by: digest of everything but the image that a vector depends on.
    """

    made_by: str

    layout: ClassVar[RowLayout] = RowLayout(
        pa.schema(
            [
                pa.field("digest", pa.string(), nullable=False),
                pa.field("made_by", pa.string(), nullable=False),
                pa.field("vector", pa.large_binary(), nullable=False),
            ]
        ),
        key=("digest", "made_by"),
    )
    journalled: ClassVar[bool] = False
    flush_rows: ClassVar[float] = math.inf
    flush_secs: ClassVar[float] = 10.0
    required: ClassVar[bool] = False

    def row_of(self, key: str, value: bytes) -> Row | None:
        # An image that the encoder failed on is tried again.
        return {"digest": key, "made_by": self.made_by, "vector": value} if value else None

    def key_of(self, row: Row) -> str | None:
        return str(row["digest"]) if row["made_by"] == self.made_by else None

    def value_of(self, row: Row) -> bytes | None:
        vector = bytes(row["vector"])
        return vector if vector and len(vector) % VECTOR_ENTRY_BYTES == 0 else None

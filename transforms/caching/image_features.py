"""Features of images, cached by content: an image is encoded and tagged once, over all runs.

OUTPUT/picture-features, by the range of the digests (transforms/caching/key_range.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import msgspec
import pyarrow as pa

from schemas.elements import ImageFeatures, decoder, encode
from transforms.caching.files import Row, RowLayout

# Of the vectors in ImageFeatures. A file may hold anything, and a vector that ends within a number
# would stop its readers.
VECTOR_ENTRY_BYTES, STYLE_ENTRY_BYTES = 4, 2


@dataclass(frozen=True, slots=True)
class FeatureCodec:
    """Features as rows, by the digest of their image.

    made_by: digest of everything but the image that features depend on; rows of others stay in the
    files, but answer no lookup.
    """

    made_by: str

    layout: ClassVar[RowLayout] = RowLayout(
        pa.schema(
            [
                pa.field("digest", pa.string(), nullable=False),
                pa.field("made_by", pa.string(), nullable=False),
                pa.field("features", pa.large_binary(), nullable=False),
            ]
        ),
        key=("digest", "made_by"),
    )
    # Bytes do not fit into lines of JSON; ten seconds of computing are cheap to repeat.
    journalled: ClassVar[bool] = False
    flush_rows: ClassVar[float] = math.inf
    flush_secs: ClassVar[float] = 10.0
    required: ClassVar[bool] = False

    def row_of(self, key: str, value: ImageFeatures) -> Row | None:
        # An image that a model failed on is tried again.
        if value.failure is not None:
            return None
        return {"digest": key, "made_by": self.made_by, "features": encode(value)}

    def key_of(self, row: Row) -> str | None:
        return str(row["digest"]) if row["made_by"] == self.made_by else None

    def value_of(self, row: Row) -> ImageFeatures | None:
        try:
            features = decoder(ImageFeatures).decode(row["features"])
        except (msgspec.DecodeError, ValueError):  # written by another version
            return None
        whole = (
            len(features.vector) % VECTOR_ENTRY_BYTES == 0
            and len(features.style) % STYLE_ENTRY_BYTES == 0
        )
        return features if whole and features.digest == row["digest"] else None

"""The frozen elements that travel between stages, and their compact serial form.

Image bytes never travel with a record, nor do vectors before its bucket is put together:
references, digests and the results of each image do.
"""

from schemas.elements.images import ImageFeatures, ImageRef, ImageResult, LocatedImage
from schemas.elements.items import (
    Bucket,
    Contradiction,
    Finding,
    Item,
    ItemDigest,
    JoinedRows,
    TextChunk,
    with_item_raws,
)
from schemas.elements.questions import (
    AskedAhead,
    Demonstration,
    DescribeJob,
    Example,
    ItemAnswer,
    PreviousAnswer,
)
from schemas.elements.records import (
    DELETED,
    KEY_BYTES,
    LONG_HEADER_BYTES,
    MERGED,
    MODEL_ANSWER,
    POINTS,
    Flag,
    ImageRow,
    RawRecord,
    Record,
    Reject,
    key_maker,
    with_raws,
)
from schemas.elements.spooled import Spooled, decoder, encode
from schemas.elements.values import AttributeValue, Evidence, EvidenceText, Value

__all__ = [
    "DELETED",
    "KEY_BYTES",
    "LONG_HEADER_BYTES",
    "MERGED",
    "MODEL_ANSWER",
    "POINTS",
    "AskedAhead",
    "AttributeValue",
    "Bucket",
    "Contradiction",
    "Demonstration",
    "DescribeJob",
    "Evidence",
    "EvidenceText",
    "Example",
    "Finding",
    "Flag",
    "ImageFeatures",
    "ImageRef",
    "ImageResult",
    "ImageRow",
    "Item",
    "ItemAnswer",
    "ItemDigest",
    "JoinedRows",
    "LocatedImage",
    "PreviousAnswer",
    "RawRecord",
    "Record",
    "Reject",
    "Spooled",
    "TextChunk",
    "Value",
    "decoder",
    "encode",
    "key_maker",
    "with_item_raws",
    "with_raws",
]

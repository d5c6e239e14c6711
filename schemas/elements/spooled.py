"""Elements as bytes, for spool files."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.elements.images import ImageFeatures, ImageRef, ImageResult, LocatedImage
from schemas.elements.items import Finding, ItemDigest
from schemas.elements.questions import AskedAhead, DescribeJob, Example, ItemAnswer, PreviousAnswer
from schemas.elements.records import ImageRow, Record, Reject

Spooled = (
    Record
    | Reject
    | ImageRow
    | ImageRef
    | ImageFeatures
    | ImageResult
    | LocatedImage
    | DescribeJob
    | ItemAnswer
    | Example
    | ItemDigest
    | Finding
    | PreviousAnswer
    | AskedAhead
)


_encoder = msgspec.msgpack.Encoder()


def encode(element: Spooled) -> bytes:
    """Serialise an element for a spool file."""
    return _encoder.encode(element)


def decoder(element_type: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    """Return a reusable decoder that checks types while it reads."""
    return msgspec.msgpack.Decoder(element_type)

"""Elements as bytes, for spool files."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from schemas.elements.images import ImageFeatures, ImageRef, ImageResult, LocatedImage
from schemas.elements.items import Contradiction, Finding, Item, ItemDigest, JoinedRows
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
    | Item
    | JoinedRows
    | DescribeJob
    | ItemAnswer
    | Example
    | ItemDigest
    | Contradiction
    | Finding
    | PreviousAnswer
    | AskedAhead
)


def pack_array(value: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Return dtype, shape and bytes of an array: what msgspec asks for of what it does not know.

    Raises TypeError for anything else.
    """
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} is neither plain data nor an array")
    return value.dtype.str, value.shape, value.tobytes()


def unpack_array(_: type, packed: Any) -> Any:
    """Return the array of what `pack_array` returned; it is read-only."""
    dtype, shape, data = packed
    return np.frombuffer(data, dtype).reshape(shape)


_encoder = msgspec.msgpack.Encoder(enc_hook=pack_array)


def encode(element: Any) -> bytes:
    """Serialise an element for a spool file, or whatever else is of dataclasses and arrays."""
    return _encoder.encode(element)


def decoder(element_type: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    """Return a reusable decoder that checks types while it reads."""
    return msgspec.msgpack.Decoder(element_type, dec_hook=unpack_array)

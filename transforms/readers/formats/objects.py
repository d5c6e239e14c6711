"""Records that are no bytes of their file, kept as one JSON object each: rows of workbooks,
elements of XML. InputSplit → ParsedRecord | Reject.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import orjson

from schemas.elements import RawRecord, Reject, key_maker
from transforms.readers.contract import (
    STAGE,
    InputSplit,
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    Unread,
    check_size,
    parsed_in_time,
)
from transforms.readers.formats.jsonl import parse_object

# What the objects are kept as, so that a record in quarantine is read again as any JSON is.
_KEPT_AS = "jsonl"


class Object(NamedTuple):
    """A record. number: of its row, or of the line that it begins in, 1-based.

    size_bytes: that it was read from, where only a part of them is kept; else 0.
    """

    number: int
    cells: dict[str, Any]
    size_bytes: int = 0


def unread_objects(
    split: InputSplit, limits: ReadLimits, objects: Iterator[Object]
) -> Iterator[Unread]:
    """Yield objects as records that are not looked into."""
    record_format = split.spelled(_KEPT_AS)
    key_of, read = key_maker(split.kind, record_format), partial(_read, limits)
    for each in objects:
        data = orjson.dumps(each.cells)
        raw = RawRecord(
            data[: limits.kept_bytes],
            record_format,
            split.path,
            each.number,
            split.begin,
            b"",
            max(len(data), each.size_bytes),
            split.kind,
        )
        yield Unread(raw.data, key_of, read, raw)


def _read(limits: ReadLimits, raw: RawRecord) -> ParsedRecord | Reject:
    try:
        check_size(raw.true_size_bytes, limits)
        return ParsedRecord(raw, parsed_in_time(limits, len(raw.data), parse_object, raw.data)[0])
    except RecordRefusedError as refused:
        return Reject(raw, refused.reason, STAGE, str(refused))

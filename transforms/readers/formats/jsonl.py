"""JSON lines: one object a line, read in byte ranges. InputSplit → ParsedRecord | Reject."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from schemas.elements import RawRecord, Reject, key_maker
from schemas.sections.inputs import InputDescription
from transforms.extraction.exact_json import parse_json
from transforms.readers.contract import (
    STAGE,
    Format,
    InputSplit,
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    SplitDigest,
    Unread,
    check_size,
    check_uncut,
    utf8_problem,
)
from transforms.readers.formats.lines import Line, open_lines

_EXCERPT_CHARACTERS = 20
_JSON_TYPES = {
    list: "a list",
    str: "a text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    Decimal: "a number",
}


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object of one line; raises RecordRefusedError."""
    try:
        cells = parse_json(data)
    except orjson.JSONDecodeError as error:
        raise _explain(data, error) from error
    except RecursionError as error:
        message = (
            "nested too deeply to read its long numbers exactly; write them as text, or nest less"
        )
        raise RecordRefusedError("malformed-json", message) from error
    if not isinstance(cells, dict):
        raise RecordRefusedError(
            "not-an-object", f"the line is {_JSON_TYPES.get(type(cells), 'null')}, not an object"
        )
    return cells


def _explain(data: bytes, error: orjson.JSONDecodeError) -> RecordRefusedError:
    if problem := utf8_problem(data):
        return RecordRefusedError("invalid-utf8", problem)
    text = data.decode("utf-8")
    around = text[max(0, error.pos - _EXCERPT_CHARACTERS) : error.pos + _EXCERPT_CHARACTERS]
    return RecordRefusedError(
        "malformed-json", f"{error.msg} at character {error.pos + 1}, near {around!r}"
    )


def _scan(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Unread]:
    key_of = key_maker(split.kind, split.format)
    blank = record = 0
    with open_lines(split, limits, digest) as lines:
        try:
            while (line := lines.read()) is not None:
                if line.data.isspace() and line.size_bytes == len(line.data):
                    blank += 1
                    continue
                record += 1
                yield Unread(key_of(line.data), len(line.data), partial(_read, split, limits, line))
        finally:
            digest.count_lines(blank=blank, record=record)


def _read(split: InputSplit, limits: ReadLimits, line: Line) -> ParsedRecord | Reject:
    raw = RawRecord(
        line.data,
        split.format,
        split.path,
        line.number,
        split.begin,
        b"",
        line.size_bytes,
        split.kind,
    )
    try:
        check_size(line.size_bytes, limits)
        return ParsedRecord(raw, parse_object(line.data))
    except RecordRefusedError as refused:
        return Reject(raw, refused.reason, STAGE, str(refused))


def _rebuild(raw: RawRecord) -> dict[str, Any]:
    check_uncut(raw)
    return parse_object(raw.data)


def _plan(whole: InputSplit, split_bytes: int, _description: InputDescription) -> list[InputSplit]:
    if whole.gzipped or not whole.size_bytes:
        return [whole]
    ranges = (
        (begin, min(begin + split_bytes, whole.end)) for begin in range(0, whole.end, split_bytes)
    )
    return [replace(whole, begin=begin, end=end, size_bytes=end - begin) for begin, end in ranges]


JSONL = Format((".jsonl", ".ndjson", ".json"), _scan, _rebuild, _plan)

"""JSON lines: one object a line, read in byte ranges. InputSplit → ParsedRecord | Reject."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from schemas.elements import RawRecord, Reject, key_maker
from schemas.sections.inputs import InputDescription
from transforms.extraction.structures.exact_json import parse_json
from transforms.extraction.structures.json_repair import mend_json
from transforms.readers.clues.encodings import find_encoding
from transforms.readers.contract import (
    DEFAULT_LIMITS,
    SHORT_BYTES,
    STAGE,
    Format,
    InputSplit,
    ParsedRecord,
    ReadAs,
    ReadLimits,
    RecordRefusedError,
    Records,
    SplitDigest,
    Unread,
    UnreadableError,
    check_size,
    check_uncut,
    parsed_in_time,
    utf8_problem,
)
from transforms.readers.formats.json_documents import (
    SAMPLE_BYTES,
    Around,
    find_records,
    read_elements,
)
from transforms.readers.formats.lines import UTF8, Line, Lines, open_lines

_EXCERPT_CHARACTERS = 20
_JSON_TYPES = {
    list: "a list",
    str: "a text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    Decimal: "a number",
}


def parse_object(data: bytes) -> tuple[dict[str, Any], str]:
    """Return the JSON object of one record, and what was mended in words; raises
    RecordRefusedError.
    """
    mended = ""
    try:
        try:
            cells = parse_json(data)
        except orjson.JSONDecodeError as error:
            cells, mended = _mended(data, error)
    except RecursionError as error:
        message = (
            "nested too deeply to read its long numbers exactly; write them as text, or nest less"
        )
        raise RecordRefusedError("malformed-json", message) from error
    if not isinstance(cells, dict):
        raise RecordRefusedError(
            "not-an-object", f"the line is {_JSON_TYPES.get(type(cells), 'null')}, not an object"
        )
    return cells, mended


def _mended(data: bytes, error: orjson.JSONDecodeError) -> tuple[Any, str]:
    try:
        return mend_json(data)
    except orjson.JSONDecodeError:
        # The text as it is, not as it was mended, has the place that helps.
        raise _explain(data, error) from error


def _explain(data: bytes, error: orjson.JSONDecodeError) -> RecordRefusedError:
    if problem := utf8_problem(data):
        return RecordRefusedError("invalid-utf8", problem)
    text = data.decode("utf-8")
    around = text[max(0, error.pos - _EXCERPT_CHARACTERS) : error.pos + _EXCERPT_CHARACTERS]
    return RecordRefusedError(
        "malformed-json", f"{error.msg} at character {error.pos + 1}, near {around!r}"
    )


def _scan(split: InputSplit, limits: ReadLimits, digest: SplitDigest) -> Iterator[Unread]:
    records = split.read_as.records if split.read_as else None
    if records is not None:
        yield from _scan_document(split, limits, digest, records)
        return
    read = partial(_read, split, split.record_format, limits)
    key_of = key_maker(split.kind, split.record_format)
    blank = record = 0
    with open_lines(split, limits, digest) as lines:
        try:
            for line in lines:
                data = line[1]
                if data.isspace() and line[2] == len(data):
                    blank += 1
                    continue
                record += 1
                yield tuple.__new__(Unread, (data, key_of, read, line))
        finally:
            digest.count_lines(blank=blank, record=record)


def _scan_document(
    split: InputSplit, limits: ReadLimits, digest: SplitDigest, records: Records
) -> Iterator[Unread]:
    read = partial(_read, split, split.record_format, limits)
    key_of = key_maker(split.kind, split.record_format)
    with open_lines(split, limits, digest) as lines:
        around = Around()
        for element in read_elements(lines, records, limits.kept_bytes, around):
            line = Line(element.number, element.data, element.size_bytes)
            yield Unread(element.data, key_of, read, line)
        _drain(lines)
        digest.leave_out_around(around.excerpt)


def _drain(lines: Lines) -> None:
    """Read what follows the records, so that the whole file is in its digest."""
    while lines.take(1 << 20):
        pass


def _read(
    split: InputSplit, record_format: str, limits: ReadLimits, line: tuple[int, bytes, int]
) -> ParsedRecord | Reject:
    number, data, size_bytes = line
    raw = RawRecord(
        data, record_format, split.path, number, split.begin, b"", size_bytes, split.kind
    )
    try:
        if size_bytes > limits.max_record_bytes:
            check_size(size_bytes, limits)
        if size_bytes <= SHORT_BYTES:
            parsed = parse_object(data)
        else:
            parsed = parsed_in_time(limits, size_bytes, parse_object, data)
        return tuple.__new__(ParsedRecord, (raw, *parsed))
    except RecordRefusedError as refused:
        return Reject(raw, refused.reason, STAGE, str(refused))


def _rebuild(raw: RawRecord) -> dict[str, Any]:
    check_uncut(raw)
    return parse_object(raw.data)[0]


def _plan(whole: InputSplit, split_bytes: int, description: InputDescription) -> list[InputSplit]:
    if not whole.size_bytes:
        return [whole]
    try:
        read_as = _read_as(whole, description)
    except UnreadableError:
        return [whole]  # reading the split reports it
    if read_as is not None:
        return [replace(whole, read_as=read_as)]
    if whole.layers:
        return [whole]
    ranges = (
        (begin, min(begin + split_bytes, whole.end)) for begin in range(0, whole.end, split_bytes)
    )
    return [replace(whole, begin=begin, end=end, size_bytes=end - begin) for begin, end in ranges]


def _read_as(whole: InputSplit, description: InputDescription) -> ReadAs | None:
    """Return how a file is written that is not JSON lines in UTF-8; None for one that is."""
    sample = _sample(whole)
    name = description.encoding or find_encoding(sample).name
    if not description.encoding and not name.startswith("utf"):
        # JSON is UTF-8, so other bytes are damage, as long as nobody says otherwise.
        name = UTF8
    read_as = ReadAs(encoding=name)
    if name != UTF8:
        sample = _sample(replace(whole, read_as=read_as))
    records = find_records(sample, is_whole=len(sample) < SAMPLE_BYTES, named=description.records)
    if records is None and name == UTF8:
        return None
    return replace(read_as, records=records)


def _sample(split: InputSplit) -> bytes:
    """Return the beginning of a file, as it is read."""
    parts: list[bytes] = []
    size_bytes = 0
    with (
        open_lines(split, DEFAULT_LIMITS, SplitDigest()) as lines,
        suppress(UnreadableError),
    ):
        while size_bytes < SAMPLE_BYTES and (data := lines.take(SAMPLE_BYTES - size_bytes)):
            parts.append(data)
            size_bytes += len(data)
    return b"".join(parts)


JSONL = Format((".jsonl", ".ndjson", ".json"), _scan, _rebuild, _plan)

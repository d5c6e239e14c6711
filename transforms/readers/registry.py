"""The input formats by name, and what they have in common: reading, rebuilding, a first look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from schemas.elements import RawRecord, Reject
from transforms.readers.contract import (
    DEFAULT_LIMITS,
    STAGE,
    Format,
    InputSplit,
    ParsedRecord,
    ReadLimits,
    SplitDigest,
    SplitReport,
    Unread,
    UnreadableError,
)
from transforms.readers.dialect import base_format
from transforms.readers.formats.columnar import PARQUET
from transforms.readers.formats.delimited import CSV, TSV
from transforms.readers.formats.jsonl import JSONL

BATCH_RECORDS, BATCH_BYTES = 4_096, 4 << 20

FORMATS: dict[str, Format] = {"jsonl": JSONL, "csv": CSV, "tsv": TSV, "parquet": PARQUET}


@dataclass(frozen=True, slots=True)
class Peek:
    """A first look at a catalog.

    columns: name, in order of appearance, to the number of records that hold a value in it.
    records: read; rejects: reason to count; mean_bytes: of a record, 0 without any.
    """

    columns: dict[str, int]
    records: int
    rejects: dict[str, int]
    mean_bytes: float = 0.0


# Takes unread records and gives those that are to be read.
Choose = Callable[[Sequence[Unread]], Sequence[Unread]]


def read_split(
    split: InputSplit, limits: ReadLimits = DEFAULT_LIMITS, choose: Choose | None = None
) -> Generator[ParsedRecord | Reject | SplitReport, None, None]:
    """Return the records of a split in order, those that cannot be read as rejects, and its report
    as the last element.

    choose: is shown some thousand records at a time, and what it leaves out is only counted; None
    takes all. A file that vanished, may not be read or breaks off ends in one reject
    `file-unreadable` without bytes, whose position says how many lines or rows came before.
    """
    digest, known, records, rejects, sha256 = SplitDigest(), 0, 0, 0, ""
    unreadable: list[UnreadableError] = []
    for batch in _batches(
        FORMATS[split.format].scan(split, limits, digest), unreadable, 1 if choose is None else None
    ):
        chosen = batch if choose is None else choose(batch)
        known += len(batch) - len(chosen)
        for unread in chosen:
            element = unread.read()
            if isinstance(element, Reject):
                rejects += 1
            else:
                records += 1
            yield element
    if unreadable:
        rejects += 1
        raw = RawRecord(
            b"", split.format, split.path, unreadable[0].position, split.begin, kind=split.kind
        )
        yield Reject(raw, "file-unreadable", STAGE, str(unreadable[0]))
    elif digest.size_bytes or not split.begin:
        sha256 = digest.hexdigest()
    yield SplitReport(
        split.path,
        split.kind,
        split.begin,
        split.end,
        digest.size_bytes,
        sha256,
        records,
        rejects,
        known,
        dict(sorted(digest.lines.items())),
        dict(sorted(digest.left_out.items())),
        split.described,
    )


def _batches(
    scan: Iterator[Unread], unreadable: list[UnreadableError], most: int | None
) -> Iterator[Sequence[Unread]]:
    """Unread records, `most` or BATCH_RECORDS and about BATCH_BYTES at a time; the error that ends
    them is kept.
    """
    batch: list[Unread] = []
    size_bytes = 0
    try:
        for unread in scan:
            batch.append(unread)
            size_bytes += unread.size_bytes
            if len(batch) >= (most or BATCH_RECORDS) or size_bytes >= BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
    except UnreadableError as error:
        unreadable.append(error)
    if batch:
        yield batch


def rebuild(raw: RawRecord) -> dict[str, Any]:
    """Return the cells of a raw record, equal to those it was read with; of one that was only too
    large, too.

    Raises RecordRefusedError when its bytes give no cells, with the reason that it was refused for.
    """
    return FORMATS[base_format(raw.format)].rebuild(raw)


def peek(splits: Sequence[InputSplit], limit: int = 200) -> Peek:
    """Return the columns of the first records, about `limit` in all, an equal share from the
    beginning of each file.
    """
    columns: Counter[str] = Counter()
    rejects: Counter[str] = Counter()
    records = size_bytes = 0
    beginnings = [split for split in splits if split.begin == 0][:limit]
    for split in beginnings:
        with closing(read_split(split)) as elements:
            for element in islice(elements, limit // len(beginnings)):
                if isinstance(element, ParsedRecord):
                    records += 1
                    size_bytes += element.raw.true_size_bytes
                    columns.update(
                        {name: int(_holds_value(cell)) for name, cell in element.cells.items()}
                    )
                elif isinstance(element, Reject):
                    rejects[element.reason] += 1
    return Peek(dict(columns), records, dict(rejects), size_bytes / max(1, records))


def _holds_value(cell: Any) -> bool:
    return cell not in (None, "", [], {}) and not (isinstance(cell, str) and cell.isspace())

"""The input formats by name, and what they have in common: reading, rebuilding, a first look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from schemas.elements import RawRecord, Reject
from transforms.readers.added.fill_down import REASON, filled_of
from transforms.readers.added.partitions import Partitions, partitions_of
from transforms.readers.added.rows_above import filled_down, no_row_above
from transforms.readers.containers import unpacked_share
from transforms.readers.contract import (
    DEFAULT_LIMITS,
    STAGE,
    Format,
    InputSplit,
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    SplitDigest,
    SplitReport,
    Unread,
    UnreadableError,
)
from transforms.readers.dialect import base_format
from transforms.readers.formats.columnar import PARQUET
from transforms.readers.formats.delimited import CSV, TSV
from transforms.readers.formats.jsonl import JSONL
from transforms.readers.formats.workbook import XLSX
from transforms.readers.formats.xml import XML

BATCH_RECORDS, BATCH_BYTES = 4_096, 4 << 20

FORMATS: dict[str, Format] = {
    "jsonl": JSONL,
    "csv": CSV,
    "tsv": TSV,
    "parquet": PARQUET,
    "xml": XML,
    "xlsx": XLSX,
}

_SAMPLE_BYTES = 8 << 20
_LOOKED_AT_PACKED = 4


@dataclass(frozen=True, slots=True)
class Peek:
    """A first look at a catalog.

    columns: name, in order of appearance, to the number of records that hold a value in it.
    records: read; rejects: reason to count; mean_bytes: of a record, 0 without any. sample: the
    cells of the first records, of 8 MB at most. unpacked_share: of the largest packed files, bytes
    for each that is stored, 0 where there are none.
    """

    columns: dict[str, int]
    records: int
    rejects: dict[str, int]
    mean_bytes: float = 0.0
    sample: tuple[Mapping[str, Any], ...] = ()
    unpacked_share: float = 0.0


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
    digest, records, rejects, sha256 = SplitDigest(), 0, 0, ""
    unreadable: list[UnreadableError] = []
    scan = FORMATS[split.format].scan(split, limits, digest)
    if split.fill_down is not None:
        scan = filled_down(scan, split.fill_down)
    left_out: list[int] = []
    partitions = split.partitions
    chosen = _chosen(_until_unreadable(scan, unreadable), choose, left_out)
    for _, _, look, given in chosen:
        element = look(given)
        if isinstance(element, Reject):
            rejects += 1
        else:
            records += 1
            if partitions:
                _add_partitions(element.cells, partitions)
        yield element
    if unreadable:
        rejects += 1
        raw = RawRecord(
            b"",
            split.record_format,
            split.path,
            unreadable[0].position,
            split.begin,
            kind=split.kind,
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
        sum(left_out),
        dict(sorted(digest.lines.items())),
        dict(sorted(digest.left_out.items())),
        split.described,
    )


def _until_unreadable(
    scan: Iterator[Unread], unreadable: list[UnreadableError]
) -> Iterator[Unread]:
    """Yield unread records; the error that ends them is kept."""
    try:
        yield from scan
    except UnreadableError as error:
        unreadable.append(error)


def _chosen(scan: Iterator[Unread], choose: Choose | None, left_out: list[int]) -> Iterator[Unread]:
    """Return the records that are to be read; how many are not is kept."""
    return scan if choose is None else _only(scan, choose, left_out)


def _only(scan: Iterator[Unread], choose: Choose, left_out: list[int]) -> Iterator[Unread]:
    for batch in _batches(scan):
        chosen = choose(batch)
        left_out.append(len(batch) - len(chosen))
        yield from chosen


def _batches(scan: Iterator[Unread]) -> Iterator[Sequence[Unread]]:
    """Yield unread records, BATCH_RECORDS and about BATCH_BYTES at a time."""
    batch: list[Unread] = []
    size_bytes = 0
    for unread in scan:
        batch.append(unread)
        size_bytes += len(unread.data)
        if len(batch) >= BATCH_RECORDS or size_bytes >= BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def rebuild(raw: RawRecord) -> dict[str, Any]:
    """Return the cells of a raw record, equal to those it was read with; of one that was only too
    large, too.

    Raises RecordRefusedError when its bytes give no cells, with the reason that it was refused for.
    """
    cells = FORMATS[base_format(raw.format)].rebuild(raw)
    _add_partitions(cells, partitions_of(raw.format))
    filled = filled_of(raw.format)
    if filled is not None:
        if not filled:
            raise RecordRefusedError(REASON, no_row_above("the key"))
        cells.update(filled)
    return cells


def _add_partitions(cells: dict[str, Any], partitions: Partitions) -> None:
    """Add the columns of the path to a record that does not have them."""
    for name, value in partitions:
        cells.setdefault(name, value)


def peek(splits: Sequence[InputSplit], limit: int = 200) -> Peek:
    """Return the columns of the first records, about `limit` in all, an equal share from the
    beginning of each file.
    """
    columns: Counter[str] = Counter()
    rejects: Counter[str] = Counter()
    sample: list[Mapping[str, Any]] = []
    records = size_bytes = 0
    beginnings = [split for split in splits if split.begin == 0][:limit]
    for split in beginnings:
        with closing(read_split(split)) as elements:
            for element in islice(elements, limit // len(beginnings)):
                if isinstance(element, ParsedRecord):
                    records += 1
                    size_bytes += element.raw.true_size_bytes
                    if size_bytes <= _SAMPLE_BYTES:
                        sample.append(element.cells)
                    columns.update(
                        {name: int(_holds_value(cell)) for name, cell in element.cells.items()}
                    )
                elif isinstance(element, Reject):
                    rejects[element.reason] += 1
    mean_bytes = size_bytes / max(1, records)
    packed = sorted((each for each in splits if each.layers), key=lambda each: -each.size_bytes)
    share = max(map(unpacked_share, packed[:_LOOKED_AT_PACKED]), default=0.0)
    return Peek(dict(columns), records, dict(rejects), mean_bytes, tuple(sample), share)


def _holds_value(cell: Any) -> bool:
    return cell not in (None, "", [], {}) and not (isinstance(cell, str) and cell.isspace())

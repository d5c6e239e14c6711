"""One decision of the cascade on one held-back slot, with its truth; written to and read from
Parquet.

A slot is one attribute of one item. Values are counted, so that single-valued and multi-valued
attributes are judged
by the same sums: the candidate holds `predicted` values, the truth `expected`, and `matched` of
them agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.tables.columns import column

# Key of the file's metadata that marks a table of decisions, and the version of its columns.
_MARK = b"catalog-enrich.decisions"
_VERSION = b"1"
_METADATA = b"catalog-enrich.metadata"
_BATCH_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Decision:
    """What the cascade decided on one slot whose truth was held back.

    accepted: texts of the truth. Of a single-valued attribute each of them counts as right, of a
    multi-valued one all
        of them hold. Empty: the truth is that there is no value.
    candidate: the best value that the cascade considered, whether or not it was filled; empty when
    there was none.
    answered: whether the cascade filled the candidate at its own threshold.
    confidence: of the candidate, 0 to 1; None where none was given.
    rung: what gave the candidate: "rules", "probe", "spans", "model" ...; "" when nothing did.
    evidence: where it was seen, short and for people.
    reason: why the value stayed unknown; None when it was answered.
    matched, predicted, expected: counts of values. Single-valued: predicted is 1 with a candidate,
    expected is 1 when
        the truth has a value, matched is 1 when the candidate is right. Multi-valued: sizes of the
        two sets and of their overlap. They describe the candidate, also where it was not answered.
    baseline: the most frequent value of the labelled rows, counted by baseline_matched and
    baseline_predicted.
    images: picture references, relative to the images root.
    Raises ValueError, naming the slot, when the counts contradict the values or each other.
    """

    fold: int
    item_id: str
    attribute: str
    accepted: tuple[str, ...]
    candidate: tuple[str, ...]
    answered: bool
    confidence: float | None
    rung: str
    source: str | None
    method: str | None
    evidence: str
    reason: str | None
    matched: int
    predicted: int
    expected: int
    baseline: tuple[str, ...]
    baseline_matched: int
    baseline_predicted: int
    title: str
    images: tuple[str, ...]

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise ValueError(
                f"decision on {self.attribute!r} of item {self.item_id!r}: {'; '.join(faults)}"
            )


def _faults(decision: Decision) -> Iterator[str]:
    """Yield what a decision says that cannot be; metrics would count it wrongly without a word."""
    confidence = decision.confidence
    if confidence is not None and not 0 <= confidence <= 1:
        yield f"confidence is {confidence!r}, allowed is 0 to 1 or None"
    for values, count, name in (
        (decision.accepted, decision.expected, "expected"),
        (decision.candidate, decision.predicted, "predicted"),
        (decision.baseline, decision.baseline_predicted, "baseline_predicted"),
    ):
        if count < 0 or bool(values) != bool(count):
            yield f"{name} is {count}, but its values are {list(values)!r}"
    for matched, predicted, name in (
        (decision.matched, decision.predicted, "matched"),
        (decision.baseline_matched, decision.baseline_predicted, "baseline_matched"),
    ):
        most = min(predicted, decision.expected)
        if not 0 <= matched <= most:
            yield f"{name} is {matched}, allowed is 0 to {most}"
    if decision.answered and not decision.candidate:
        yield "answered without a candidate"


_TEXTS = pa.list_(pa.string())

COLUMNS = [
    column("fold", pa.int32(), "fold in which the item was held back", nullable=False),
    column("item_id", pa.string(), "the record's id", nullable=False),
    column("attribute", pa.string(), "attribute of the template", nullable=False),
    column(
        "accepted",
        _TEXTS,
        "texts of the truth: any of them is right for a single-valued attribute, all hold for a "
        "multi-valued one; "
        "empty when the truth is that there is no value",
        nullable=False,
    ),
    column(
        "candidate",
        _TEXTS,
        "best value considered, filled or not; empty when there was none",
        nullable=False,
    ),
    column(
        "answered",
        pa.bool_(),
        "whether the candidate was filled at the cascade's own threshold",
        nullable=False,
    ),
    column(
        "confidence", pa.float64(), "confidence of the candidate, 0 to 1; null where none was given"
    ),
    column(
        "rung",
        pa.string(),
        "rung of the cascade that gave the candidate; empty when none did",
        nullable=False,
    ),
    column(
        "source", pa.string(), "record, text, image, neighbour or model; null without a candidate"
    ),
    column("method", pa.string(), "how the candidate was found"),
    column("evidence", pa.string(), "where the candidate was seen, for people", nullable=False),
    column(
        "reason",
        pa.string(),
        "why the value stayed unknown, see docs/reasons.md; null when it was answered",
    ),
    column("matched", pa.int32(), "values of the candidate that are right", nullable=False),
    column("predicted", pa.int32(), "values of the candidate", nullable=False),
    column("expected", pa.int32(), "values of the truth", nullable=False),
    column("baseline", _TEXTS, "most frequent value of the labelled rows", nullable=False),
    column("baseline_matched", pa.int32(), "values of the baseline that are right", nullable=False),
    column("baseline_predicted", pa.int32(), "values of the baseline", nullable=False),
    column("title", pa.string(), "title of the item, for people", nullable=False),
    column("images", _TEXTS, "picture references, relative to the images root", nullable=False),
]
_SCHEMA = pa.schema(COLUMNS)
_TUPLES = [each.name for each in COLUMNS if each.type == _TEXTS]


def write_decisions(path: Path, decisions: Iterable[Decision], metadata: dict[str, str]) -> None:
    """Write decisions and what they were made with as one Parquet file (zstd).

    The file appears under its name only when it is whole. Raises OSError when it cannot be written.
    """
    marks = {_MARK: _VERSION, _METADATA: msgspec.json.encode(metadata)}
    half = path.with_name(f"{path.name}.half")
    names = [field.name for field in fields(Decision)]
    rows = iter(decisions)
    schema = _SCHEMA.with_metadata(marks)
    with pq.ParquetWriter(half, schema, compression="zstd", write_page_checksum=True) as writer:
        while batch := list(islice(rows, _BATCH_ROWS)):
            columns = {name: list(map(attrgetter(name), batch)) for name in names}
            writer.write_table(pa.table(columns, schema=_SCHEMA))
    half.replace(path)


def read_decisions(path: Path) -> tuple[list[Decision], dict[str, str]]:
    """Return the decisions of a file that `write_decisions` wrote, in its order, and their
    metadata.

    Raises ValueError that names the file when it cannot be read or is no such table.
    """
    remedy = "name a decisions file that catalog-enrich evaluate wrote"
    try:
        # Not read_table: it would take folders like fold=1 in the path for columns.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            marks: dict[bytes, bytes] = file.schema_arrow.metadata or {}
            if _MARK not in marks:
                raise ValueError(f"{path} is a Parquet file, but no table of decisions; {remedy}")
            if marks[_MARK] != _VERSION or file.schema_arrow.names != _SCHEMA.names:
                raise ValueError(
                    f"{path} holds decisions of another version of this program; evaluate again"
                )
            table = file.read().cast(_SCHEMA)
        metadata = msgspec.json.decode(marks.get(_METADATA, b"{}"), type=dict[str, str])
    except (OSError, pa.ArrowException, msgspec.MsgspecError) as error:
        raise ValueError(
            f"{path} cannot be read as a table of decisions ({_first_line(error)}); {remedy}"
        ) from error
    return [_decision(row) for row in table.to_pylist()], metadata


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(**row | {name: tuple(row[name]) for name in _TUPLES})


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

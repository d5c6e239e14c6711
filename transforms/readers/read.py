"""Catalog files → normalised records, rows of image tables, picture references, rejects.

Splits → KV[item bucket, Record], KV[item bucket, ImageRow], KV[path bucket, ImageRef], KV[bucket,
Reject], and one SplitReport a split. Everything leaves keyed by bucket, ready to be spooled.
Records that an earlier run knows are counted and not read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import apache_beam as beam

from schemas.elements import MODEL_ANSWER, Flag, ImageRef, ImageRow, RawRecord, Record, Reject
from schemas.template import Template
from transforms.normalise.records import Normaliser, normalise_image_row
from transforms.readers import (
    InputSplit,
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    SplitReport,
    read_split,
    rebuild,
)
from transforms.readers.dialect import decimals_of
from transforms.readers.known_keys import KnownFile
from transforms.runtime.buckets import bucket_of
from transforms.runtime.metrics import Meter
from transforms.runtime.parquet import DataFile, read_parquet

_IMAGE_ROWS, _IMAGE_REFS, _REJECTS, _REPORTS, _SEEN = (
    "image_rows",
    "image_refs",
    "rejects",
    "reports",
    "seen",
)


class ReadOutputs(NamedTuple):
    """What ReadCatalog gives. seen: a path a split, of what it holds of the known records."""

    records: beam.PCollection[tuple[int, Record]]
    image_rows: beam.PCollection[tuple[int, ImageRow]]
    image_refs: beam.PCollection[tuple[int, ImageRef]]
    rejects: beam.PCollection[tuple[int, Reject]]
    reports: beam.PCollection[SplitReport]
    seen: beam.PCollection[str]


def normalise_parsed(
    parsed: ParsedRecord, normaliser: Normaliser, template: Template
) -> Record | ImageRow | Reject:
    """One element for one parsed record; a fault of this program becomes a reject too."""
    raw = parsed.raw
    try:
        if raw.kind == "image-table":
            return normalise_image_row(template, raw, parsed.cells)
        record = normaliser.normalise(raw, parsed.cells)
    except Exception as error:  # one record's fault must not end the run
        return Reject(raw, "internal-error", "normalise", f"{type(error).__name__}: {error}")
    if parsed.mended and isinstance(record, Record):
        flag = Flag("input-mended", "", f"read as it is meant: {parsed.mended}")
        return replace(record, flags=(*record.flags, flag))
    return record


class _Reader(beam.DoFn):
    """Normalises what it reads, and sends each element on under its bucket."""

    def __init__(self, transform: ReadCatalog | ReplayQuarantine) -> None:
        self._template, self._num_buckets = transform.template, transform.num_buckets
        self._heartbeat_dir, self._known = transform.heartbeat_dir, transform.known

    def setup(self) -> None:
        self._normaliser = Normaliser(self._template)
        self._normalisers: dict[str, Normaliser] = {}
        self._meter = Meter("read", self._heartbeat_dir)

    def _normalised(self, parsed: ParsedRecord) -> Record | ImageRow | Reject:
        spelled = parsed.raw.format
        if ";" not in spelled:
            return normalise_parsed(parsed, self._normaliser, self._template)
        # The marks of decimals are a part of how a record is read, from a file or from quarantine.
        if spelled not in self._normalisers:
            self._normalisers[spelled] = Normaliser(self._template, decimals_of(spelled))
        return normalise_parsed(parsed, self._normalisers[spelled], self._template)

    def _route(self, element: Record | ImageRow | Reject) -> Iterator[Any]:
        if isinstance(element, Reject):
            # By content, so that a reject's place does not depend on how the input was cut into
            # files.
            bucket = bucket_of(element.raw.digest, self._num_buckets)
            yield beam.pvalue.TaggedOutput(_REJECTS, (bucket, element))
            return
        bucket = bucket_of(element.item_id, self._num_buckets)
        if isinstance(element, Record):
            yield bucket, element
            paths = element.image_refs
        else:
            yield beam.pvalue.TaggedOutput(_IMAGE_ROWS, (bucket, element))
            paths = (element.path,)
        for path in paths:
            reference = bucket_of(path, self._num_buckets), ImageRef(path, bucket)
            yield beam.pvalue.TaggedOutput(_IMAGE_REFS, reference)


class _ReadSplit(_Reader):
    """InputSplit → its records."""

    def __init__(self, transform: ReadCatalog) -> None:
        super().__init__(transform)
        self._limits = transform.limits

    def process(self, split: InputSplit) -> Iterator[tuple[int, Record] | beam.pvalue.TaggedOutput]:
        key_filter = None if self._known is None else self._known.key_filter()
        with self._meter.timed():
            for element in read_split(
                split, self._limits, None if key_filter is None else key_filter.choose
            ):
                if isinstance(element, SplitReport):
                    if key_filter is not None:
                        self._meter.add("known", element.known)
                        yield beam.pvalue.TaggedOutput(_SEEN, key_filter.save())
                    yield beam.pvalue.TaggedOutput(_REPORTS, element)
                    continue
                self._meter.add("records" if split.kind == "catalog" else "image_rows")
                read = element if isinstance(element, Reject) else self._normalised(element)
                if isinstance(read, Reject):
                    self._meter.fail(read.reason)
                if key_filter is not None:
                    key_filter.note(read.item_id, read.raw)
                yield from self._route(read)
        self._meter.beat()


class _ReplayFile(_Reader):
    """DataFile of a quarantine table → those of its records that are wanted, re-read from their
    kept bytes.
    """

    def __init__(self, transform: ReplayQuarantine) -> None:
        super().__init__(transform)
        self._snapshot, self._wanted = transform.snapshot, transform.known

    def process(self, file: DataFile) -> Iterator[tuple[int, Record] | beam.pvalue.TaggedOutput]:
        key_filter = self._wanted.key_filter()
        for row in read_parquet(self._snapshot, file).to_pylist():
            if row["input"] == MODEL_ANSWER or not key_filter.wants(row["raw_key"]):
                continue
            self._meter.add("records" if row["input"] == "catalog" else "image_rows")
            read = self._read(raw_of(row))
            key_filter.note(read.item_id, read.raw)
            yield from self._route(read)
        yield beam.pvalue.TaggedOutput(_SEEN, key_filter.save())
        self._meter.beat()

    def _read(self, raw: RawRecord) -> Record | ImageRow | Reject:
        try:
            return self._normalised(ParsedRecord(raw, rebuild(raw)))
        except RecordRefusedError as refused:
            return Reject(raw, refused.reason, "read", str(refused))


def raw_of(row: Mapping[str, Any]) -> RawRecord:
    """Return the record that a row of a quarantine table keeps."""
    place = row["raw_format"], row["source_file"], row["source_position"], row["source_begin"]
    return RawRecord(
        row["raw"], *place, row["raw_header"] or b"", row["raw_size_bytes"], row["input"]
    )


@dataclass(eq=False)
class ReadCatalog(beam.PTransform):
    """Reads and normalises all splits of a run. known: records that need not be read again."""

    splits: Sequence[InputSplit]
    template: Template
    limits: ReadLimits
    num_buckets: int
    heartbeat_dir: str = ""
    known: KnownFile | None = None

    def expand(self, root: beam.Pipeline | beam.pvalue.PBegin) -> ReadOutputs:
        outputs = (
            root
            | "Splits" >> beam.Create(list(self.splits))
            | "Spread" >> beam.Reshuffle()
            | "ReadSplit"
            >> beam.ParDo(_ReadSplit(self)).with_outputs(*ReadOutputs._fields[1:], main="records")
        )
        return ReadOutputs(*(outputs[name] for name in ReadOutputs._fields))


@dataclass(eq=False)
class ReplayQuarantine(beam.PTransform):
    """Re-reads records that quarantine tables of `snapshot` keep.

    known: whose `wanted` names their keys.
    """

    files: Sequence[DataFile]
    snapshot: str
    template: Template
    num_buckets: int
    known: KnownFile
    heartbeat_dir: str = ""

    def expand(self, root: beam.Pipeline | beam.pvalue.PBegin) -> ReadOutputs:
        outputs = (
            root
            | "Quarantine" >> beam.Create(list(self.files)).with_output_types(DataFile)
            | "Spread" >> beam.Reshuffle()
            | "Replay"
            >> beam.ParDo(_ReplayFile(self)).with_outputs(*ReadOutputs._fields[1:], main="records")
        )
        return ReadOutputs(*(outputs[name] for name in ReadOutputs._fields))

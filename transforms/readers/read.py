"""Catalog files → normalised records, rows of image tables, picture references, rejects, spooled.

Splits → KV[item bucket, SpoolRef] of Record and ImageRow, KV[bucket, SpoolRef] of Reject, KV[path
bucket, SpoolRef] of ImageRef, and one SplitReport a split. Records that an earlier run knows are
counted and not read again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import apache_beam as beam

from schemas.elements import (
    MODEL_ANSWER,
    Flag,
    ImageRef,
    ImageRow,
    RawRecord,
    Record,
    Reject,
    Spooled,
)
from schemas.template import Template, split_source
from transforms.extraction.structures.paths import folded
from transforms.normalise.combine import Combination, inherit, not_combined
from transforms.normalise.picture_rows import normalise_image_row
from transforms.normalise.pictures import PictureAccess
from transforms.normalise.records import Normaliser
from transforms.readers import (
    InputSplit,
    ParsedRecord,
    ReadLimits,
    RecordRefusedError,
    SplitReport,
    read_split,
    rebuild,
)
from transforms.readers.added.fill_down import filled_of
from transforms.readers.contract import DEFAULT_LIMITS, parsed_in_time
from transforms.readers.dialect import decimals_of
from transforms.readers.known_keys import KnownFile
from transforms.runtime.bounds.admission import UNBOUNDED, grouped
from transforms.runtime.buckets import bucket_of
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, fault_of, within
from transforms.runtime.metrics import Meter
from transforms.runtime.parquet import DataFile, read_parquet
from transforms.runtime.reach import require_seen
from transforms.runtime.spool import SpoolRef, SpoolWriter, Together, at_end, read_spool
from transforms.runtime.stages.reports import Given

_IMAGE_REFS, _REPORTS, _SEEN, _GROUPED = "image_refs", "reports", "seen", "grouped"

# Formats whose normaliser is known; rows that have cells from above may all have their own.
_KEPT_FORMATS = 1_000


class ReadOutputs(NamedTuple):
    """What ReadCatalog gives.

    rows: spooled records, rows of image tables and rejects, by item bucket. seen: a path a split,
    of what it holds of the known records.
    """

    rows: beam.PCollection[tuple[int, SpoolRef]]
    image_refs: beam.PCollection[tuple[int, SpoolRef]]
    reports: beam.PCollection[SplitReport]
    seen: beam.PCollection[str]


_TAGS = (*ReadOutputs._fields[1:], _GROUPED)


def normalise_parsed(
    parsed: ParsedRecord,
    normaliser: Normaliser,
    template: Template,
    element_secs: float = DEFAULT_ELEMENT_SECS,
) -> Record | ImageRow | Reject:
    """One element for one parsed record; a fault of this program becomes a reject too."""
    raw = parsed.raw
    try:
        if raw.kind == "image-table":
            return within(
                element_secs,
                normalise_image_row,
                template,
                raw,
                parsed.cells,
                normaliser.pictures,
            )
        record = within(element_secs, normaliser.normalise, raw, parsed.cells)
    except Exception as error:  # one record's fault must not end the run
        reason, message = fault_of(error)
        return Reject(raw, reason, "normalise", message)
    if not isinstance(record, Record):
        return record
    if ";" in raw.format and (filled := filled_of(raw.format)):
        record = _with_origins_above(record, {folded(column) for column, _ in filled}, template)
    if parsed.mended:
        flag = Flag("input-mended", "", f"read as it is meant: {parsed.mended}")
        return replace(record, flags=(*record.flags, flag))
    return record


def _with_origins_above(record: Record, columns: Collection[str], template: Template) -> Record:
    """Return the record, whose evidence says of which values the cell stands in a row above."""
    above = {
        name: f"{origin} (row above)"
        for name, origin in record.origins.items()
        if folded(split_source(origin, template.columns)[0]) in columns
    }
    return replace(record, origins={**record.origins, **above}) if above else record


class RecordReader:
    """Normalises records of one catalog, in whatever files they stand.

    Pickles as what it was made of: workers compile the template themselves.
    """

    def __init__(
        self,
        template: Template,
        pictures: PictureAccess | None = None,
        element_secs: float = DEFAULT_ELEMENT_SECS,
    ) -> None:
        self._template, self._pictures = template, pictures
        self._element_secs = element_secs
        self._normalisers: dict[frozenset[tuple[str, str]], Normaliser] = {}
        self._by_format: dict[str, Normaliser] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordReader, (self._template, self._pictures, self._element_secs)

    def __call__(self, parsed: ParsedRecord) -> Record | ImageRow | Reject:
        normaliser = self._normaliser(parsed.raw.format)
        return normalise_parsed(parsed, normaliser, self._template, self._element_secs)

    def read_again(self, raw: RawRecord, cells: Mapping[str, str]) -> Record | Reject:
        """Return a record of the catalog from its bytes, with further cells."""
        read = self(ParsedRecord(raw, {**rebuild(raw), **cells}))
        if isinstance(read, ImageRow):
            raise TypeError(f"{raw.file}: a row of a table of pictures belongs to no group")
        return read

    def _normaliser(self, spelled: str) -> Normaliser:
        found = self._by_format.get(spelled)
        if found is None:
            # The marks of decimals are a part of how a record is read, from a file or from
            # quarantine.
            decimals = decimals_of(spelled) if ";" in spelled else {}
            marks = frozenset(decimals.items())
            if marks not in self._normalisers:
                self._normalisers[marks] = Normaliser(self._template, decimals, self._pictures)
            found = self._normalisers[marks]
            if len(self._by_format) >= _KEPT_FORMATS:
                self._by_format.clear()
            self._by_format[spelled] = found
        return found


class _Routing(beam.DoFn):
    """Spools elements, and the pictures that they refer to, under their buckets."""

    def __init__(self, transform: ReadCatalog | ReplayQuarantine) -> None:
        self._num_buckets = transform.num_buckets
        # Without a tag, of the main output.
        self._writers = {tag: SpoolWriter(transform.spool) for tag in ("", _IMAGE_REFS, _GROUPED)}

    def start_bundle(self) -> None:
        for writer in self._writers.values():
            writer.begin()

    def finish_bundle(self) -> Iterator[Any]:
        for tag, writer in self._writers.items():
            for ref in map(at_end, writer.flush()):
                yield beam.pvalue.TaggedOutput(tag, ref) if tag else ref

    def _route(self, element: Record | ImageRow | Reject) -> Iterator[Any]:
        if isinstance(element, Reject):
            # By content, so that a reject's place does not depend on how the input was cut into
            # files.
            yield from self._spool("", element.raw.digest, element)
            return
        yield from self._spool("", element.item_id, element)
        bucket = bucket_of(element.item_id, self._num_buckets)
        for path in element.image_refs if isinstance(element, Record) else element.paths:
            yield from self._spool(_IMAGE_REFS, path, ImageRef(path, bucket))

    def _spool(self, tag: str, key: str, element: Spooled) -> Iterator[Any]:
        bucket = bucket_of(key, self._num_buckets)
        for ref in self._writers[tag].add(bucket, element):
            yield beam.pvalue.TaggedOutput(tag, ref) if tag else ref


class _Reader(_Routing):
    """Normalises what it reads, and sends each element on under its bucket."""

    def __init__(self, transform: ReadCatalog | ReplayQuarantine) -> None:
        super().__init__(transform)
        self._spool_dir = transform.spool
        self._heartbeat_dir, self._known = transform.heartbeat_dir, transform.known
        self._limits = transform.limits
        self._normalised = RecordReader(
            transform.template, transform.pictures, transform.limits.max_element_secs
        )

    def setup(self) -> None:
        # Here first does a worker touch what the launcher has made.
        require_seen(self._spool_dir)
        self._meter = Meter("read", self._heartbeat_dir)

    def _route(self, element: Record | ImageRow | Reject) -> Iterator[Any]:
        if isinstance(element, Record) and element.group:
            return self._spool(_GROUPED, element.group, element)
        return super()._route(element)


def combination_of(template: Template, pictures: PictureAccess | None = None) -> Combination:
    """Return how the rows of a catalog's items combine."""
    has_pairs = any(column.name_from is not None for column in template.columns.values())
    if not (template.record.group and has_pairs):
        return Combination.of(template)
    return Combination.of(template, RecordReader(template, pictures).read_again)


def _group_of(element: Record | ImageRow | Reject) -> str:
    return element.group if isinstance(element, Record) else ""


class _Inherit(_Routing):
    """(bucket of groups, references to their rows) → the variants, by the buckets of ids."""

    def __init__(self, transform: ReadCatalog | ReplayQuarantine) -> None:
        super().__init__(transform)
        self._how = combination_of(transform.template, transform.pictures)
        self._element_secs = transform.limits.max_element_secs
        self._max_bytes = transform.bucket_bytes

    def process(
        self, keyed: tuple[int, Iterable[SpoolRef]]
    ) -> Iterator[tuple[int, SpoolRef] | beam.pvalue.TaggedOutput]:
        refs = list(keyed[1])
        groups, refused = grouped(lambda: read_spool(refs, Record), self._max_bytes)
        for reject in refused:
            yield from self._route(reject)
        for rows in groups.values():
            try:
                made, rejects = within(self._element_secs, inherit, rows, self._how)
            except Exception as error:
                made, rejects = [], not_combined(rows, error)
            for variant in made:
                yield from self._route(variant)
            for reject in rejects:
                yield from self._route(reject)


class _ReadSplit(_Reader):
    """InputSplit → its records."""

    def __init__(self, transform: ReadCatalog) -> None:
        super().__init__(transform)

    def process(
        self, split: InputSplit
    ) -> Iterator[tuple[int, SpoolRef] | beam.pvalue.TaggedOutput]:
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
                    key_filter.note(read.item_id, read.raw, _group_of(read))
                yield from self._route(read)
        self._meter.beat()


class _ReplayFile(_Reader):
    """DataFile of a quarantine table → those of its records that are wanted, re-read from their
    kept bytes.
    """

    def __init__(self, transform: ReplayQuarantine) -> None:
        super().__init__(transform)
        self._snapshot, self._wanted = transform.snapshot, transform.known

    def process(self, file: DataFile) -> Iterator[tuple[int, SpoolRef] | beam.pvalue.TaggedOutput]:
        key_filter = self._wanted.key_filter()
        for row in read_parquet(self._snapshot, file).to_pylist():
            if row["input"] == MODEL_ANSWER or not key_filter.wants(row["raw_key"]):
                continue
            self._meter.add("records" if row["input"] == "catalog" else "image_rows")
            read = self._read(raw_of(row))
            key_filter.note(read.item_id, read.raw, _group_of(read))
            yield from self._route(read)
        yield beam.pvalue.TaggedOutput(_SEEN, key_filter.save())
        self._meter.beat()

    def _read(self, raw: RawRecord) -> Record | ImageRow | Reject:
        try:
            return self._normalised(
                ParsedRecord(raw, parsed_in_time(self._limits, len(raw.data), rebuild, raw))
            )
        except RecordRefusedError as refused:
            return Reject(raw, refused.reason, "read", str(refused))


def raw_of(row: Mapping[str, Any]) -> RawRecord:
    """Return the record that a row of a quarantine table keeps."""
    place = row["raw_format"], row["source_file"], row["source_position"], row["source_begin"]
    raw = RawRecord(
        row["raw"], *place, row["raw_header"] or b"", row["raw_size_bytes"], row["input"]
    )
    is_cut = len(raw.data) < raw.size_bytes
    return replace(raw, known_by=row["raw_key"]) if is_cut else raw


@dataclass(eq=False)
class ReadCatalog(beam.PTransform):
    """Reads and normalises all splits of a run.

    spool: folder for what was read; known: records that need not be read again. pictures: what
    reading their references needs. bucket_bytes: of the groups that share a bucket, see `grouped`.
    """

    splits: Sequence[InputSplit]
    template: Template
    limits: ReadLimits
    num_buckets: int
    spool: str
    heartbeat_dir: str = ""
    known: KnownFile | None = None
    pictures: PictureAccess | None = None
    bucket_bytes: int = UNBOUNDED

    def expand(self, root: beam.Pipeline | beam.pvalue.PBegin) -> ReadOutputs:
        outputs = (
            root
            | "Splits" >> Given(list(self.splits))
            | "Spread" >> beam.Reshuffle()
            | "ReadSplit" >> beam.ParDo(_ReadSplit(self)).with_outputs(*_TAGS, main="rows")
        )
        return _with_inherited(outputs, self)


@dataclass(eq=False)
class ReplayQuarantine(beam.PTransform):
    """Re-reads records that quarantine tables of `snapshot` keep.

    known: whose `wanted` names their keys.
    """

    files: Sequence[DataFile]
    snapshot: str
    template: Template
    num_buckets: int
    spool: str
    known: KnownFile
    heartbeat_dir: str = ""
    pictures: PictureAccess | None = None
    limits: ReadLimits = DEFAULT_LIMITS
    bucket_bytes: int = UNBOUNDED

    def expand(self, root: beam.Pipeline | beam.pvalue.PBegin) -> ReadOutputs:
        outputs = (
            root
            | "Quarantine" >> Given(list(self.files)).with_output_types(DataFile)
            | "Spread" >> beam.Reshuffle()
            | "Replay" >> beam.ParDo(_ReplayFile(self)).with_outputs(*_TAGS, main="rows")
        )
        return _with_inherited(outputs, self)


def _with_inherited(outputs: Any, transform: ReadCatalog | ReplayQuarantine) -> ReadOutputs:
    """Return what was read, with the variants of a product put together from all its rows."""
    read = ReadOutputs(*(outputs[name] for name in ReadOutputs._fields))
    if not transform.template.record.inherits:
        return read
    variants = (
        (outputs[_GROUPED],)
        | "By group" >> Together()
        | "Inherit" >> beam.ParDo(_Inherit(transform)).with_outputs(_IMAGE_REFS, main="rows")
    )
    return read._replace(
        **{
            name: (getattr(read, name), variants[name]) | f"All {name}" >> beam.Flatten()
            for name in ("rows", _IMAGE_REFS)
        }
    )

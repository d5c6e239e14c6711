"""Buckets as Arrow tables: pure, sorted, deterministic but for run id and times.

Each table of `schemas.tables.specs` has its builder in BUILDERS.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.attributes import Attribute
from schemas.elements import (
    LONG_HEADER_BYTES,
    MERGED,
    AttributeValue,
    Bucket,
    Evidence,
    Flag,
    ImageResult,
    Item,
    Reject,
    Value,
)
from schemas.reasons import REASONS, may_pass
from schemas.secrets import hidden, masked_in
from schemas.sections.vectors import VectorSpec
from schemas.tables.arrow import (
    GIVEN_SUFFIX,
    PROVENANCE_SUFFIX,
    chunks_schema,
    embeddings_schema,
    items_schema,
    quarantine_schema,
    records_schema,
)
from schemas.tables.specs import ITEMS, QUARANTINE, RECORDS, TableSpec
from schemas.template import Template
from transforms.attribute_types.registry import operations_of
from transforms.items.identity import item_fingerprint
from transforms.tables.provenance import provenance_array
from transforms.vectors.canaries import Canary
from transforms.vectors.contract import METADATA_KEY, VectorContract, as_text, with_canaries

_INPUTS = frozenset(["catalog", "image-table"])
# Of the quarantine's rows of a bucket: each has its file's header, whatever its own size.
MAX_HEADERS_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Identity of a run in its tables.

    started: aware UTC time; metadata: goes into every file's schema.
    """

    run_id: str
    started: dt.datetime
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Encoders:
    """Encoders by space of vectors: what identifies the models, and numbers of a vector.

    A space that is missing has no tables. contracts: by table, what its files say of themselves.
    """

    models: dict[str, str]
    dimensions: dict[str, int]
    contracts: Mapping[str, VectorContract] = field(default_factory=dict)

    def of(self, spaces: Iterable[str]) -> Encoders:
        """Return the encoders of these spaces alone: the tables of all others are left out."""
        kept = set(spaces)
        dimensions = {name: number for name, number in self.dimensions.items() if name in kept}
        return replace(self, dimensions=dimensions)

    def proven(self, canaries: Mapping[str, Sequence[Canary]]) -> Encoders:
        """Return the encoders with the canaries of tables that have had none."""
        contracts = {
            table: with_canaries(contract, canaries) for table, contract in self.contracts.items()
        }
        return replace(self, contracts=contracts)

    def metadata(self, space: str, table: str) -> dict[str, str]:
        """Return what the files of a table of vectors say of themselves."""
        said = {**encoder_metadata(self.models[space], self.dimensions[space]), "normalised": "l2"}
        if table in self.contracts:
            said[METADATA_KEY] = as_text(self.contracts[table])
        return said


@dataclass(frozen=True, slots=True)
class TableContext:
    """Everything besides the rows that the tables of a run depend on.

    snapshot: the folder below which they are written.
    """

    snapshot: str
    template: Template
    encoders: Encoders
    run: RunInfo


def items_table(template: Template, items: Sequence[Item], run: RunInfo) -> pa.Table:
    """Return the items table: one row an item, in the order given."""
    columns: dict[str, Any] = {"item_id": [item.item_id for item in items]}
    for attribute in template.attributes:
        values = [item.values[attribute.name] for item in items]
        columns[attribute.name] = [arrow_value(attribute, value.value) for value in values]
        columns[attribute.name + GIVEN_SUFFIX] = [
            item.record.given.get(attribute.name) for item in items
        ]
        columns[attribute.name + PROVENANCE_SUFFIX] = provenance_array(
            values, operations_of(attribute).candidate_text
        )
    columns |= {
        "image_description": [item.image_description for item in items],
        "image_alt_text": [item.answer.alt_text or None if item.answer else None for item in items],
        "image_description__provenance": provenance_array([_described_by(item) for item in items]),
        "images": [list(map(_image, item.images)) for item in items],
        "image_count": [_image_count(item) for item in items],
        "text_source": [item.text_source for item in items],
        "text_enriched": [item.text_enriched for item in items],
        "flags": [list(map(flag_row, item.flags)) for item in items],
        "event_ts": [item.record.event_ts_us for item in items],
        "created_ts": [run.started] * len(items),
        "deleted_ts": [None] * len(items),
        "fingerprint": [item_fingerprint(item) for item in items],
    }
    return _table(items_schema(template), columns, run)


def embeddings_table(
    space: VectorSpec, items: Sequence[Item], encoders: Encoders, run: RunInfo
) -> pa.Table:
    """Ids and vectors of the items that have one."""
    dimension = encoders.dimensions[space.name]
    having = [
        (item.item_id, item.vectors[space.name]) for item in items if space.name in item.vectors
    ]
    vectors = _vector_array([vector for _, vector in having], dimension)
    schema = embeddings_schema(space, dimension)
    ids = pa.array([item_id for item_id, _ in having], pa.string())
    table = pa.Table.from_arrays([ids, vectors], schema=schema)
    return _with_metadata(table, run, encoders.metadata(space.name, space.table))


def chunks_table(
    space: VectorSpec, items: Sequence[Item], encoders: Encoders, run: RunInfo
) -> pa.Table:
    """Return the chunks of the items' texts with their vectors, in order."""
    dimension = encoders.dimensions[space.name]
    rows = [
        (item.item_id, number, chunk)
        for item in items
        for number, chunk in enumerate(item.chunks.get(space.name, ()))
    ]
    chunks = [chunk for _, _, chunk in rows]
    schema = chunks_schema(space, dimension)
    columns: dict[str, list[Any]] = {
        "item_id": [item_id for item_id, _, _ in rows],
        "chunk": [number for _, number, _ in rows],
        "begin": [chunk.begin for chunk in chunks],
        "end": [chunk.end for chunk in chunks],
        "tokens": [chunk.tokens for chunk in chunks],
        "text": [chunk.text for chunk in chunks],
        "context": [chunk.context or None for chunk in chunks],
    }
    arrays = [pa.array(columns[name], schema.field(name).type) for name in columns]
    arrays.append(_vector_array([chunk.vector for chunk in chunks], dimension))
    table = pa.Table.from_arrays(arrays, schema=schema)
    return _with_metadata(table, run, encoders.metadata(space.name, space.chunks_table))


def _vector_array(vectors: Sequence[Any], dimension: int) -> pa.Array:
    flat = np.concatenate(vectors) if vectors else np.empty(0, np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), dimension)


def encoder_metadata(encoder: str, dimension: int) -> dict[str, str]:
    """Return schema metadata of rows derived from vectors, by which encoders are told apart."""
    return {"encoder": encoder, "dimension": str(dimension)}


def quarantine_table(rejects: Sequence[Reject], run: RunInfo) -> pa.Table:
    """Return rejects by id (without one first) and content, whatever the order of the input."""
    every = sorted((row for each in rejects for row in each.each), key=_quarantine_order)
    ordered = list(_with_headers_that_fit(every))
    columns: dict[str, list[Any]] = {
        "item_id": [r.item_id for r in ordered],
        "stage": [r.stage for r in ordered],
        "reason": [r.reason for r in ordered],
        "field": [r.field for r in ordered],
        "message": [r.message for r in ordered],
        "input": [r.raw.kind for r in ordered],
        "raw": [r.raw.data for r in ordered],
        "raw_format": [r.raw.format for r in ordered],
        "raw_header": [r.raw.header or None for r in ordered],
        "raw_size_bytes": [r.raw.true_size_bytes for r in ordered],
        "raw_digest": [r.raw.digest for r in ordered],
        "raw_key": [r.raw.key for r in ordered],
        "source_file": [r.raw.file for r in ordered],
        "source_begin": [r.raw.begin for r in ordered],
        "source_position": [r.raw.position for r in ordered],
        "run_id": [run.run_id] * len(ordered),
        "quarantined_ts": [run.started] * len(ordered),
    }
    return _table(quarantine_schema(), columns, run)


def _with_headers_that_fit(rejects: Iterable[Reject]) -> Iterator[Reject]:
    """Yield rejects, those behind the first so many bytes of long headers without theirs."""
    left = MAX_HEADERS_BYTES
    for reject in rejects:
        size_bytes = len(reject.raw.header)
        if size_bytes >= LONG_HEADER_BYTES:
            left -= size_bytes
        if left < 0 and size_bytes >= LONG_HEADER_BYTES:
            yield replace(reject, raw=reject.raw.without_header())
        else:
            yield reject


def _quarantine_order(reject: Reject) -> tuple[Any, ...]:
    raw = reject.raw
    content = (raw.digest, raw.kind, raw.format, raw.header, raw.true_size_bytes)
    why = (reject.stage, reject.field or "", reject.message)
    # Places last: the same records in other files must give the same order.
    place = (raw.file, raw.begin, raw.position)
    return reject.item_id is not None, reject.item_id or "", reject.reason, *content, *why, *place


def arrow_value(attribute: Attribute, value: Value | None) -> Any:
    """Return a value as its Arrow column takes it."""
    return None if value is None else operations_of(attribute).to_arrow(attribute, value)


def records_table(bucket: Bucket, run: RunInfo, *, has_groups: bool = False) -> pa.Table:
    """Return the fate of each record of the bucket, sorted by id and key.

    By this table a later run knows which records it need not read again.
    """
    rows: list[tuple[str | None, bytes, str, str, bool, str | None]] = [
        (
            item.item_id,
            item.record.raw.key,
            item.record.raw.kind,
            "item",
            _may_be_tried_again(item),
            item.record.group or None,
        )
        for item in bucket.items
    ]
    rows += [
        (item.item_id, raw.key, raw.kind, MERGED, False, item.record.group or None)
        for item in bucket.items
        for raw in item.record.rows
    ]
    # Only records and rows of image tables: a model's answer in quarantine is neither.
    rows += [
        (
            reject.item_id,
            reject.raw.key,
            reject.raw.kind,
            "quarantine",
            REASONS[reject.reason].passes,
            reject.group or None,
        )
        for rejected in bucket.rejects
        for reject in rejected.each
        if reject.raw.kind in _INPUTS
    ]
    # A table of pictures may say the same millions of times.
    counted = Counter(rows)
    groups = {item.item_id: item.record.group or None for item in bucket.items}
    repeated = {item.item_id: item.repeated_image_rows for item in bucket.items}
    for item_id, keys in bucket.image_rows.items():
        again = repeated.get(item_id)
        if again is None:
            fates = ["item-quarantined"] * len(keys)
        else:
            fates = ["attached"] * (len(keys) - again) + ["repeated"] * again
        for (key, fate), count in Counter(zip(sorted(keys), fates, strict=True)).items():
            counted[(item_id, key, "image-table", fate, False, groups.get(item_id))] += count
    ordered = sorted(counted, key=lambda row: (row[0] is not None, row[0] or "", *row[1:5]))
    schema, columns = records_schema(has_groups=has_groups), dict[str, list[Any]]()
    for place, name in enumerate(schema.names):
        columns[name] = [row[place] for row in ordered]
    different = _table(schema, columns, run)
    if len(ordered) == counted.total():
        return different
    return different.take(np.repeat(np.arange(len(ordered)), [counted[row] for row in ordered]))


def _may_be_tried_again(item: Item) -> bool:
    return may_pass(
        [
            *(value.reason for value in item.values.values()),
            *(flag.reason for flag in item.flags),
        ]
    )


def _described_by(item: Item) -> AttributeValue | None:
    """Return the description with its provenance, None where nothing was described."""
    answer = item.answer
    if answer is not None:
        shown = answer.described[0] if answer.described else None
        value = AttributeValue(
            answer.description or None,
            source="model" if answer.description else None,
            method=answer.method,
            evidence=Evidence("images", image=shown),
            model=answer.model,
            prompt_hash=answer.prompt_hash,
            fingerprint=answer.fingerprint or None,
            reason=None if answer.description else answer.reason or "not-stated",
        )
        return value if answer.description or answer.reason else None
    tagged = [i.features for i in item.images if i.features and i.features.description]
    if not tagged or item.image_description is None:
        return None
    return AttributeValue(
        item.image_description,
        "image",
        tagged[0].method,
        evidence=Evidence("images", image=tagged[0].digest),
        model=tagged[0].model,
        prompt_hash=tagged[0].prompt_hash,
        fingerprint=hashlib.sha256("".join(f.fingerprint for f in tagged).encode()).hexdigest(),
    )


def flag_row(flag: Flag) -> dict[str, Any]:
    """Return a flag as its column takes it."""
    return {"reason": flag.reason, "field": flag.field, "detail": flag.detail}


def _image_count(item: Item) -> int:
    """Return how many images of the item could be used."""
    return sum(image.features is not None for image in item.images)


def _image(image: ImageResult) -> dict[str, Any]:
    known = image.features
    row: dict[str, Any] = {
        "path": image.path,
        "version": image.version,
        "reason": image.reason,
        "message": image.message or None,
    }
    if known is None:
        return row
    return row | {
        "digest": known.digest,
        "phash": known.phash,
        "width_px": known.width_px,
        "height_px": known.height_px,
        "format": known.format,
        "frames": known.frames,
        "labels": [{"name": name, "score": score} for name, score in known.labels],
        "colors": [{"name": name, "score": score} for name, score in known.colors],
        "text": known.text or None,
        "description": known.description or None,
        "reason": known.failure,
        "message": known.failure_message or None,
    }


def _table(schema: pa.Schema, columns: dict[str, Any], run: RunInfo) -> pa.Table:
    """Return a table of columns, Arrow arrays or lists."""
    arrays = [
        column
        if isinstance(column := columns[field.name], pa.Array)
        else pa.array(column, field.type)
        for field in schema
    ]
    return _with_metadata(pa.Table.from_arrays(arrays, schema=schema), run, {})


def _with_metadata(table: pa.Table, run: RunInfo, more: dict[str, str]) -> pa.Table:
    said = {"run_id": run.run_id, **run.metadata, **more}
    return table.replace_schema_metadata(masked_in(said, hidden))


def build_table(spec: TableSpec, bucket: Bucket, context: TableContext) -> pa.Table:
    """Return a bucket's rows of a table, in the sort order of its specification."""
    if spec.vectors:
        space = next(each for each in context.template.spaces if each.name == spec.space)
        make = chunks_table if spec.one_row_per == "chunk" else embeddings_table
        return make(space, bucket.items, context.encoders, context.run)
    return BUILDERS[spec.name](bucket, context)


# Table → what makes its rows of a bucket; vectors are made by `build_table` itself.
BUILDERS: Mapping[str, Callable[[Bucket, TableContext], pa.Table]] = {
    ITEMS.name: lambda bucket, context: items_table(context.template, bucket.items, context.run),
    QUARANTINE.name: lambda bucket, context: quarantine_table(bucket.rejects, context.run),
    RECORDS.name: lambda bucket, context: records_table(
        bucket, context.run, has_groups=context.template.record.inherits
    ),
}

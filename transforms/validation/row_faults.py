"""Faults of rows of the items table, as columns that name them and are null elsewhere. Pure.

Rows are checked before they are written; these columns find what went wrong since, in this program
or on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.attributes import Attribute
from schemas.elements import MERGED
from schemas.reasons import BUDGET, EMBED_FAILED
from schemas.sections.patterns import PatternTimeoutError, matches
from schemas.sections.vectors import VectorSpec, flag_fields
from schemas.tables.arrow import GIVEN_SUFFIX, PROVENANCE_SUFFIX
from schemas.template import Template
from transforms.extraction.identifiers import normalise_identifier
from transforms.items.from_table import items_of
from transforms.items.text import text_of_parts
from transforms.runtime.buckets import bucket_of

# By `pa.scalar` and `pa.array` Arrow would load pandas, which commands that only look do not need.
NOWHERE = pa.nulls(1, pa.string())[0]
NO_IDS = pa.nulls(0, pa.string())

# Leaves of an attribute's provenance that are read.
PROVENANCE_LEAVES = ("source", "confidence", "method", "evidence.field", "evidence.image")


def row_faults(
    template: Template, table: pa.Table, bucket: int, num_buckets: int
) -> dict[str, pa.Array]:
    """Return column → for each row what is wrong with it, or null.

    misplaced_id: an id that belongs to another bucket's file; miscounted_id: an item whose
    image_count is not the number of its usable pictures; the others name an attribute and the item.
    """
    ids = table["item_id"].combine_chunks()
    misplaced = [bucket_of(item_id, num_buckets) != bucket for item_id in ids.to_pylist()]
    miscounted = usable_pictures(table["images"]) != table["image_count"].to_numpy()
    by_attribute: dict[str, Callable[[Attribute, pa.Table], pa.Array | None]] = {
        "without_evidence": _without_evidence,
        "not_as_given": _not_as_given,
        "too_long": _too_long,
        "off_pattern": _off_pattern,
        "wrong_check_digit": _wrong_check_digit,
    }
    faults = {
        "misplaced_id": pc.if_else(pa.array(misplaced, pa.bool_()), ids, NOWHERE),
        "miscounted_id": pc.if_else(pa.array(miscounted, pa.bool_()), ids, NOWHERE),
    }
    for column, find in by_attribute.items():
        # A generator, so that only one attribute's faults are held at a time.
        faults[column] = _named(ids, ((a.name, find(a, table)) for a in template.attributes))
    return faults


def usable_pictures(images: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Count pictures with features in each row of the `images` column; shape (rows,).

    Only pictures with features have a digest.
    """
    lists = images.combine_chunks()
    usable = pc.is_valid(pc.struct_field(pc.list_flatten(lists), "digest"))
    rows = pc.filter(pc.list_parent_indices(lists), usable).to_numpy()
    return np.bincount(rows, minlength=len(lists)).astype(np.int64)


def _named(ids: pa.Array, faults: Iterable[tuple[str, pa.Array | None]]) -> pa.Array:
    """Name in each row the first attribute that has a fault, and the item."""
    named = pa.nulls(len(ids), pa.string())
    for name, found in faults:
        if found is not None and pc.any(found).as_py():
            named = pc.coalesce(
                named, pc.if_else(found, pc.binary_join_element_wise(name, ids, " of "), NOWHERE)
            )
    return named


def _without_evidence(attribute: Attribute, table: pa.Table) -> pa.Array:
    provenance = table[attribute.name + PROVENANCE_SUFFIX].combine_chunks()
    evidence = pc.struct_field(provenance, "evidence")
    proven = pc.and_(pc.is_valid(pc.struct_field(provenance, "method")), pc.is_valid(evidence))
    return pc.and_(_filled(attribute, table), pc.invert(proven))


def _not_as_given(attribute: Attribute, table: pa.Table) -> pa.Array:
    """Find values filled over what the source gave, or called given where it gave nothing."""
    given = pc.is_valid(table[attribute.name + GIVEN_SUFFIX].combine_chunks())
    is_of_source = pc.and_(_known(attribute, table), pc.equal(_source(attribute, table), "record"))
    return pc.or_(
        pc.and_(_filled(attribute, table), given), pc.and_(is_of_source, pc.invert(given))
    )


def _too_long(attribute: Attribute, table: pa.Table) -> pa.Array | None:
    if not attribute.spec.is_free_text:
        return None
    return _true_only(
        pc.greater(pc.utf8_length(table[attribute.name].combine_chunks()), attribute.max_length)
    )


def _off_pattern(attribute: Attribute, table: pa.Table) -> pa.Array | None:
    written = attribute.spec.stored_pattern(attribute)
    if written is None:
        return None
    return _no_member(table[attribute.name], lambda text: _fits(written, text))


def _fits(pattern: str, text: str) -> bool:
    # A text that took this long was accepted on a faster day; that is no fault of the row.
    with suppress(PatternTimeoutError):
        return matches(pattern, text)
    return True


def _wrong_check_digit(attribute: Attribute, table: pa.Table) -> pa.Array | None:
    scheme = attribute.scheme
    if scheme is None or scheme == "any":
        return None
    return _no_member(
        table[attribute.name], lambda text: normalise_identifier(scheme, text) == text
    )


def _no_member(column: pa.ChunkedArray, is_sound: Callable[[str], bool]) -> pa.Array:
    """Find texts that are not sound; each distinct text is checked once."""
    values = column.combine_chunks()
    wrong = [
        text for text in pc.unique(values).to_pylist() if text is not None and not is_sound(text)
    ]
    return pc.is_in(values, value_set=pa.array(wrong, pa.string()))


def _known(attribute: Attribute, table: pa.Table) -> pa.Array:
    return pc.is_valid(table[attribute.name].combine_chunks())


def _source(attribute: Attribute, table: pa.Table) -> pa.Array:
    return pc.fill_null(
        pc.struct_field(table[attribute.name + PROVENANCE_SUFFIX].combine_chunks(), "source"), ""
    )


def _filled(attribute: Attribute, table: pa.Table) -> pa.Array:
    """Find values that the source did not give."""
    return pc.and_(_known(attribute, table), pc.not_equal(_source(attribute, table), "record"))


def _true_only(found: pa.Array) -> pa.Array:
    return pc.fill_null(found, False)


def missing_rows(
    template: Template, items: pa.Table, ids_by_table: Mapping[str, pa.Array]
) -> Iterator[str]:
    """Name the rows that are missing in the tables of vectors.

    ids_by_table: ids of the rows in the bucket. An item has a vector if it has a text, or a usable
    picture, unless a flag says why there is none.
    """
    item_ids = items["item_id"].combine_chunks()
    for space in template.spaces:
        ids = ids_by_table.get(space.table, NO_IDS)
        due = pc.and_(_has_content(template, items, space), pc.invert(_failed(items, space)))
        lacks = pc.and_(due, pc.invert(pc.is_in(item_ids, value_set=ids)))
        for each in pc.filter(item_ids, lacks).to_pylist():
            yield f"{space.name} vector of {each}"
        if space.keeps_chunks:
            divided = ids_by_table.get(space.chunks_table, NO_IDS)
            lacks = pc.and_(
                pc.is_in(item_ids, value_set=ids),
                pc.invert(pc.is_in(item_ids, value_set=divided)),
            )
            for each in pc.filter(item_ids, lacks).to_pylist():
                yield f"{space.name} chunks of {each}"


def chunk_ids(chunks: pa.Table) -> pa.Array:
    """Return what tells the rows of a table of chunks apart."""
    numbers = pc.cast(chunks["chunk"].combine_chunks(), pa.string())
    return pc.binary_join_element_wise(chunks["item_id"].combine_chunks(), numbers, " chunk ")


def missing_chunks(space: str, chunks: pa.Table) -> Iterator[str]:
    """Name chunks that are missing before others: those of an item are numbered from 0."""
    ordered = chunks.select(["item_id", "chunk"]).sort_by(
        [("item_id", "ascending"), ("chunk", "ascending")]
    )
    expected, before = 0, None
    for item_id, number in zip(*(column.to_pylist() for column in ordered.columns), strict=True):
        expected = 0 if item_id != before else expected
        if number > expected:
            yield f"{space} chunk {expected} of {item_id}"
        expected, before = number + 1, item_id


def _has_content(template: Template, items: pa.Table, space: VectorSpec) -> pa.Array:
    """Tell for each item whether there is anything that a space's vector is made of."""
    if space.of == "image":
        return pc.greater(items["image_count"].combine_chunks(), 0)
    if not space.parts:
        return pc.greater(pc.utf8_length(items["text_enriched"].combine_chunks()), 0)
    texts = (
        text_of_parts(template, item, space.parts)
        for item in items_of(template, items, space.parts)
    )
    return pa.array([bool(text) for text in texts], pa.bool_())


def _failed(items: pa.Table, space: VectorSpec) -> pa.Array:
    """Tell for each item whether a flag says that its vector could not be made."""
    flags = items["flags"].combine_chunks()
    each = pc.list_flatten(flags)
    fields = flag_fields(space.name)
    failed = pc.and_(
        pc.is_in(pc.struct_field(each, "reason"), value_set=pa.array([EMBED_FAILED, BUDGET])),
        pc.is_in(pc.struct_field(each, "field"), value_set=pa.array(sorted(fields))),
    )
    failures = np.zeros(items.num_rows, bool)
    failures[pc.filter(pc.list_parent_indices(flags), failed).to_numpy()] = True
    return pa.array(failures)


def mismatched_records(records: pa.Table, items: pa.Table) -> Iterator[str]:
    """Name records whose item is missing, and items that no row of the records table names."""
    of_catalog = pc.equal(records["input"], "catalog")
    named, merged = (
        records["item_id"].filter(pc.and_(of_catalog, pc.equal(records["fate"], fate)))
        for fate in ("item", MERGED)
    )
    named, there = named.combine_chunks(), items["item_id"].combine_chunks()
    for left, right, what in (
        (named, there, "a record of item {}, which is not there"),
        (merged.combine_chunks(), there, "a row merged into item {}, which is not there"),
        (there, named, "item {} without a record"),
    ):
        lost = pc.filter(left, pc.invert(pc.is_in(left, value_set=right)))
        yield from (what.format(item_id) for item_id in pc.unique(lost).to_pylist())

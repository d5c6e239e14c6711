"""Where values came from, as the struct column of a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from schemas.elements import AttributeValue, Evidence, Value
from schemas.tables.columns import EVIDENCE, PROVENANCE


def provenance_array(
    values: Sequence[AttributeValue | None],
    candidate_text: Callable[[Value], str | None] | None = None,
) -> pa.StructArray:
    """Return the provenance of each value, null for None.

    Columns are made of columns: an object for each value would take four times as long. A value
    that many items share, such as one that no source gives, is written once and repeated.

    candidate_text: what a value that was not certain enough is written as.
    """
    places: dict[int, int] = {}
    kept: list[AttributeValue] = []
    rows: list[int | None] = []
    for value in values:
        if value is None:
            rows.append(None)
            continue
        place = places.setdefault(id(value), len(kept))
        if place == len(kept):
            kept.append(value)
        rows.append(place)
    array = _array(kept, candidate_text)
    return array if len(kept) == len(values) else array.take(pa.array(rows, pa.int32()))


def _array(
    values: Sequence[AttributeValue], candidate_text: Callable[[Value], str | None] | None
) -> pa.StructArray:
    columns: dict[str, Any] = {
        "source": [value.source for value in values],
        "method": [value.method for value in values],
        "confidence": [value.confidence for value in values],
        "evidence": _evidence([value.evidence for value in values]),
        "model": [value.model for value in values],
        "prompt_hash": [value.prompt_hash for value in values],
        "fingerprint": [value.fingerprint for value in values],
        "reason": [value.reason for value in values],
        "candidate": [
            None
            if value.candidate is None or candidate_text is None
            else candidate_text(value.candidate)
            for value in values
        ],
    }
    return _struct(PROVENANCE, columns, None)


def _evidence(found: Sequence[Evidence | None]) -> pa.StructArray:
    columns = {
        "field": [None if each is None else each.field for each in found],
        "begin": [None if each is None else each.begin for each in found],
        "end": [None if each is None else each.end for each in found],
        "text": [None if each is None else each.text or None for each in found],
        "image": [None if each is None else each.image for each in found],
    }
    return _struct(EVIDENCE, columns, pa.array([each is None for each in found], pa.bool_()))


def _struct(kind: pa.StructType, columns: dict[str, Any], mask: pa.Array | None) -> pa.StructArray:
    arrays = [
        column
        if isinstance(column := columns[field.name], pa.Array)
        else pa.array(column, field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(kind), mask=mask)

"""The gate: Great Expectations over a written snapshot, file by file, so that memory is bounded by a bucket.

A bucket holds all rows of its ids, so what holds for each file (uniqueness too) holds for the table;
counts of unexpected values are summed over the files before they are compared with `mostly`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from schemas.attributes import AttributeType
from schemas.expectations import Check, derive_checks
from schemas.tables import PROVENANCE_SUFFIX
from schemas.template import Template
from transforms.write import DataFile

MAX_EXAMPLES = 5


@dataclass(slots=True)
class CheckResult:
    """How a check went over the whole snapshot."""

    check: Check
    values: int = 0
    unexpected: int = 0
    examples: list[Any] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.unexpected <= round(self.values * (1 - self.check.mostly), 9)

    @property
    def refuses(self) -> bool:
        return not self.passed and self.check.severity == "critical"


def run_gate(
    snapshot: str, template: Template, files: Sequence[DataFile], account: dict[str, float]
) -> list[CheckResult]:
    """Run every derived check over the snapshot's files and the run's account (one value a column)."""
    by_frame: dict[str, list[Check]] = defaultdict(list)
    for check in derive_checks(template):
        by_frame[check.frame].append(check)
    results = {id(check): CheckResult(check) for checks in by_frame.values() for check in checks}
    validator = _Validator()
    for frame_name, frame in _frames(snapshot, template, files, account):
        checks = by_frame.get(frame_name, [])
        for check, outcome in zip(checks, validator.validate(frame, checks), strict=True):
            result = results[id(check)]
            result.values += outcome.values
            result.unexpected += outcome.unexpected
            result.examples = (result.examples + outcome.examples)[:MAX_EXAMPLES]
    return list(results.values())


def _frames(
    snapshot: str, template: Template, files: Iterable[DataFile], account: dict[str, float]
) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "run", pd.DataFrame([account])
    for file in files:
        if file.table == "quarantine" or file.rows == 0:
            continue
        path = FileSystems.join(snapshot, *file.path.split("/"))
        if file.table == "items":
            table = _read(path, _item_columns(template))
            yield "items", item_frame(template, table)
            yield from list_frames(template, table)
        else:
            yield file.table, embedding_frame(_read(path, None))


def _read(path: str, columns: list[str] | None) -> pa.Table:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as source:
        return pq.ParquetFile(pa.PythonFile(source, mode="r")).read(columns=columns)


def _item_columns(template: Template) -> list[str]:
    names = [attribute.name for attribute in template.attributes]
    leaves = [f"{name}{PROVENANCE_SUFFIX}.{leaf}" for name in names for leaf in ("source", "confidence")]
    return ["item_id", "image_count", *names, *leaves]


def item_frame(template: Template, table: pa.Table) -> pd.DataFrame:
    """Scalar columns of the items table; a value without a source shows as source `<none>`.

    `<attribute>__confidence` is null where the source gave the value, so that only filled ones are checked.
    """
    columns: dict[str, Any] = {"item_id": table["item_id"], "image_count": table["image_count"]}
    for attribute in template.attributes:
        provenance = table[attribute.name + PROVENANCE_SUFFIX]
        known = pc.is_valid(table[attribute.name])
        source = pc.struct_field(provenance, "source")
        columns[f"{attribute.name}__source"] = pc.if_else(
            known, pc.fill_null(source, "<none>"), pa.scalar(None, pa.string())
        )
        filled = pc.and_(known, pc.not_equal(pc.fill_null(source, "<none>"), "record"))
        confidence = pc.fill_null(pc.struct_field(provenance, "confidence"), float("-inf"))
        # float32 cannot hold 0.8; compare what was meant, not the rounding.
        rounded = pc.round(pc.cast(confidence, pa.float64()), 6)
        columns[f"{attribute.name}__confidence"] = pc.if_else(filled, rounded, pa.scalar(None, pa.float64()))
        if attribute.type not in (AttributeType.MULTI_ENUM, AttributeType.LOCALIZED):
            columns[attribute.name] = table[attribute.name]
        else:
            columns[attribute.name] = pc.if_else(known, "<list>", pa.scalar(None, pa.string()))
    return pa.table(columns).to_pandas()


def list_frames(template: Template, table: pa.Table) -> Iterator[tuple[str, pd.DataFrame]]:
    """One frame per list attribute, one row per entry."""
    for attribute in template.attributes:
        if attribute.type is AttributeType.MULTI_ENUM:
            entries = pc.list_flatten(table[attribute.name])
            if len(entries):
                yield f"list:{attribute.name}", pa.table({attribute.name: entries}).to_pandas()


def embedding_frame(table: pa.Table) -> pd.DataFrame:
    """item_id and the length of its vector; a vector with NaN or infinity has length -1."""
    vectors = table.column(1).combine_chunks()
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
    return pd.DataFrame({"item_id": table["item_id"].to_pandas(), "norm": np.where(np.isfinite(norms), norms, -1.0)})


@dataclass(frozen=True, slots=True)
class _Outcome:
    values: int
    unexpected: int
    examples: list[Any]


class _Validator:
    """A Great Expectations context in memory: no files, no telemetry, no progress bars."""

    def __init__(self) -> None:
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self._gx = gx
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        asset = context.data_sources.add_pandas("snapshot").add_dataframe_asset("frame")
        self._batches = asset.add_batch_definition_whole_dataframe("whole")

    def validate(self, frame: pd.DataFrame, checks: Sequence[Check]) -> Iterator[_Outcome]:
        suite = self._gx.ExpectationSuite(name="derived")
        for number, check in enumerate(checks):
            kind = getattr(self._gx.expectations, check.expectation)
            suite.add_expectation(kind(**check.arguments, meta={"number": number}))
        batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
        outcomes = {}
        for found in batch.validate(suite, result_format="SUMMARY").results:
            number = found.expectation_config.meta["number"]
            outcomes[number] = self._outcome(found, checks[number])
        return (outcomes[number] for number in range(len(checks)))

    @staticmethod
    def _outcome(found: Any, check: Check) -> _Outcome:
        if found.exception_info and "unexpected_count" not in found.result:
            raise RuntimeError(f"the gate could not run '{check.meaning}': {found.exception_info}")
        counts = found.result
        values = counts["element_count"] - (counts.get("missing_count") or 0)
        if check.expectation == "ExpectColumnValuesToNotBeNull":
            values = counts["element_count"]
        return _Outcome(values, counts["unexpected_count"], list(counts.get("partial_unexpected_list") or []))

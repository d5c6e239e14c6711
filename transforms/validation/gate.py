"""The gate: Great Expectations over a written snapshot, as it lies on disk.

Frames of several buckets are checked together, up to BATCH_ROWS rows, so that memory stays bounded
and many small buckets cost little. A bucket holds all rows of its ids, and every id is checked to
lie in its bucket, so what holds for each batch (uniqueness too) holds for the table; counts of
unexpected values are summed over the batches before they are compared with `mostly`.

Great Expectations costs the same for a row as for thousands: what it puts together for each
expectation. So it is asked whether all values are as expected, which takes half of that, and only
where they are not, how many are and which.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa

from schemas.checks import KINDS
from schemas.expectations import Check, derive_checks
from schemas.template import Template
from transforms.runtime.imports import without_collector
from transforms.tables.bucket_report import BucketReport
from transforms.validation.drift import Shift
from transforms.validation.frames import MAX_EXAMPLES, Faults, Found, Frame, read_frames

BATCH_ROWS = 20_000
_PAUSE_SECS = 0.25

Checked = tuple[list["CheckResult"], Found]


@dataclass(slots=True)
class CheckResult:
    """Outcome of a check over the whole snapshot. values: that were checked."""

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


def check_tables(
    snapshot: str,
    template: Template,
    reports: Sequence[BucketReport],
    num_buckets: int,
    only: Collection[int] | None = None,
) -> tuple[list[CheckResult], Found]:
    """Run every derived check over the snapshot's files.

    only: buckets whose files are checked, None for all. Returns also the content of the files, for
    the run's account.
    """
    results = [CheckResult(check) for check in derive_checks(template) if check.frame != "run"]
    found = Found()
    validator = _validator()
    frames = read_frames(snapshot, template, reports, num_buckets, found, only)
    for name, frame in batches(frames, BATCH_ROWS):
        validator.add(
            frame.to_pandas(), [result for result in results if result.check.frame == name]
        )
    return results, found


def replaced(whole: Checked, taken_out: Checked, put_in: Checked) -> Checked:
    """Combine outcomes for a snapshot in which some buckets were replaced.

    whole: of the earlier snapshot; taken_out: of its buckets that were replaced; put_in: of those
    in their place. Examples and faults are those of the new buckets: an earlier snapshot was only
    published without faults. Raises KeyError when the snapshot was not checked for the same things.
    """
    before = {_name(result): result for result in whole[0]}
    results = []
    for old, new in zip(taken_out[0], put_in[0], strict=True):
        past = before[_name(new)]
        values, unexpected = (
            past.values - old.values + new.values,
            past.unexpected - old.unexpected + new.unexpected,
        )
        results.append(CheckResult(new.check, values, unexpected, new.examples))
    quarantined = {
        kind: whole[1].quarantined.get(kind, Counter())
        - taken_out[1].quarantined.get(kind, Counter())
        + put_in[1].quarantined.get(kind, Counter())
        for kind in {*whole[1].quarantined, *put_in[1].quarantined}
    }
    now = put_in[1]
    return results, Found(
        whole[1].items - taken_out[1].items + now.items,
        quarantined,
        whole[1].deleted - taken_out[1].deleted + now.deleted,
        whole[1]
        .distributions.combined(taken_out[1].distributions, -1)
        .combined(now.distributions, 1),
        now.described,
        now.faults,
    )


def _name(result: CheckResult) -> tuple[str, str, str]:
    return result.check.frame, str(result.check.column), result.check.meaning


def check_run(template: Template, account: Mapping[str, float], found: Found) -> list[CheckResult]:
    """Run the checks of the run's account (one value a column) and of the files as a whole."""
    results = [CheckResult(check) for check in derive_checks(template) if check.frame == "run"]
    # What the account does not count itself, reading the files has counted.
    faults = {
        kind.counted_in: found.faults.get(kind.id, Faults())
        for kind in KINDS.values()
        if kind.counted_in and kind.counted_in not in account
    }
    row = {**account, **{column: each.count for column, each in faults.items()}}
    _validator().add(pd.DataFrame([row]), results)
    for result in results:
        if result.check.column in faults:
            result.examples = list(faults[result.check.column].examples)
    return results


def check_drift(shifts: Sequence[Shift]) -> list[CheckResult]:
    """Run the checks of drift; the examples say how far it is, what it was and what it is."""
    if not shifts:
        return []
    results = [CheckResult(shift.check()) for shift in shifts]
    _validator().add(pd.DataFrame([{shift.column: shift.value for shift in shifts}]), results)
    for shift, result in zip(shifts, results, strict=True):
        result.examples = [f"{shift.value:.4g}", *shift.examples]
    return results


def batches(frames: Iterable[Frame], max_rows: int) -> Iterator[Frame]:
    """Join frames of the same name, up to `max_rows` rows unless a single one has more.

    Empty frames are left out: an expectation over no values would be vacuous.
    """
    waiting: dict[str, list[pa.Table]] = {}
    rows: Counter[str] = Counter()
    for name, frame in frames:
        if not frame.num_rows:
            continue
        if name in waiting and rows[name] + frame.num_rows > max_rows:
            rows[name] = 0
            yield name, pa.concat_tables(waiting.pop(name))
        waiting.setdefault(name, []).append(frame)
        rows[name] += frame.num_rows
    for name, held in waiting.items():
        yield name, pa.concat_tables(held)


@dataclass(frozen=True, slots=True)
class _Outcome:
    values: int
    unexpected: int
    examples: list[Any]


class _Validator:
    """A Great Expectations context in memory: no files, no telemetry, no progress bars."""

    def __init__(self) -> None:
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        with without_collector():
            import great_expectations as gx
            from great_expectations.data_context.types.base import ProgressBarsConfig

        self._gx = gx
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(
            globally=False, metric_calculations=False
        )
        asset = context.data_sources.add_pandas("snapshot").add_dataframe_asset("frame")
        self._batches = asset.add_batch_definition_whole_dataframe("whole")
        # The context holds one frame at a time, also when several runs share the process.
        self._lock = threading.Lock()

    def add(self, frame: pd.DataFrame, results: Sequence[CheckResult]) -> None:
        """Check one frame and add the outcome to its results."""
        outcomes = self.validate(frame, [result.check for result in results])
        for result, outcome in zip(results, outcomes, strict=True):
            result.values += outcome.values
            result.unexpected += outcome.unexpected
            result.examples = (result.examples + outcome.examples)[:MAX_EXAMPLES]

    def validate(self, frame: pd.DataFrame, checks: Sequence[Check]) -> list[_Outcome]:
        with self._lock:
            batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
            passed = [found.success for found in self._found(batch, checks, "BOOLEAN_ONLY")]
            failed = [check for check, is_met in zip(checks, passed, strict=True) if not is_met]
            counted = iter(self._found(batch, failed, "BASIC") if failed else [])
        missing = frame.isna().sum()
        return [
            _Outcome(_checked(check, len(frame), missing[check.column]), 0, [])
            if is_met
            else _outcome(next(counted), check)
            for check, is_met in zip(checks, passed, strict=True)
        ]

    def _found(self, batch: Any, checks: Sequence[Check], result_format: str) -> list[Any]:
        """Return the result of each check, every value counting: `mostly` is for the sum."""
        expectations = []
        for number, check in enumerate(checks):
            kind = getattr(self._gx.expectations, check.expectation)
            arguments = {name: each for name, each in check.arguments.items() if name != "mostly"}
            expectations.append(kind(**arguments, meta={"number": number}))
        # `add_expectation` would compare each with all others.
        suite = self._gx.ExpectationSuite(name="derived", expectations=expectations)
        results = batch.validate(suite, result_format=result_format).results
        return sorted(results, key=lambda found: found.expectation_config.meta["number"])


def prepare(ready: Callable[[], bool] | None = None) -> None:
    """Load what checks on a thread, for a process that waits for others until the gate.

    ready: tells whether it may begin, as the others need the processor first; asked now and then.
    """
    threading.Thread(target=_prepare, args=(ready,), name="gate", daemon=True).start()


def _prepare(ready: Callable[[], bool] | None) -> None:
    with suppress(Exception):  # whoever checks will be told
        while ready is not None and not (ready() or _made.cache_info().currsize):
            time.sleep(_PAUSE_SECS)
        _validator()


_making = threading.Lock()


def _validator() -> _Validator:
    """Return the process's own: making one costs as much as checking a small table."""
    with _making:
        return _made()


@functools.cache
def _made() -> _Validator:
    return _Validator()


def _checked(check: Check, values: int, missing: int) -> int:
    """Count the values that an expectation looks at: all, or all but those missing."""
    looks_at_all = check.expectation in (
        "ExpectColumnValuesToNotBeNull",
        "ExpectColumnValuesToBeNull",
    )
    return values if looks_at_all else values - int(missing)


def _outcome(found: Any, check: Check) -> _Outcome:
    if found.exception_info and "unexpected_count" not in found.result:
        raise RuntimeError(f"the gate could not run '{check.meaning}': {found.exception_info}")
    counts = found.result
    return _Outcome(
        _checked(check, counts["element_count"], counts.get("missing_count") or 0),
        counts["unexpected_count"],
        list(counts.get("partial_unexpected_list") or []),
    )

"""An evaluation in the terminal: headline and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.evaluation.calibration import MIN_ANSWERED
from pipelines.evaluation.compare import Comparison
from pipelines.evaluation.metrics import Metrics
from pipelines.monitoring.terminal import printable

if TYPE_CHECKING:
    pass
from pipelines.evaluation.figures import (
    NONE,
    amount,
    comparison_notes,
    difference_name,
    headline,
    interval,
    number,
    signed,
    usage_rows,
)


def print_report(
    console: Console,
    metrics: Metrics,
    about: Mapping[str, Any],
    comparison: Comparison | None = None,
) -> None:
    """Print the report's tables; fits 80 columns, long notes aside."""
    for table, notes in (
        _headline_table(metrics),
        _attribute_table(metrics),
        _comparison_table(comparison),
        _calibration_table(metrics),
        _bin_table(metrics),
        _rung_table(metrics),
        _class_table(metrics),
        _fold_table(metrics),
        (_usage_table(about), []),
    ):
        if table.row_count:
            console.print(table)
            for note in notes:
                console.print(printable(note), style="dim", markup=False)
    for note in about.get("notes") or ():
        console.print(printable(str(note)), style="yellow", markup=False)


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _plain(text: str) -> Text:
    """Return the text as it is, whatever it holds that rich takes for markup."""
    return Text(printable(text))


def _headline_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table("Values on held-back slots", "measure", "micro", "macro")
    for label, micro, macro in headline(metrics):
        table.add_row(label, number(micro), number(macro))
    row = metrics.micro
    notes = [
        f"{metrics.items:,} items, {row.slots:,} slots: {row.with_truth:,} with a truth, "
        f"{row.absent:,} without; "
        f"{row.answered:,} answered"
    ]
    if metrics.unsure:
        notes.append(f"{metrics.unsure:,} candidates have no confidence; no threshold answers them")
    return table, notes


def _attribute_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table(
        "By attribute", "attribute", "truth", "prec.", "recall", "F1", "forced", "major.", "c@.95"
    )
    for row in metrics.attributes:
        one = row.measures
        at = {each.target: each.coverage for each in one.coverage_at}
        values = (
            one.own.precision,
            one.own.recall,
            one.own.f1,
            one.forced.recall,
            one.baseline.recall,
            at[0.95],
        )
        table.add_row(_plain(row.name), f"{row.with_truth:,}", *map(number, values))
    return table, [
        "forced, major.: accuracy of every candidate, of the majority value; c@.95: coverage at "
        "precision"
    ]


def _comparison_table(comparison: Comparison | None) -> tuple[Table, list[str]]:
    table = _table(
        "Compared with the other run", "measure", "this", "other", "diff.", "95 % interval", ""
    )
    if comparison is None:
        return table, []
    for each in comparison.differences:
        values = (
            number(each.here),
            number(each.there),
            signed(each.difference),
            interval(each.low, each.high, signed),
        )
        table.add_row(_plain(difference_name(each)), *values, each.verdict)
    return table, list(comparison_notes(comparison))


def _calibration_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table(
        "Expected and reached precision",
        "attribute",
        "answers",
        "expected",
        "reached",
        "95 % interval",
        "",
    )
    for each in metrics.calibration:
        values = (
            number(each.expected),
            number(each.reached),
            interval(each.low, each.high),
            signed(each.difference),
        )
        table.add_row(_plain(each.attribute), f"{each.answered:,}", *values)
    return table, [f"of attributes with at least {MIN_ANSWERED} answers; last: reached - expected"]


def _bin_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table(
        "Share right by confidence", "confidence", "candidates", "mean confidence", "share right"
    )
    for each in metrics.bins:
        if each.count:
            span = f"{each.low:.1f} to {each.high:.1f}"
            table.add_row(span, f"{each.count:,}", number(each.confidence), number(each.right))
    return table, []


def _rung_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table("Answers by step", "step", "answers", "precision", "expected")
    for each in metrics.rungs:
        table.add_row(
            _plain(each.rung or NONE),
            f"{each.answered:,}",
            number(each.precision),
            number(each.expected),
        )
    return table, []


def _class_table(metrics: Metrics) -> tuple[Table, list[str]]:
    names = [each.name.partition(", ")[0] for each in metrics.classes]
    remarks = [
        f"{name}: {each.name[len(name) + 2 :]}"
        for name, each in zip(names, metrics.classes, strict=True)
    ]
    table = _table("None and value: truth, then answer", "", *names)
    if metrics.micro.absent:
        counts = {
            "NN rightly none": "nn",
            "NV invented": "nv",
            "VN missed": "vn",
            "VC correct": "vc",
            "VW wrong": "vw",
        }
        for label, key in counts.items():
            table.add_row(label, *(f"{getattr(each, key):,}" for each in metrics.classes))
        for label, key in {
            "threshold": "threshold",
            "precision": "precision",
            "recall": "recall",
            "F1": "f1",
        }.items():
            table.add_row(label, *(number(getattr(each, key)) for each in metrics.classes))
    return table, [remark for remark in remarks if not remark.endswith(": ")]


def _fold_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table("F1 by fold", "fold", "slots", "F1")
    if len(metrics.folds.folds) > 1:
        for each in metrics.folds.folds:
            table.add_row(str(each.fold), f"{each.slots:,}", number(each.f1))
    return table, [
        f"mean {number(metrics.folds.mean)}, standard deviation {number(metrics.folds.std)}"
    ]


def _usage_table(about: Mapping[str, Any]) -> Table:
    table = _table("What it took", "", "in all", "per 1,000 items")
    for label, total, per_thousand in usage_rows(about):
        table.add_row(label, amount(total), NONE if per_thousand is None else amount(per_thousand))
    return table

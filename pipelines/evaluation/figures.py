"""How the figures of an evaluation are written, in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.evaluation.compare import Comparison, Difference
from pipelines.evaluation.metrics import TARGETS, Measures, Metrics

if TYPE_CHECKING:
    pass


NONE = "–"


def number(value: float | None) -> str:
    """Return a score or share to three places.

    >>> number(0.91249), number(None)
    ('0.912', '–')
    """
    return NONE if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Return a difference to three places with its sign; what rounds to nothing has none.

    >>> signed(0.0301), signed(-0.5), signed(-0.0001), signed(None)
    ('+0.030', '-0.500', '0.000', '–')
    """
    if value is None:
        return NONE
    return "0.000" if abs(value) < 0.0005 else f"{value:+.3f}"


def interval(low: float | None, high: float | None, show: Any = number) -> str:
    """Both ends of an interval.

    >>> interval(0.25, 0.75), interval(None, None)
    ('0.250 to 0.750', '–')
    """
    return NONE if low is None or high is None else f"{show(low)} to {show(high)}"


def amount(value: float) -> str:
    """Return a count, or an amount with as many places as say something.

    >>> amount(12345), amount(12345.6), amount(0.01234), amount(0.0)
    ('12,345', '12,346', '0.01234', '0')
    """
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def headline(metrics: Metrics) -> list[tuple[str, float | None, float | None]]:
    """Return what is measured, over all slots (micro) and as the mean over attributes (macro)."""

    def values(one: Measures) -> list[float | None]:
        return [
            one.own.precision,
            one.own.recall,
            one.own.f1,
            one.coverage,
            one.forced.recall,
            one.baseline.recall,
            *(each.coverage for each in one.coverage_at),
            one.invented_rate,
            one.ece,
        ]

    labels = [
        "precision",
        "recall",
        "F1",
        "coverage",
        "accuracy, forced",
        "accuracy, majority",
        *(f"coverage at precision {target:.2f}" for target in TARGETS),
        "invented rate",
        "ECE",
    ]
    return list(zip(labels, values(metrics.micro.measures), values(metrics.macro), strict=True))


def usage_rows(about: Mapping[str, Any]) -> list[tuple[str, float, float | None]]:
    """Return what the run used: label, in all, per 1,000 items; what is not known has no row."""
    usage = about.get("usage") or {}
    items = usage.get("items")
    labels = {
        "calls": "calls",
        "prompt_tokens": "prompt tokens",
        "completion_tokens": "answer tokens",
        "cost": "cost by --prices",
        "seconds": "seconds",
    }
    known = [(label, usage[key]) for key, label in labels.items() if usage.get(key) is not None]
    rows = [(label, total, 1000 * total / items if items else None) for label, total in known]
    return [("items", items, None), *rows] if rows and items is not None else rows


def difference_name(difference: Difference) -> str:
    """Return what is compared, for people."""
    return (
        f"{difference.measure} of {difference.attribute}"
        if difference.attribute
        else difference.measure
    )


def comparison_notes(comparison: Comparison) -> Iterator[str]:
    """Yield what was compared, what was left out, and how."""
    yield (
        f"{comparison.slots:,} slots of {comparison.items:,} items that both runs hold with the "
        "same truth"
    )
    left_out = (
        (comparison.left_out_here, "that only this run holds"),
        (comparison.left_out_there, "that only the other run holds"),
        (comparison.different_truth, "whose truth differs"),
    )
    sentences = [f"{count:,} slots {which}" for count, which in left_out if count]
    yield f"left out: {'; '.join(sentences) or 'nothing'}"
    yield f"{comparison.method}; {comparison.replicates:,} draws, seed {comparison.seed}"

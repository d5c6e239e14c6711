"""Curves and reliability diagrams of an evaluation, as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.evaluation.calibration import Bin
from pipelines.evaluation.curves import CurvePoint
from pipelines.evaluation.metrics import TARGETS, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_SETTLED_COVERAGE = 0.05


# Colours that the plots are drawn in, and what the page's light and dark styles set in their place.
_COLORS = {
    "#0a0b01": "currentColor",
    "#0a0b02": "var(--line)",
    "#0a0b03": "var(--first)",
    "#0a0b04": "var(--second)",
}


_TEXT, _LINE, _FIRST, _SECOND = _COLORS


def draw_plots(metrics: Metrics, other: Metrics | None = None) -> dict[str, str]:
    """Name → SVG element of the curve and the reliability diagram; empty when matplotlib is not
    installed.

    other: the run compared with, whose curve is drawn too. Equal metrics give equal bytes.
    """
    try:
        from matplotlib import rc_context, rcdefaults, rcParams
        from matplotlib.figure import Figure
    except ImportError:
        # A report without plots is better than none after hours of work; the page names the remedy.
        return {}
    style: dict[Any, Any] = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _TEXT),
        "axes.edgecolor": _LINE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 9,
        "legend.frameon": False,
        "svg.fonttype": "none",  # text stays text: smaller, selectable, and in the reader's colour
        "svg.hashsalt": "catalog-enrich",
    }
    plots = {}
    with rc_context():
        # A matplotlibrc of the user or the working directory must not change the report.
        rcdefaults()
        rcParams.update(style)
        if metrics.curve:
            figure = Figure(figsize=(4.8, 3.4), layout="constrained")
            _draw_curve(figure.add_subplot(), metrics, other)
            plots["curve"] = _as_svg(figure, "curve")
        if any(each.count for each in metrics.bins):
            figure = Figure(figsize=(4.8, 4.2), layout="constrained")
            upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
            _draw_reliability(upper, lower, metrics.bins)
            plots["reliability"] = _as_svg(figure, "reliability")
    return plots


def _draw_curve(axes: Axes, metrics: Metrics, other: Metrics | None) -> None:
    lowest = min(TARGETS)
    for curve, color, dashes, label in (
        (other.curve if other else (), _SECOND, (0, (4, 2)), "the other run"),
        (metrics.curve, _FIRST, "solid", "by threshold"),
    ):
        if curve:
            xs, ys = [each.coverage for each in curve], [each.precision for each in curve]
            axes.plot(
                xs,
                ys,
                color=color,
                linestyle=dashes,
                linewidth=1.6,
                label=label,
                marker=_marker(curve),
            )
            # The first few answers swing between 0 and 1, which would flatten all the rest.
            lowest = min(
                [lowest, *(y for x, y in zip(xs, ys, strict=True) if x >= _SETTLED_COVERAGE)]
            )
    own = metrics.micro.measures
    if own.coverage is not None and own.own.precision is not None:
        place = [own.coverage], [own.own.precision]
        axes.plot(
            *place, color=_FIRST, marker="o", markersize=7, linestyle="none", label="own thresholds"
        )
        lowest = min(lowest, own.own.precision)
    for target in TARGETS:
        axes.axhline(target, color=_LINE, linewidth=0.8, zorder=0)
    axes.set(xlim=(0, 1.02), ylim=(max(0.0, lowest - 0.05), 1.01), ylabel="precision")
    axes.set_xlabel("coverage of the slots with a truth")
    axes.legend(loc="lower left")


def _marker(curve: Sequence[CurvePoint]) -> str:
    """Return the marker: a single point is not a line and has to be marked."""
    return "s" if len(curve) == 1 else ""


def _draw_reliability(upper: Axes, lower: Axes, bins: Sequence[Bin]) -> None:
    width = bins[0].high - bins[0].low
    for each in bins:
        if each.right is not None and each.confidence is not None:
            upper.bar(each.low, each.right, width * 0.92, align="edge", color=_FIRST, alpha=0.55)
            upper.plot([each.confidence], [each.right], marker="o", markersize=4, color=_FIRST)
        lower.bar(each.low, each.count, width * 0.92, align="edge", color=_LINE)
    for each in bins:
        if each.count:
            label = f"{each.count / 1000:.1f}k" if each.count >= 10_000 else str(each.count)
            lower.annotate(
                label, (each.low + width / 2, each.count), ha="center", va="bottom", fontsize=7
            )
    upper.plot([0, 1], [0, 1], color=_TEXT, linewidth=0.8, linestyle=(0, (2, 2)))
    upper.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="share right")
    lower.set(
        ylim=(0, 1.25 * max(each.count for each in bins)), xlabel="confidence", ylabel="candidates"
    )


def _as_svg(figure: Any, name: str) -> str:
    """Return the figure as an element for a page: no prologue, no metadata, no style of the
    whole page, ids of its own.
    """
    stream = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    svg = stream.getvalue()
    svg = svg[svg.index("<svg ") :].strip()
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"xlink:href", "href", svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', svg)
    # The page's own font, in the sizes that were drawn.
    svg = re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 sans-serif", svg)
    for color, meant in _COLORS.items():
        svg = svg.replace(color, meant)
    return svg

"""The report of an evaluation: report.json for programs, one self-contained report.html, and tables in a terminal.

Catalog texts are untrusted: the HTML escapes every one and forbids scripts and requests by its own content policy,
pictures are decoded within the limits of `transforms/images/decode.py` and embedded as small JPEGs, and invisible
characters are shown as escapes.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import msgspec
from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.evaluation.compare import REPLICATES, Comparison, Difference, compare
from pipelines.evaluation.decisions import Decision
from pipelines.evaluation.metrics import MIN_ANSWERED, TARGETS, Bin, CurvePoint, Measures, Metrics, measure
from pipelines.monitoring.terminal import printable
from pipelines.report.html import clean, thumbnail
from transforms.images.files import ImageLimits, PictureProblem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_EXAMPLES = 40
MAX_EXAMPLES_AN_ATTRIBUTE = 5
MAX_PICTURES_AN_EXAMPLE = 3
THUMBNAIL_PX = 160
NONE = "–"

# What `about` says in places of its own; the rest is listed as it is.
_TOLD_ELSEWHERE = ("title", "notes", "usage", "compared_with")
_SETTLED_COVERAGE = 0.05
# Colours that the plots are drawn in, and what the page's light and dark styles set in their place.
_COLORS = {
    "#0a0b01": "currentColor",
    "#0a0b02": "var(--line)",
    "#0a0b03": "var(--first)",
    "#0a0b04": "var(--second)",
}
_TEXT, _LINE, _FIRST, _SECOND = _COLORS


@dataclass(frozen=True, slots=True)
class Against:
    """Another run to compare with, and how to call it."""

    name: str
    decisions: Sequence[Decision]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an example. thumbnail: data URI of a JPEG, None with the problem that prevented it."""

    path: str
    thumbnail: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """A confidently wrong answer. pictures: the first ones; more_pictures: how many are not shown."""

    decision: Decision
    pictures: tuple[Picture, ...]
    more_pictures: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured, and where it was written."""

    metrics: Metrics
    comparison: Comparison | None
    json_path: Path
    html_path: Path


def write_report(
    folder: Path,
    decisions: Sequence[Decision],
    about: Mapping[str, Any],
    against: Against | None = None,
    images_root: str | None = None,
    *,
    limits: ImageLimits | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Report:
    """Measure the decisions and write report.json and report.html to `folder`, which is made when missing.

    about: what was evaluated and how; values that JSON can hold. "title": headline. "notes": sentences the reader
        should know. "usage": calls, prompt_tokens, completion_tokens, cost, seconds, items, each where it is known.
    images_root: where picture references start; None shows no pictures.
    limits: what decoding a picture may cost; the command line's defaults when None.
    replicates, seed: of the bootstrap.
    Raises ValueError when the run cannot be compared (`compare.compare`), OSError when a file cannot be written.
    """
    metrics = measure(decisions)
    other = measure(against.decisions) if against else None
    comparison = compare(decisions, against.decisions, replicates=replicates, seed=seed) if against else None
    examples = [_example(each, images_root, limits or ImageLimits()) for each in most_wrong(decisions)]
    about = dict(about) | ({"compared_with": against.name} if against else {})
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "report.json", folder / "report.html"
    paths[0].write_bytes(_as_json(about, metrics, comparison, examples))
    page = _page(about, metrics, comparison, examples, draw_plots(metrics, other))
    paths[1].write_text(page, encoding="utf-8")
    return Report(metrics, comparison, *paths)


def most_wrong(decisions: Sequence[Decision]) -> list[Decision]:
    """The wrong answers of highest confidence, at most MAX_EXAMPLES and MAX_EXAMPLES_AN_ATTRIBUTE of an attribute.

    An answer is wrong when any value of it is not right; of a value without a confidence nothing is known, it comes
    last.
    """

    def rank(decision: Decision) -> tuple[float, str, str, int]:
        confidence = -1.0 if decision.confidence is None else decision.confidence
        return -confidence, decision.attribute, decision.item_id, decision.fold

    wrong = sorted((each for each in decisions if each.answered and each.matched < each.predicted), key=rank)
    taken: Counter[str] = Counter()
    chosen = []
    for decision in wrong:
        if taken[decision.attribute] < MAX_EXAMPLES_AN_ATTRIBUTE:
            taken[decision.attribute] += 1
            chosen.append(decision)
    return chosen[:MAX_EXAMPLES]


def _storable(value: Any) -> Any:
    """The value as JSON can hold it: half surrogates as escapes, what is no JSON as its text."""
    if isinstance(value, Mapping):
        return {_storable(str(key)): _storable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(each) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()


def number(value: float | None) -> str:
    """A score or share to three places.

    >>> number(0.91249), number(None)
    ('0.912', '–')
    """
    return NONE if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """A difference to three places with its sign; what rounds to nothing has none.

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
    """A count, or an amount with as many places as say something.

    >>> amount(12345), amount(12345.6), amount(0.01234), amount(0.0)
    ('12,345', '12,346', '0.01234', '0')
    """
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}"


def headline(metrics: Metrics) -> list[tuple[str, float | None, float | None]]:
    """What is measured, over all slots (micro) and as the mean over attributes (macro)."""

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
    """What the run used: label, in all, per 1,000 items; what is not known has no row."""
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


def _as_json(
    about: Mapping[str, Any], metrics: Metrics, comparison: Comparison | None, examples: Sequence[Example]
) -> bytes:
    """The whole report without thumbnails; numbers that are not finite become null."""
    plain = [replace(example, pictures=tuple(map(_without_thumbnail, example.pictures))) for example in examples]
    content = {"about": about, "metrics": metrics, "comparison": comparison, "examples": plain}
    return msgspec.json.format(msgspec.json.encode(_storable(msgspec.to_builtins(content, enc_hook=str)))) + b"\n"


def _without_thumbnail(picture: Picture) -> Picture:
    return replace(picture, thumbnail=None)


# Pictures


def _example(decision: Decision, images_root: str | None, limits: ImageLimits) -> Example:
    shown = decision.images[:MAX_PICTURES_AN_EXAMPLE]
    pictures = tuple(_picture(path, images_root, limits) for path in shown)
    return Example(decision, pictures, len(decision.images) - len(shown))


def _picture(path: str, images_root: str | None, limits: ImageLimits) -> Picture:
    if images_root is None:
        return Picture(path, None, "pictures were not asked for")
    found = thumbnail(path, images_root, limits, THUMBNAIL_PX)
    return Picture(path, None, found.message) if isinstance(found, PictureProblem) else Picture(path, found, None)


# Page


def _page(
    about: Mapping[str, Any],
    metrics: Metrics,
    comparison: Comparison | None,
    examples: Sequence[Example],
    plots: Mapping[str, str],
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.evaluation", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every text that the template puts out goes through here, so none can be forgotten.
        finalize=_shown,
    )
    # Markup for what was made here from numbers and bytes alone: plots and thumbnails.
    environment.filters.update(number=number, signed=signed, amount=amount, own=Markup)
    return environment.get_template("report.html.j2").render(
        title=about.get("title") or "Evaluation",
        notes=about.get("notes") or (),
        compared_with=about.get("compared_with"),
        facts={key: _fact(value) for key, value in about.items() if key not in _TOLD_ELSEWHERE},
        metrics=metrics,
        comparison=comparison,
        examples=examples,
        plots=plots,
        headline=headline(metrics),
        targets=", ".join(f"{target:.2f}" for target in TARGETS),
        usage=usage_rows(about),
        interval=interval,
        signed=signed,
        difference_name=difference_name,
        comparison_notes=comparison_notes,
        min_answered=MIN_ANSWERED,
    )


def _shown(value: Any) -> Any:
    if value is None:
        return NONE
    return clean(value) if type(value) is str else value  # Markup is a kind of str, and made here


def _fact(value: Any) -> str:
    """A value of `about` in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_fact(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_fact, value))
    return NONE if value is None else str(value)


# Plots


def draw_plots(metrics: Metrics, other: Metrics | None = None) -> dict[str, str]:
    """Name → SVG element of the curve and the reliability diagram; empty when matplotlib is not installed.

    other: the run compared with, whose curve is drawn too. Equal metrics give equal bytes.
    """
    try:
        from matplotlib import rc_context, rcdefaults, rcParams
        from matplotlib.figure import Figure
    except ImportError:  # a report without plots is better than none after hours of work; the page names the remedy
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
        rcdefaults()  # a matplotlibrc of the user or the working directory must not change the report
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
            axes.plot(xs, ys, color=color, linestyle=dashes, linewidth=1.6, label=label, marker=_marker(curve))
            # The first few answers swing between 0 and 1, which would flatten all the rest.
            lowest = min([lowest, *(y for x, y in zip(xs, ys, strict=True) if x >= _SETTLED_COVERAGE)])
    own = metrics.micro.measures
    if own.coverage is not None and own.own.precision is not None:
        place = [own.coverage], [own.own.precision]
        axes.plot(*place, color=_FIRST, marker="o", markersize=7, linestyle="none", label="own thresholds")
        lowest = min(lowest, own.own.precision)
    for target in TARGETS:
        axes.axhline(target, color=_LINE, linewidth=0.8, zorder=0)
    axes.set(xlim=(0, 1.02), ylim=(max(0.0, lowest - 0.05), 1.01), ylabel="precision")
    axes.set_xlabel("coverage of the slots with a truth")
    axes.legend(loc="lower left")


def _marker(curve: Sequence[CurvePoint]) -> str:
    """A single point is no line and needs a mark."""
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
            lower.annotate(label, (each.low + width / 2, each.count), ha="center", va="bottom", fontsize=7)
    upper.plot([0, 1], [0, 1], color=_TEXT, linewidth=0.8, linestyle=(0, (2, 2)))
    upper.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="share right")
    lower.set(ylim=(0, 1.25 * max(each.count for each in bins)), xlabel="confidence", ylabel="candidates")


def _as_svg(figure: Any, name: str) -> str:
    """The figure as an element for a page: no prologue, no metadata, no style of the whole page, ids of its own."""
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


# Terminal


def print_report(
    console: Console, metrics: Metrics, about: Mapping[str, Any], comparison: Comparison | None = None
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
    """The text as it is, whatever it holds that rich takes for markup."""
    return Text(printable(text))


def _headline_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table("Values on held-back slots", "measure", "micro", "macro")
    for label, micro, macro in headline(metrics):
        table.add_row(label, number(micro), number(macro))
    row = metrics.micro
    notes = [
        f"{metrics.items:,} items, {row.slots:,} slots: {row.with_truth:,} with a truth, {row.absent:,} without; "
        f"{row.answered:,} answered"
    ]
    if metrics.unsure:
        notes.append(f"{metrics.unsure:,} candidates have no confidence; no threshold answers them")
    return table, notes


def _attribute_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table("By attribute", "attribute", "truth", "prec.", "recall", "F1", "forced", "major.", "c@.95")
    for row in metrics.attributes:
        one = row.measures
        at = {each.target: each.coverage for each in one.coverage_at}
        values = (one.own.precision, one.own.recall, one.own.f1, one.forced.recall, one.baseline.recall, at[0.95])
        table.add_row(_plain(row.name), f"{row.with_truth:,}", *map(number, values))
    return table, ["forced, major.: accuracy of every candidate, of the majority value; c@.95: coverage at precision"]


def _comparison_table(comparison: Comparison | None) -> tuple[Table, list[str]]:
    table = _table("Compared with the other run", "measure", "this", "other", "diff.", "95 % interval", "")
    if comparison is None:
        return table, []
    for each in comparison.differences:
        values = (number(each.here), number(each.there), signed(each.difference), interval(each.low, each.high, signed))
        table.add_row(_plain(difference_name(each)), *values, each.verdict)
    return table, list(comparison_notes(comparison))


def difference_name(difference: Difference) -> str:
    """What is compared, for people."""
    return f"{difference.measure} of {difference.attribute}" if difference.attribute else difference.measure


def comparison_notes(comparison: Comparison) -> Iterator[str]:
    """What was compared, what was left out, and how."""
    yield f"{comparison.slots:,} slots of {comparison.items:,} items that both runs hold with the same truth"
    left_out = (
        (comparison.left_out_here, "that only this run holds"),
        (comparison.left_out_there, "that only the other run holds"),
        (comparison.different_truth, "whose truth differs"),
    )
    told = [f"{count:,} slots {which}" for count, which in left_out if count]
    yield f"left out: {'; '.join(told) or 'nothing'}"
    yield f"{comparison.method}; {comparison.replicates:,} draws, seed {comparison.seed}"


def _calibration_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table("Expected and reached precision", "attribute", "answers", "expected", "reached", "95 % interval", "")
    for each in metrics.calibration:
        values = (number(each.expected), number(each.reached), interval(each.low, each.high), signed(each.difference))
        table.add_row(_plain(each.attribute), f"{each.answered:,}", *values)
    return table, [f"of attributes with at least {MIN_ANSWERED} answers; last: reached - expected"]


def _bin_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table("Share right by confidence", "confidence", "candidates", "mean confidence", "share right")
    for each in metrics.bins:
        if each.count:
            span = f"{each.low:.1f} to {each.high:.1f}"
            table.add_row(span, f"{each.count:,}", number(each.confidence), number(each.right))
    return table, []


def _rung_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table("Answers by rung", "rung", "answers", "precision", "expected")
    for each in metrics.rungs:
        table.add_row(_plain(each.rung or NONE), f"{each.answered:,}", number(each.precision), number(each.expected))
    return table, []


def _class_table(metrics: Metrics) -> tuple[Table, list[str]]:
    names = [each.name.partition(", ")[0] for each in metrics.classes]
    remarks = [f"{name}: {each.name[len(name) + 2 :]}" for name, each in zip(names, metrics.classes, strict=True)]
    table = _table("None and value: truth, then answer", "", *names)
    if metrics.micro.absent:
        counts = {"NN rightly none": "nn", "NV invented": "nv", "VN missed": "vn", "VC correct": "vc", "VW wrong": "vw"}
        for label, key in counts.items():
            table.add_row(label, *(f"{getattr(each, key):,}" for each in metrics.classes))
        for label, key in {"threshold": "threshold", "precision": "precision", "recall": "recall", "F1": "f1"}.items():
            table.add_row(label, *(number(getattr(each, key)) for each in metrics.classes))
    return table, [remark for remark in remarks if not remark.endswith(": ")]


def _fold_table(metrics: Metrics) -> tuple[Table, list[str]]:
    table = _table("F1 by fold", "fold", "slots", "F1")
    if len(metrics.folds.folds) > 1:
        for each in metrics.folds.folds:
            table.add_row(str(each.fold), f"{each.slots:,}", number(each.f1))
    return table, [f"mean {number(metrics.folds.mean)}, standard deviation {number(metrics.folds.std)}"]


def _usage_table(about: Mapping[str, Any]) -> Table:
    table = _table("What it took", "", "in all", "per 1,000 items")
    for label, total, per_thousand in usage_rows(about):
        table.add_row(label, amount(total), NONE if per_thousand is None else amount(per_thousand))
    return table

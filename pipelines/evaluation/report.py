"""The report of an evaluation: report.json for programs, one self-contained report.html, and tables
in a terminal.

Catalog texts are untrusted: the HTML escapes every one and forbids scripts and requests by its own
content policy, pictures are decoded within the limits of `transforms/images/decode.py` and embedded
as small JPEGs, and invisible characters are shown as escapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import msgspec
from markupsafe import Markup

from pipelines.evaluation.bootstrap import REPLICATES
from pipelines.evaluation.calibration import MIN_ANSWERED
from pipelines.evaluation.compare import Comparison, compare
from pipelines.evaluation.decisions import Decision
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
from pipelines.evaluation.metrics import TARGETS, Metrics, measure
from pipelines.evaluation.plots import draw_plots
from pipelines.report.html import clean, thumbnail
from schemas.secrets import hidden, masked_in
from transforms.images.files import ImageLimits, PictureProblem
from transforms.images.finding import Pictures

if TYPE_CHECKING:
    pass

MAX_EXAMPLES = 40
MAX_EXAMPLES_AN_ATTRIBUTE = 5
MAX_PICTURES_AN_EXAMPLE = 3
THUMBNAIL_PX = 160

# What `about` says in places of its own; the rest is listed as it is.
_TOLD_ELSEWHERE = ("title", "notes", "usage", "compared_with")


@dataclass(frozen=True, slots=True)
class Against:
    """Another run to compare with, and how to call it. replicates, seed: of the bootstrap."""

    name: str
    decisions: Sequence[Decision]
    replicates: int = REPLICATES
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of an example.

    thumbnail: data URI of a JPEG, None with the problem that prevented it.
    """

    path: str
    thumbnail: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """A confidently wrong answer.

    pictures: the first ones; more_pictures: how many are not shown.
    """

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
    limits: ImageLimits | None = None,
) -> Report:
    """Measure the decisions and write report.json and report.html to `folder`, which is made when
    missing.

    about: what was evaluated and how; values that JSON can hold. "title": headline. "notes":
    sentences the reader
        should know. "usage": calls, prompt_tokens, completion_tokens, cost, seconds, items, each
        where it is known.
    images_root: where picture references start; None shows no pictures.
    limits: what decoding a picture may cost; the command line's defaults when None.
    Raises ValueError when the run cannot be compared (`compare.compare`), OSError when a file
    cannot be written.
    """
    metrics = measure(decisions)
    other = comparison = None
    if against:
        other = measure(against.decisions)
        comparison = compare(
            decisions, against.decisions, replicates=against.replicates, seed=against.seed
        )
    examples = [
        _example(each, images_root, limits or ImageLimits()) for each in most_wrong(decisions)
    ]
    about = dict(about) | ({"compared_with": against.name} if against else {})
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "report.json", folder / "report.html"
    paths[0].write_bytes(_as_json(about, metrics, comparison, examples))
    page = _page(about, metrics, comparison, examples, draw_plots(metrics, other))
    paths[1].write_text(hidden(page), encoding="utf-8")
    return Report(metrics, comparison, *paths)


def most_wrong(decisions: Sequence[Decision]) -> list[Decision]:
    """Return the wrong answers of highest confidence, at most MAX_EXAMPLES and
    MAX_EXAMPLES_AN_ATTRIBUTE of an attribute.

    An answer is wrong when any value of it is not right; of a value without a confidence nothing is
    known, it comes last.
    """

    def rank(decision: Decision) -> tuple[float, str, str, int]:
        confidence = -1.0 if decision.confidence is None else decision.confidence
        return -confidence, decision.attribute, decision.item_id, decision.fold

    wrong = sorted(
        (each for each in decisions if each.answered and each.matched < each.predicted), key=rank
    )
    taken: Counter[str] = Counter()
    chosen = []
    for decision in wrong:
        if taken[decision.attribute] < MAX_EXAMPLES_AN_ATTRIBUTE:
            taken[decision.attribute] += 1
            chosen.append(decision)
    return chosen[:MAX_EXAMPLES]


def _storable(value: Any) -> Any:
    """Return the value as JSON can hold it: half surrogates as escapes, what is no JSON as its
    text.
    """
    if isinstance(value, Mapping):
        return {_storable(str(key)): _storable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(each) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()


def _as_json(
    about: Mapping[str, Any],
    metrics: Metrics,
    comparison: Comparison | None,
    examples: Sequence[Example],
) -> bytes:
    """Return the whole report without thumbnails; numbers that are not finite become null."""
    plain = [
        replace(example, pictures=tuple(map(_without_thumbnail, example.pictures)))
        for example in examples
    ]
    said = masked_in(dict(about), hidden)
    content = {"about": said, "metrics": metrics, "comparison": comparison, "examples": plain}
    return (
        msgspec.json.format(
            msgspec.json.encode(_storable(msgspec.to_builtins(content, enc_hook=str)))
        )
        + b"\n"
    )


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
    data = Pictures(images_root).read(path, limits)
    found = thumbnail(data, limits, THUMBNAIL_PX)
    return (
        Picture(path, None, found.message)
        if isinstance(found, PictureProblem)
        else Picture(path, found, None)
    )


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
    """Return a value of `about` in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_fact(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_fact, value))
    return NONE if value is None else str(value)


# Plots


# Terminal

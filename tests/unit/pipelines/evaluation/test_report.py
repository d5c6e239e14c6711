"""The report: safe with any catalog's texts and pictures, whole in one file, and readable in a
terminal.
"""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image
from rich.console import Console

from pipelines.evaluation.compare import Comparison, compare
from pipelines.evaluation.decisions import Decision
from pipelines.evaluation.figures import usage_rows
from pipelines.evaluation.metrics import Metrics, measure
from pipelines.evaluation.plots import draw_plots
from pipelines.evaluation.report import (
    MAX_EXAMPLES,
    MAX_EXAMPLES_AN_ATTRIBUTE,
    MAX_PICTURES_AN_EXAMPLE,
    THUMBNAIL_PX,
    Against,
    most_wrong,
    write_report,
)
from pipelines.evaluation.terminal import print_report
from tests.decisions import CASE, decision, run
from tests.support import ROOT
from transforms.images.files import ImageLimits

SRC = ROOT
HOSTILE = "</td><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}[red]\x1b[2J\u202e\ud800"
ABOUT: dict[str, Any] = {
    "title": "Apparel",
    "notes": ["The truth was read by a program."],
    "template": "apparel@3",
    "usage": {
        "calls": 20,
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "cost": 0.5,
        "seconds": 8.0,
        "items": 10,
    },
}


class Page(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[str]:
        """The values of an attribute, in whatever tag."""
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


def written(
    tmp_path: Path, decisions: list[Decision], about: dict[str, Any] | None = None, **options: Any
) -> Page:
    report = write_report(
        tmp_path / "report", decisions, ABOUT if about is None else about, **options
    )
    return Page(report.html_path.read_text("utf-8"))


def wrong(number: int = 0, **changes: Any) -> Decision:
    return replace(decision(number, said="b", truth="a"), **changes)


def hostile(text: str) -> list[Decision]:
    """Decisions that hold the text wherever a text can be."""
    changes: dict[str, Any] = dict.fromkeys(
        ("item_id", "attribute", "rung", "source", "method", "evidence", "title"), text
    )
    changes |= dict.fromkeys(("accepted", "candidate", "baseline", "images"), (text,))
    one = wrong(answered=True, **changes)
    return [one, *(replace(one, item_id=f"{text}{number}") for number in range(40))]


def test_catalog_texts_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    """Markup in any text is text: no tag, attribute, template code or invisible character comes
    from a catalog.
    """
    about = {"title": HOSTILE, "notes": [HOSTILE], HOSTILE: {HOSTILE: [HOSTILE]}}
    page = written(
        tmp_path,
        hostile(HOSTILE),
        about,
        against=Against(HOSTILE, hostile(HOSTILE), 20),
        images_root=str(tmp_path),
    )
    tags = Counter(tag for tag, _ in page.tags)
    assert tags["script"] == tags["img"] == 0
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") > 20
    assert "{{ 7 * 7 }}" in page.text
    assert r"\x1b[2J\u202e\ud800" in page.text
    assert not set("\x1b\u202e") & set(page.text)


def test_the_page_is_whole(tmp_path: Path) -> None:
    """Nothing is fetched: no reference leads out of the file, and its own policy forbids scripts
    and requests.
    """
    picture(tmp_path / "a.png")
    slots = [*CASE, wrong(9, images=("a.png",))]
    page = written(
        tmp_path, slots, against=Against("last week", slots, 20), images_root=str(tmp_path)
    )
    html = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|//\w|@import", re.sub(r"base64,[\w+/=]+", "", html))
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.all("src"))
    assert not {"script", "link", "iframe", "object", "base", "form"} & {
        tag for tag, _ in page.tags
    }
    assert "default-src 'none'" in page.all("content")[0]
    assert "last week" in page.text
    # References within the page resolve, and no two elements share an id.
    ids = page.all("id")
    assert len(ids) == len(set(ids)) > 0
    assert {*re.findall(r"url\(#([^)]*)\)", html), *(href[1:] for href in page.all("href"))} <= set(
        ids
    )


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    """Reports of the same decisions are the same files: no date, no random id."""
    slots = run(30, 0.7, seed=1)
    for name in ("one", "two"):
        write_report(tmp_path / name, slots, ABOUT, Against("other", run(30, 0.6, seed=2), 20))
    for file in ("report.json", "report.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_json_says_what_the_page_says(tmp_path: Path) -> None:
    """The JSON loads, holds the metrics, comparison and examples, and no picture's bytes."""
    picture(tmp_path / "a.png")
    slots = [*CASE, wrong(9, images=("a.png",), title=HOSTILE)]
    report = write_report(
        tmp_path / "new" / "folder",
        slots,
        ABOUT,
        Against("other", slots, 20),
        str(tmp_path),
    )
    content = json.loads(report.json_path.read_bytes())
    assert msgspec.convert(content["metrics"], Metrics) == report.metrics == measure(slots)
    assert msgspec.convert(content["comparison"], Comparison) == report.comparison
    assert content["about"] == ABOUT | {"compared_with": "other"}
    example = content["examples"][0]
    assert example["decision"]["title"] == HOSTILE.replace("\ud800", r"\ud800")
    assert example["pictures"] == [{"path": "a.png", "thumbnail": None, "problem": None}]


def picture(path: Path, size: tuple[int, int] = (640, 320)) -> Path:
    Image.new("RGB", size, (200, 30, 30)).save(path)
    return path


def test_pictures_are_embedded_small(tmp_path: Path) -> None:
    """A picture below the root is shown as a JPEG within the thumbnail's size; further ones are
    counted.
    """
    picture(tmp_path / "a.png")
    page = written(
        tmp_path,
        [wrong(images=("a.png",) * (MAX_PICTURES_AN_EXAMPLE + 2))],
        images_root=str(tmp_path),
    )
    sources = page.all("src")
    assert len(sources) == MAX_PICTURES_AN_EXAMPLE
    assert "and 2 more" in page.text
    thumbnail = Image.open(io.BytesIO(base64.b64decode(sources[0].partition(",")[2])))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (THUMBNAIL_PX, THUMBNAIL_PX // 2))


def test_pictures_that_cannot_be_shown_are_named(tmp_path: Path) -> None:
    """A missing, damaged or huge picture, or one outside the root by any way, is named with the
    reason.
    """
    root = tmp_path / "root"
    root.mkdir()
    picture(tmp_path / "secret.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "page.png").write_text("<html>not found</html>")
    (root / "torn.png").write_bytes(picture(tmp_path / "whole.png", (64, 64)).read_bytes()[:60])
    picture(root / "huge.png")
    reasons = {
        "gone.png": "does not exist",
        "../secret.png": "climbs with '..'",
        str(tmp_path / "secret.png"): "is absolute",
        "link.png": "leads out of --images-root by a symbolic link",
        "page.png": "which no picture does",
        "torn.png": "ends early",
        "huge.png": "204,800 pixels, at most 100,000 are allowed",
    }
    slots = [wrong(number, attribute=path, images=(path,)) for number, path in enumerate(reasons)]
    page = written(tmp_path, slots, images_root=str(root), limits=ImageLimits(max_pixels=100_000))
    assert page.all("src") == []
    for path, reason in reasons.items():
        assert re.search(rf"{re.escape(path)}: [^\n]*{re.escape(reason)}", page.text), path


def test_without_a_root_pictures_are_only_named(tmp_path: Path) -> None:
    """No images root, no picture read: the references are listed."""
    page = written(tmp_path, [wrong(images=("report.html",))])
    assert "report.html: pictures were not asked for" in page.text


def test_examples_are_the_surest_errors() -> None:
    """Wrong answers by falling confidence, bounded in all and for each attribute; right or withheld
    ones never.
    """
    slots = [
        wrong(number, attribute=f"a{number % 12}", confidence=number / 1000)
        for number in range(200)
    ] + [
        decision(said="a", truth="a"),
        wrong(answered=False, confidence=1.0),
        decision(said="a", truth="ab", sure=1.0),
    ]
    chosen = most_wrong(slots)
    sure = [each.confidence or 0 for each in chosen]
    assert len(chosen) == MAX_EXAMPLES
    assert sure == sorted(sure, reverse=True)
    assert sure[0] == 0.199
    assert max(Counter(each.attribute for each in chosen).values()) <= MAX_EXAMPLES_AN_ATTRIBUTE
    partly, invented, unsure = (
        decision(said="ab", truth="a"),
        decision(1, said="a"),
        wrong(2, confidence=None),
    )
    assert most_wrong([unsure, partly, invented]) == [partly, invented, unsure]


def test_sections_appear_where_there_is_something_to_say(tmp_path: Path) -> None:
    """Classes need an absent slot, folds two of them, comparison another run, usage a number; None
    reads as a dash.
    """
    assert "0 items, 0 held-back slots" in written(tmp_path, [], {"seed": None}).text
    few = written(tmp_path, [decision(truth="a")], {})
    for absent in ("WDC-PAVE", "F1 by fold", "Compared with", "What it took", "What was evaluated"):
        assert absent not in few.text
    assert "No plots" in few.text
    assert "No answer is wrong" in few.text
    assert "None" not in few.text
    assert "–" in few.text
    full = written(
        tmp_path, run(30, 0.7, seed=1), against=Against("last week", run(30, 0.6, seed=2), 20)
    )
    for present in (
        "WDC-PAVE",
        "F1 by fold",
        "Compared with last week",
        "What it took",
        "apparel@3",
        *ABOUT["notes"],
    ):
        assert present in full.text
    assert Counter(tag for tag, _ in full.tags)["svg"] == 2


def test_usage_is_given_per_thousand_items() -> None:
    """What is known is listed, in all and per 1,000 items where these are known; nothing known is
    no table.
    """
    rows = {label: (total, each) for label, total, each in usage_rows(ABOUT)}
    assert rows["cost by --prices"] == (0.5, 50.0)
    assert rows["calls"] == (20, 2000.0)
    assert usage_rows({"usage": {"calls": 3}}) == [("calls", 3, None)]
    assert usage_rows({"usage": {"calls": 3, "items": 0}}) == [
        ("items", 0, None),
        ("calls", 3, None),
    ]
    assert usage_rows({}) == usage_rows({"usage": {"items": 4}}) == []


def printed(metrics: Metrics, about: dict[str, Any], comparison: Comparison | None = None) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_report(console, metrics, about, comparison)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_terminal_says_the_same_within_80_columns() -> None:
    """Every table that has something to say fits 80 columns, and its numbers are the metrics'."""
    ours = [
        replace(each, attribute=f"{each.attribute}_of_the_whole_product")
        for each in run(400, 0.8, seed=1)
    ]
    theirs = [
        replace(each, attribute=f"{each.attribute}_of_the_whole_product")
        for each in run(400, 0.5, seed=2)
    ]
    metrics = measure(ours)
    text = printed(metrics, ABOUT, compare(ours, theirs, replicates=20))
    assert max(map(len, text.splitlines())) <= 80
    for title in (
        "Values on held-back slots",
        "By attribute",
        "Compared with",
        "Expected and reached precision",
        "Share right by confidence",
        "Answers by step",
        "None and value",
        "F1 by fold",
        "What it took",
        "chosen on the truth, for orientation only",
        "The truth was read by a program.",
    ):
        assert title in text
    assert f"{metrics.micro.measures.own.f1:.3f}" in text
    assert "…" not in text


def test_the_terminal_shows_hostile_names() -> None:
    """Control characters and markup in names are shown, not obeyed; nothing measured is no crash."""
    text = printed(measure(hostile("[red]\x1b[2J")), {"notes": ["\x1b[2J"]})
    assert r"[red]\x1b[2J" in text.replace("\n", "")
    assert "\x1b" not in text
    assert "Values on held-back slots" in printed(measure([]), {})


def test_without_matplotlib_there_is_a_report_without_plots() -> None:
    """Where the extra is not installed, plots are missing and nothing fails."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from pipelines.evaluation.metrics import measure\n"
        "from pipelines.evaluation.report import draw_plots\n"
        "from tests.decisions import CASE\n"
        "print(draw_plots(measure(CASE)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=SRC, check=True
    )
    assert done.stdout == "{}\n"


@pytest.mark.parametrize(
    "slots", [CASE[:1], CASE, [decision(said="a", truth="b", sure=0.0)], [decision(said="a")]]
)
def test_plots_of_little_data(slots: list[Decision]) -> None:
    """One answer, none right, or no truth at all still gives plots that are drawn in the page's own
    colours.
    """
    plots = draw_plots(measure(slots), measure(CASE))
    assert "reliability" in plots
    for svg in plots.values():
        assert svg.startswith("<svg viewBox=")
        assert "var(--first)" in svg
        assert "currentColor" in svg
        assert "#0a0b" not in svg

"""The live view: what it says of each stage, within 80 columns, and nothing where nobody looks."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipelines.monitoring.live_view import LOG_INTERVAL_SECS, as_log, live_view, plain_line, render
from pipelines.monitoring.progress import SHOWN, StageLine, Tracker, calls_of, failures_of
from transforms.embed.documents import Document, embed_documents
from transforms.models import build_text_encoder
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions

COLUMNS = 80


def beats(**counts: dict[str, int]) -> dict[str, Counter[str]]:
    return {stage: Counter(each) for stage, each in counts.items()}


def shown(
    lines: list[StageLine], seconds: float, seen: dict[str, Counter[str]] | None = None
) -> list[str]:
    console = Console(file=io.StringIO(), width=COLUMNS)
    console.print(render(lines, seconds, seen or {}))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


READ = {"read": {"records": 399}}
LOCATED = {**READ, "locate": {"pictures": 600, "unusable": 25}}


def test_all_stages_show_from_the_start() -> None:
    """Before the first heartbeat every stage that each run has is listed as waiting; the workers
    are said to start.
    """
    lines = Tracker().observe({}, 1.0)
    assert [line.title for line in lines] == [stage.title for stage in SHOWN if not stage.optional]
    assert {line.state for line in lines} == {"waiting"}
    assert "starting workers" in shown(lines, 1.0)[-1]
    assert plain_line(lines, 1.0) == "1 s  starting workers"


def test_fetching_says_how_many_of_how_many() -> None:
    """While pictures are fetched, or asked whether they have changed, the view says how many of how
    many, and how long it will take; without fetching nothing is said of it.
    """
    for stage, told, before in (
        ("recheck", "pictures checked 110 of 200 (11/s)", {}),
        ("fetch", "pictures fetched 110 of 200 (11/s)", READ),
    ):
        tracker = Tracker()
        tracker.observe(beats(**before, **{stage: {"asked": 200}}), 1.0)
        for second in range(2, 12):
            seen = beats(**before, **{stage: {"asked": 200, "done": 10 * second}})
            lines = tracker.observe(seen, float(second))
        assert told in plain_line(lines, 11.0)
        assert any("8 s left" in line for line in shown(lines, 11.0))
    assert "fetched" not in plain_line(Tracker().observe(beats(**LOCATED), 3.0), 3.0)


def test_rate_of_a_finished_stage_stands_still() -> None:
    """A stage that is done keeps the rate it had, however long the run goes on."""
    tracker = Tracker()
    tracker.observe({}, 1.0)
    tracker.observe(beats(read={"records": 200}), 2.0)
    tracker.observe(beats(**READ), 3.0)
    rates = [
        tracker.observe(beats(**LOCATED), float(seconds))[0].rate for seconds in range(4, 200, 5)
    ]
    assert set(rates) == {399 / 2}


def test_rate_of_a_running_stage_is_recent() -> None:
    """A stage that slowed down shows the rate of the last seconds, and the time left follows from
    it.
    """
    tracker = Tracker()
    for seconds in range(11):
        tracker.observe(beats(**LOCATED, prepare={"pictures": 30 * seconds}), float(seconds))
    for seconds in range(11, 31):
        lines = tracker.observe(
            beats(**LOCATED, prepare={"pictures": 290 + seconds}), float(seconds)
        )
    prepare = lines[2]
    assert (prepare.state, prepare.count, prepare.total) == ("running", 320, 575)
    assert prepare.rate == pytest.approx(1.0)
    assert prepare.left_secs == pytest.approx(255.0)
    assert shown(lines, 30.0)[2].split("  ")[-1].strip() == "4 min 15 s left"


def test_stages_before_a_barrier_are_done_when_the_next_begins() -> None:
    """Reading and pictures are done once items are assembled, also when fewer were described than
    were found.
    """
    lines = Tracker().observe(
        beats(**LOCATED, prepare={"pictures": 500}, assemble={"items": 100}), 9.0
    )
    assert [line.state for line in lines] == [
        "done",
        "done",
        "done",
        "running",
        "waiting",
        "waiting",
    ]
    assert lines[3].total == 399
    assert shown(lines, 9.0)[3].split()[2:] == ["100", "of", "399", "25", "%"]


def test_items_set_aside_do_not_keep_a_stage_open() -> None:
    """When the run has ended every stage is done, with the counts it reached."""
    lines = Tracker().observe(
        beats(**READ, assemble={"items": 398}, write={"items": 390}), 50.0, finished=True
    )
    assert {line.state for line in lines} == {"done"}
    assert [line.count for line in lines] == [399, 0, 0, 398, 0, 390]


def test_a_stage_that_counts_whole_buckets_tells_no_rate() -> None:
    """Items that are counted a bucket at a time show their share, but no rate and no time left."""
    tracker = Tracker()
    for seconds in range(20):
        lines = tracker.observe(beats(**READ, assemble={"items": 188}), float(seconds))
    assert (lines[3].rate, lines[3].left_secs) == (None, None)


def test_a_stage_that_loads_its_model_says_so() -> None:
    """Until the first item is embedded the stage shows that it loads a model, not a rate of zero."""
    tracker = Tracker()
    for seconds in range(9):
        lines = tracker.observe(
            beats(**READ, assemble={"items": 188}, embed={"items": 0}), float(seconds)
        )
    assert (lines[4].state, lines[4].rate, lines[4].loading) == ("running", None, True)
    assert shown(lines, 8.0)[4].endswith("loading model")
    lines = tracker.observe(beats(**READ, assemble={"items": 188}, embed={"items": 32}), 9.0)
    assert not lines[4].loading


def test_plain_line_names_what_has_begun() -> None:
    """In a log one line says what is done and what is running with its rate."""
    tracker = Tracker()
    tracker.observe(beats(**READ, locate={"pictures": 575}), 1.0)
    for seconds in range(2, 13):
        lines = tracker.observe(
            beats(**READ, locate={"pictures": 575}, prepare={"pictures": 12 * (seconds - 2)}),
            float(seconds),
        )
    assert plain_line(lines, 12.0) == (
        "12 s  records read 399 (done)  pictures located 575 (done)  pictures prepared 120 of 575 (12/s)"
    )


@given(
    counts=st.lists(st.integers(0, 99_999_999), min_size=10, max_size=10),
    begun=st.integers(0, 10),
    seconds=st.floats(0, 90_000),
    finished=st.booleans(),
)
def test_view_fits_80_columns(
    counts: list[int], begun: int, seconds: float, finished: bool
) -> None:
    """Whatever the counts, every stage has one line of at most 80 columns with nothing cut off."""
    seen = {
        stage.name: Counter({stage.counts: n})
        for stage, n in zip(SHOWN[:begun], counts, strict=False)
    }
    tracker = Tracker()
    tracker.observe({name: Counter() for name in seen}, 0.0)
    lines = tracker.observe(seen, seconds, finished=finished)
    rows = shown(lines, seconds)
    expected = [stage for stage in SHOWN if stage.name in seen or not stage.optional]
    assert len(rows) == len(expected) + 1
    assert all(len(row) <= COLUMNS and "…" not in row for row in rows)


ASKED = {
    "sent": 120,
    "answers": 90,
    "limit": 16,
    "tokens": 91_200,
    "micro_cost": 12_300,
    "failed:model-timeout": 3,
}


def test_model_calls_are_told() -> None:
    """Calls in flight never exceed what may be under way at once; the rest waits; tokens and money
    are added up.
    """
    told = calls_of(beats(describe=ASKED))
    assert told is not None
    assert (told.in_flight, told.waiting, told.tokens, told.cost) == (16, 14, 91_200, 0.0123)
    rows = shown(Tracker().observe(beats(describe=ASKED), 5.0), 5.0, beats(describe=ASKED))
    assert "model calls  16 in flight   14 waiting   91,200 tokens   spent 0.0123" in rows
    assert calls_of(beats(**READ)) is None


def test_failures_are_told_by_reason() -> None:
    """What went wrong in any stage is named with its reason id and count, most frequent first,
    within 80 columns.
    """
    seen = beats(
        read={"records": 9, "failed:malformed-json": 2},
        locate={"failed:image-missing": 25},
        describe=ASKED,
        embed={"failed:embed-failed": 1},
    )
    assert failures_of(seen) == {
        "image-missing": 25,
        "model-timeout": 3,
        "malformed-json": 2,
        "embed-failed": 1,
    }
    rows = shown(Tracker().observe(seen, 5.0), 5.0, seen)
    assert rows[-1] == "not usable   image-missing 25, model-timeout 3, malformed-json 2 and 1 more"
    assert all(len(row) <= COLUMNS for row in rows)
    assert plain_line([], 5.0, seen).endswith(
        "image-missing 25, model-timeout 3, malformed-json 2 and 1 more"
    )


def test_a_log_gets_its_last_line_when_the_run_ends(tmp_path: Path) -> None:
    """With `always` a stream that is no terminal gets plain lines, at least one with the stages
    done.
    """
    (tmp_path / "read-1-a.json").write_text(json.dumps({"records": 399}))
    stream = io.StringIO()
    with live_view("always", str(tmp_path), stream):
        pass
    assert "records read 399 (done)" in stream.getvalue().splitlines()[-1]
    assert "\x1b" not in stream.getvalue()


def test_a_log_gets_a_line_an_interval(tmp_path: Path) -> None:
    """Off a terminal a line is written once an interval, and a last one when the run ends."""
    stream, lines = io.StringIO(), [StageLine("records read", "running", 9)]
    with as_log(stream, at_least_one=False) as show:
        for seconds in range(2 * LOG_INTERVAL_SECS + 5):
            show(lines, float(seconds), {}, False)
        show(lines, 2.0 * LOG_INTERVAL_SECS + 5, {}, True)
    assert [line.split("  ")[0] for line in stream.getvalue().splitlines()] == [
        "30 s",
        "1 min 00 s",
        "1 min 05 s",
    ]


@pytest.mark.parametrize("mode", ["auto", "never"])
def test_nothing_is_written_off_a_terminal(mode: str, tmp_path: Path) -> None:
    """Of what is shorter than the interval of lines, a stream that is no terminal gets nothing
    unless it is asked for.
    """
    stream = io.StringIO()
    with live_view(mode, str(tmp_path), stream):
        pass
    assert stream.getvalue() == ""


def test_a_run_that_breaks_off_is_not_shown_as_done(tmp_path: Path) -> None:
    """When the body raises, nothing is said to be done."""
    stream = io.StringIO()
    with pytest.raises(RuntimeError), live_view("always", str(tmp_path), stream):
        raise RuntimeError("broken")
    assert "done" not in stream.getvalue()


def test_embedding_counts_as_it_goes() -> None:
    """Items are counted batch by batch of texts, each once, those that share a text or have none
    included.
    """
    texts = ["", "", "same", "same", *(f"text {number}" for number in range(60))]
    options = EncoderOptions("fake", batch_tokens=20)
    encoder = build_text_encoder(ModelOptions(text=options))
    encoder.load()
    told: list[int] = []
    documents = [Document(text) for text in texts]
    found = embed_documents(documents, encoder, options, count=told.append)
    assert {document.text for document in found} == set(texts) - {""}
    assert sum(told) == len(texts)
    assert max(told) <= 3

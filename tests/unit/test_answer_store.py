"""transforms.answer_store: what was answered once is there for every later run."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from transforms.answer_store import FLUSH_ANSWERS, AnswerStore, bounds_of, part_of
from transforms.models.chat import ChatAnswer, ChatRequest

REQUEST = ChatRequest("s", "t", {}, prompt_hash="p")
ANSWER = ChatAnswer('{"a": "é"}', "stop", 10, 4, 3, probabilities={"a": 0.5})


def store(folder: Path, part: int = 0, parts: int = 1) -> AnswerStore:
    made = AnswerStore(str(folder), *bounds_of(part, parts), "run-1", "m 1")
    made.load()
    return made


def test_an_answer_is_read_by_a_later_run(tmp_path: Path) -> None:
    """What a run has put another one gets, tokens and probabilities included; nothing else is known."""
    first = store(tmp_path)
    first.put("f1", REQUEST, ANSWER)
    first.close()
    later = store(tmp_path)
    assert later.get("f1") == ANSWER
    assert later.get("f2") is None


def test_answers_of_a_killed_run_are_kept(tmp_path: Path) -> None:
    """Without a proper end all answers but the last few are durable."""
    killed = store(tmp_path)
    for number in range(FLUSH_ANSWERS + 3):
        killed.put(f"f{number}", REQUEST, ANSWER)
    later = store(tmp_path)
    assert [later.get(f"f{number}") is not None for number in (0, FLUSH_ANSWERS - 1, FLUSH_ANSWERS)] == [
        True,
        True,
        False,
    ]


def test_slow_answers_are_kept_soon(tmp_path: Path) -> None:
    """Where answers come slowly they do not wait for a full batch."""
    slow = store(tmp_path)
    slow._flushed_at = time.monotonic() - 60
    slow.put("f1", REQUEST, ANSWER)
    assert store(tmp_path).get("f1") == ANSWER


def test_a_part_ends_with_one_file(tmp_path: Path) -> None:
    """The pieces written while answers came are put together, and nothing half written is left."""
    whole = store(tmp_path)
    for number in range(3 * FLUSH_ANSWERS):
        whole.put(f"f{number}", REQUEST, ANSWER)
    whole.close()
    assert len(list(tmp_path.iterdir())) == 1
    assert all(store(tmp_path).get(f"f{number}") for number in range(3 * FLUSH_ANSWERS))


def test_a_damaged_file_costs_its_answers_only(tmp_path: Path) -> None:
    """A file that is no Parquet is named, its answers are asked for again, and all others are read."""
    kept = store(tmp_path)
    kept.put("f1", REQUEST, ANSWER)
    kept.close()
    damaged = tmp_path / "0000-ffff-abc.parquet"
    damaged.write_bytes(b"nope")
    (tmp_path / "notes.txt").write_text("not ours")
    later = store(tmp_path)
    assert later.get("f1") == ANSWER
    assert later.unreadable == [str(damaged)]


@given(st.integers(0, 0xFFFF), st.sampled_from([1, 4, 8, 64, 4096]), st.sampled_from([1, 4, 16, 4096]))
def test_parts_of_any_number_overlap_rightly(key: int, before: int, now: int) -> None:
    """Whatever the number of parts, each key lies in the bounds of its part, so a later run finds its file."""
    text = f"{key:04x}"
    spans = [bounds_of(part_of(text, parts), parts) for parts in (before, now)]
    assert all(first <= text <= last for first, last in spans)


def test_a_run_with_other_parts_finds_the_answers(tmp_path: Path) -> None:
    """A part that overlaps the part of an earlier run reads its answers."""
    early = store(tmp_path, part=5, parts=8)
    early.put("f1", REQUEST, ANSWER)
    early.close()
    assert store(tmp_path, part=1, parts=2).get("f1") == ANSWER
    assert store(tmp_path, part=0, parts=2).get("f1") is None

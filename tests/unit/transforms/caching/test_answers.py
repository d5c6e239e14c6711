"""transforms.caching.answers: what was answered once is there for every later run."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.memory_storage import MemoryStorage
from transforms.caching.answers import LAYOUT, AnswerCodec, CachedAnswer, forget_answers
from transforms.caching.files import read_files
from transforms.caching.key_range import MANY_FILES, KeyRangeCache
from transforms.models.chat import ChatAnswer
from transforms.runtime.buckets import bounds_of, part_of

ANSWER = CachedAnswer(ChatAnswer('{"a": "é"}', "stop", 10, 4, 3, probabilities={"a": 0.5}), "p")
FLUSH_ANSWERS = int(AnswerCodec.flush_rows)


def store(folder: Path | str, part: int = 0, parts: int = 1) -> KeyRangeCache[CachedAnswer]:
    opened = KeyRangeCache(str(folder), *bounds_of(part, parts), AnswerCodec("run-1", "m 1"))
    opened.load()
    return opened


def test_an_answer_is_read_by_a_later_run(tmp_path: Path) -> None:
    """What a run has put another one gets, tokens and probabilities included; nothing else is
    known.
    """
    first = store(tmp_path)
    first.put("f1", ANSWER)
    first.close()
    later = store(tmp_path)
    assert later.get("f1") == ANSWER
    assert later.get("f2") is None


def killed_run(folder: Path | str, *keys: str) -> None:
    """Put answers in a run that ends without a close: as a process of its own, with whose end its
    locks go, except on a storage that only this process sees.
    """
    if "://" in str(folder):
        put_and_leave(folder, keys)
        return
    child = os.fork()
    if not child:
        code = 1
        try:
            put_and_leave(folder, keys)
            code = 0
        finally:  # whatever happens, the child does not go on with the tests
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def put_and_leave(folder: Path | str, keys: Sequence[str]) -> None:
    run = store(folder)
    for key in keys:
        run.put(key, ANSWER)
    run.flush()


def names(folder: Path) -> list[str]:
    """The endings of the folder's files."""
    return sorted(path.name.split(".", 1)[1] for path in folder.iterdir())


def test_every_answer_is_kept_at_once(tmp_path: Path) -> None:
    """Without a proper end no answer is lost that has come, however few there were."""
    killed = store(tmp_path)
    for number in range(3):
        killed.put(f"f{number}", ANSWER)
        assert store(tmp_path).get(f"f{number}") == ANSWER
    assert names(tmp_path) == ["journal"]


def test_a_part_ends_with_one_file(tmp_path: Path) -> None:
    """The journal becomes a Parquet file with the same answers, and nothing half written is left."""
    whole = store(tmp_path)
    for number in range(200):
        whole.put(f"f{number}", ANSWER)
    whole.close()
    assert names(tmp_path) == ["parquet"]
    assert all(store(tmp_path).get(f"f{number}") == ANSWER for number in range(200))


def test_what_killed_runs_left_is_put_away(tmp_path: Path) -> None:
    """Journals of runs that ended without a close become part of one file, also when the next run
    asks nothing.
    """
    for number in range(3):
        killed_run(tmp_path, f"f{number}")
    last = store(tmp_path)
    last.close()
    assert names(tmp_path) == ["parquet"]
    assert all(store(tmp_path).get(f"f{number}") == ANSWER for number in range(3))


def test_a_journal_that_is_written_is_left_alone(tmp_path: Path) -> None:
    """Who puts files together does not take away the journal of one who is still at work."""
    busy = store(tmp_path)
    busy.put("f1", ANSWER)
    other = store(tmp_path)
    other.put("f2", ANSWER)
    other.close()
    busy.put("f3", ANSWER)
    assert names(tmp_path) == ["journal", "parquet"]
    assert all(store(tmp_path).get(each) for each in ("f1", "f2", "f3"))


def runs(folder: Path, count: int, part: int = 0, parts: int = 1) -> None:
    for number in range(count):
        run = store(folder, part, parts)
        run.put(f"f{part}-{number}", ANSWER)
        run.close()


def test_many_files_become_one(tmp_path: Path) -> None:
    """A part with more files of earlier runs than MANY_FILES has one after the next run, with all
    answers.
    """
    runs(tmp_path, MANY_FILES)
    assert len(names(tmp_path)) == MANY_FILES
    runs(tmp_path, 1)
    assert len(names(tmp_path)) == MANY_FILES + 1
    store(tmp_path).close()
    assert names(tmp_path) == ["parquet"]
    assert all(store(tmp_path).get(f"f0-{number}") for number in range(MANY_FILES))


def test_files_of_other_parts_are_not_put_together(tmp_path: Path) -> None:
    """A part leaves alone what reaches beyond its bounds, since others read it."""
    runs(tmp_path, MANY_FILES, part=0, parts=2)
    runs(tmp_path, 1, part=0, parts=4)
    store(tmp_path, part=1, parts=8).close()
    assert len(names(tmp_path)) == MANY_FILES + 1
    store(tmp_path).close()
    assert len(names(tmp_path)) == 1


def with_content(content: str) -> CachedAnswer:
    return ANSWER._replace(answer=replace(ANSWER.answer, content=content))


def test_the_latest_answer_counts(tmp_path: Path) -> None:
    """Of two answers to one request the later one is given, before and after files are put
    together.
    """
    runs(tmp_path, MANY_FILES)
    for content in ("zzz", "aaa"):
        run = store(tmp_path)
        run.put("twice", with_content(content))
        run.close()
        found = store(tmp_path).get("twice")
        assert found is not None
        assert found.answer.content == content
    store(tmp_path).close()
    assert len(names(tmp_path)) == 1
    assert store(tmp_path).get("twice") == with_content("aaa")


def test_a_file_that_is_replaced_while_it_is_read(tmp_path: Path) -> None:
    """Who holds an old list when files are put together reads the new file instead."""
    runs(tmp_path, MANY_FILES + 1)
    reading = read_files(str(tmp_path), LAYOUT)
    found = [next(reading)]
    store(tmp_path).close()
    found += reading
    rows = LAYOUT.newest(row for _, contents in found for row in contents.rows)
    assert len(rows) == MANY_FILES + 1
    assert not any(contents.problem for _, contents in found)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """An answer that does not fit is told, leaves nothing of itself, and the ones before it are
    kept.
    """
    code = f"""
import resource, signal
from transforms.caching.answers import AnswerCodec, CachedAnswer
from transforms.caching.key_range import KeyRangeCache
from transforms.models.chat import ChatAnswer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
full = KeyRangeCache({str(tmp_path)!r}, *{bounds_of(0, 1)!r}, AnswerCodec("run-1", "m 1"))
full.load()
answer = CachedAnswer(ChatAnswer("x" * 90, "stop", 10, 4, 3), "p")
for number in range(9):
    try:
        full.put(f"f{{number}}", answer)
    except OSError as error:
        print(number, "bytes could be written" in str(error) or error.errno)
        break
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    number, told = done.stdout.split()
    assert told == "True", done.stderr
    later = store(tmp_path)
    assert later.unreadable == []
    assert [later.get(f"f{each}") is not None for each in range(9)] == [
        each < int(number) for each in range(9)
    ]


def test_a_damaged_file_costs_its_answers_only(tmp_path: Path) -> None:
    """A file that is no Parquet is named, its answers are asked for again, and all others are read."""
    kept = store(tmp_path)
    kept.put("f1", ANSWER)
    kept.close()
    damaged = tmp_path / "0000-ffff-abc.parquet"
    damaged.write_bytes(b"nope")
    (tmp_path / "notes.txt").write_text("not ours")
    later = store(tmp_path)
    assert later.get("f1") == ANSWER
    assert later.unreadable == [str(damaged)]


@given(
    st.integers(0, 0xFFFF), st.sampled_from([1, 4, 8, 64, 4096]), st.sampled_from([1, 4, 16, 4096])
)
def test_parts_of_any_number_overlap_rightly(key: int, before: int, now: int) -> None:
    """Whatever the number of parts, each key lies in the bounds of its part, so a later run finds
    its file.
    """
    text = f"{key:04x}"
    spans = [bounds_of(part_of(text, parts), parts) for parts in (before, now)]
    assert all(first <= text <= last for first, last in spans)


def test_a_run_with_other_parts_finds_the_answers(tmp_path: Path) -> None:
    """A part that overlaps the part of an earlier run reads its answers."""
    early = store(tmp_path, part=5, parts=8)
    early.put("f1", ANSWER)
    early.close()
    assert store(tmp_path, part=1, parts=2).get("f1") == ANSWER
    assert store(tmp_path, part=0, parts=2).get("f1") is None


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder in an object store."""
    MemoryStorage.files.clear()
    yield "store://bucket/answers"
    MemoryStorage.files.clear()


def test_object_stores_get_answers_in_small_files(bucket: str) -> None:
    """Where nothing can be added to a file, answers are kept in batches, and the part ends with one
    file.
    """
    busy = store(bucket)
    for number in range(2 * FLUSH_ANSWERS + 3):
        busy.put(f"f{number}", ANSWER)
    assert len(MemoryStorage.files) == 2
    killed = [
        store(bucket).get(f"f{n}") is not None
        for n in (0, 2 * FLUSH_ANSWERS - 1, 2 * FLUSH_ANSWERS)
    ]
    assert killed == [True, True, False]
    busy.close()
    assert [name.split(".")[1] for name in MemoryStorage.files] == ["parquet"]
    assert all(store(bucket).get(f"f{number}") == ANSWER for number in range(2 * FLUSH_ANSWERS + 3))


class Patient(AnswerCodec):
    """Waits for a full batch however long that takes."""

    flush_secs = math.inf


class Impatient(AnswerCodec):
    """As if its time had always passed."""

    flush_secs = 0.0


def test_slow_answers_are_kept_soon(bucket: str) -> None:
    """Where answers come slowly they do not wait for a full batch."""
    for codec in (Patient, Impatient):
        cache = KeyRangeCache(bucket, *bounds_of(0, 1), codec("run-1", "m 1"))
        cache.load()
        cache.put(codec.__name__, ANSWER)
    assert store(bucket).get("Patient") is None
    assert store(bucket).get("Impatient") == ANSWER


def test_a_storage_that_cannot_be_listed_is_not_taken_for_empty() -> None:
    """Rather than pay for all answers again, the run ends."""
    with pytest.raises(ValueError, match="nowhere"):
        store("nowhere://bucket/answers")


@pytest.mark.parametrize("place", ["local", "store://bucket/answers"])
def test_answers_can_be_forgotten(tmp_path: Path, bucket: str, place: str) -> None:
    """What is forgotten is asked for again, wherever it lies and however often; everything else is
    still known.
    """
    folder = str(tmp_path) if place == "local" else place
    for number in range(3):
        run = store(folder)
        run.put("twice", ANSWER)
        run.put(f"f{number}", ANSWER)
        run.close()
    killed_run(folder, "f3", "f4")
    assert forget_answers(folder, ["twice", "f1", "f3", "never asked"]) == 3
    later = store(folder)
    known = [later.get(each) is not None for each in ("twice", "f0", "f1", "f2", "f3", "f4")]
    assert known == [False, True, False, True, False, True]
    assert forget_answers(folder, ["twice"]) == 0


def test_nothing_is_forgotten_under_a_run_that_writes(tmp_path: Path) -> None:
    """Who wants to drop an answer from a journal that is being written has to wait."""
    busy = store(tmp_path)
    busy.put("f1", ANSWER)
    assert forget_answers(str(tmp_path), ["f2"]) == 0
    with pytest.raises(BlockingIOError, match="being written"):
        forget_answers(str(tmp_path), ["f1"])
    assert store(tmp_path).get("f1") == ANSWER


def test_forgetting_in_a_damaged_journal_keeps_it(tmp_path: Path) -> None:
    """The damaged file is put aside, its whole answers stay known, the forgotten one does not come
    back.
    """
    killed_run(tmp_path, "f0", "f1", "f2")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b'"f1"', b'"f9"'))
    damaged = store(tmp_path)
    assert damaged.unreadable == [str(path)]
    assert [damaged.get(f"f{number}") is not None for number in range(3)] == [True, False, True]
    damaged.close()
    assert path.exists(), "what cannot be read stays"
    assert forget_answers(str(tmp_path), ["f0"]) == 1
    assert [store(tmp_path).get(f"f{number}") is not None for number in range(3)] == [
        False,
        False,
        True,
    ]
    assert path.with_name(path.name + ".damaged").exists()


EARLIER_LINE = (
    b'{"fingerprint":"f1","content":"{\\"a\\": \\"\\u00e9\\"}","finish_reason":"stop",'
    b'"prompt_tokens":10,"image_tokens":4,"completion_tokens":3,"probabilities":[["a",0.5]],'
    b'"model":"m 1","prompt_hash":"p","run_id":"run-1",'
    b'"answered_ts":"2026-01-02T03:04:05.000006+00:00"}'
)


def test_a_journal_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Lines as they were written ever since give the answer, so nothing that was paid for is lost."""
    line = b"%08x %s\n" % (zlib.crc32(EARLIER_LINE), EARLIER_LINE)
    (tmp_path / "0000-ffff-abc.journal").write_bytes(line)
    opened = store(tmp_path)
    assert opened.get("f1") == ANSWER
    opened.close()
    assert names(tmp_path) == ["parquet"]
    assert store(tmp_path).get("f1") == ANSWER


def test_a_read_only_cache_leaves_no_trace(tmp_path: Path) -> None:
    """What comes to it is known until the end, and the storage stays as it was."""
    opened = KeyRangeCache(str(tmp_path), "0000", "ffff", AnswerCodec("r", "m"), read_only=True)
    opened.load()
    opened.put("f1", ANSWER)
    assert opened.get("f1") == ANSWER
    opened.close()
    assert names(tmp_path) == []

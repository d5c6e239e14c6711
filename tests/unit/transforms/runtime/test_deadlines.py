"""A limit of time for one element: whatever Python is at work, it ends, and nothing else does."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from schemas.elements import Bucket, Flag, Item, RawRecord, Record
from schemas.reasons import TOO_LONG
from transforms.describe.ask import fault_answer
from transforms.images.files import PictureProblem
from transforms.normalise.combine import not_combined
from transforms.runtime.buckets import each_item
from transforms.runtime.deadlines import TookTooLongError, within

LIMIT_SECS = 0.1
RAW = RawRecord(b"{}\n", "jsonl", "catalog.jsonl", 1)


def spin(secs: float = 1e9) -> int:
    """Work for so long, by the processor time of this thread."""
    until = time.thread_time() + secs
    while time.thread_time() < until:
        pass
    return 1


def swallows() -> None:
    """Take every error for one of what it tries."""
    while True:
        with suppress(Exception):
            spin()


def recurses(depth: int = 0) -> int:
    return spin(0.001) if depth > 50 else recurses(depth + 1) + recurses(depth + 1)


def counts() -> int:
    return max(number for number in itertools.count() if number >= 0)


def generates() -> int:
    def endless() -> Iterator[int]:
        try:
            yield from iter(lambda: 1, 2)
        finally:
            len("what is cleaned up is cleaned up")

    return sum(endless())


def searches() -> None:
    """Short calls of C, one after the other."""
    while True:
        re.search(r"(a+)b", "a" * 500)


def sorts() -> None:
    while True:
        sorted(range(5_000), key=lambda number: -number)


@pytest.mark.parametrize("work", [spin, swallows, recurses, counts, generates, searches, sorts])
def test_whatever_python_works_on_it_ends(work: Callable[[], object]) -> None:
    """Loops, recursion, generators, short calls of C and code that swallows errors all end."""
    began = time.thread_time()
    with pytest.raises(TookTooLongError, match=r"longer than 0\.1 s of processor time.*--max-el"):
        within(LIMIT_SECS, work)
    assert LIMIT_SECS * 0.9 <= time.thread_time() - began < 50 * LIMIT_SECS


def test_waiting_is_not_working() -> None:
    """A busy machine, a slow disk and a slow server set nothing aside."""
    assert within(LIMIT_SECS, lambda: time.sleep(4 * LIMIT_SECS) or 3) == 3


def test_what_ends_in_time_is_what_it_is() -> None:
    """Values, errors and arguments pass through."""
    assert within(60.0, divmod, 7, 2) == (3, 1)
    assert within(60.0, sorted, [2, 1], reverse=True) == [2, 1]
    with pytest.raises(ZeroDivisionError):
        within(60.0, divmod, 7, 0)
    with pytest.raises(KeyboardInterrupt):
        within(60.0, next, (_ for _ in ()).throw(KeyboardInterrupt))


def test_a_limit_within_another_changes_nothing() -> None:
    """The outer one counts, and is still there after the inner one."""
    with pytest.raises(TookTooLongError, match=r"0\.2 s"):
        within(2 * LIMIT_SECS, lambda: [within(60.0, spin, LIMIT_SECS), spin()])


def test_no_exception_comes_late() -> None:
    """Elements that end just as their time does either end or are set aside, in every thread."""

    def work(seed: int) -> tuple[int, int]:
        chosen, kept, aside = random.Random(seed), 0, 0
        for _ in range(40):
            try:
                kept += within(0.01, spin, chosen.uniform(0.002, 0.03))
            except TookTooLongError:
                aside += 1
            spin(0.0002)  # hit by an exception that was meant for the element, this would end
        return kept, aside

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(work, range(4)))
    assert all(kept + aside == 40 for kept, aside in results), results
    assert sum(kept for kept, _ in results) > 0
    assert sum(aside for _, aside in results) > 0


WATCHED = """
import sys
from transforms.runtime.deadlines import TookTooLongError, within

def spin():
    while True:
        pass

try:
    within(0.05, spin)
except TookTooLongError:
    sys.setprofile(lambda *seen: None)
    (lambda: None)()
    sys.setprofile(None)
    print("went on")
"""


def test_a_process_can_be_profiled_after_an_element_took_too_long() -> None:
    """Nothing of the exception is left behind: CPython 3.11 would stand still at the first call."""
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "went on\n"


def test_one_item_is_set_aside_and_the_others_go_on() -> None:
    """The item that takes too long is quarantined with its bytes; nothing is lost."""
    items = tuple(Item(Record(str(n), {}, {}, (), (), RAW)) for n in range(3))

    def endless_for_one(item: Item) -> Item:
        if item.item_id == "1":
            spin()
        return item

    bucket = each_item(Bucket(0, items), "fill", endless_for_one, LIMIT_SECS)
    assert [item.item_id for item in bucket.items] == ["0", "2"]
    (reject,) = bucket.rejects
    assert (reject.reason, reject.stage, reject.item_id, reject.raw) == (TOO_LONG, "fill", "1", RAW)


def test_records_pictures_and_answers_have_the_reason() -> None:
    """Whatever takes too long is reported by one reason id, in each of its places."""
    error = TookTooLongError("took longer than 60 s")
    assert fault_answer("1", error).reason == TOO_LONG
    assert fault_answer("1", KeyError("a")).reason == "backend-failed"
    assert [each.reason for each in not_combined([Record("1", {}, {}, (), (), RAW)], error)] == [
        TOO_LONG
    ]
    assert PictureProblem(TOO_LONG, str(error)).reason == Flag(TOO_LONG, "", "").reason

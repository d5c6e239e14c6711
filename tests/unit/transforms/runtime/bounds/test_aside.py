"""Work aside in a thread, whose start always ends."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable

import pytest

from transforms.runtime.bounds.aside import Aside


def test_work_is_done_aside_and_waited_for() -> None:
    """It runs in another thread, is alive until it ends, and join waits for that."""
    go, seen = threading.Event(), list[int]()
    aside = Aside(lambda: (go.wait(10), seen.append(threading.get_ident())))
    assert not aside.is_alive()
    aside.start()
    assert aside.is_alive()
    go.set()
    aside.join()
    assert not aside.is_alive()
    assert seen != [threading.get_ident()]


def test_a_thread_that_dies_before_it_begins_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a new thread finds no memory to begin with, who starts it is told so."""

    def dies(_work: Callable[[], None], _given: tuple[()]) -> int:
        return 0

    monkeypatch.setattr(_thread, "start_new_thread", dies)
    with pytest.raises(MemoryError, match="can't start new thread"):
        Aside(lambda: None, start_secs=0.05).start()

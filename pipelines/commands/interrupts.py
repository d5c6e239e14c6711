"""Ctrl-C and SIGTERM end a run cleanly, until it is about to publish: from then on it finishes."""

from __future__ import annotations

import signal
from types import TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Context manager that turns the signals into KeyboardInterrupt, and remembers that it did.

    Beam wraps what is raised inside a stage, so that the exception alone does not tell.
    """

    def __init__(self) -> None:
        self.happened = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        try:
            self._before = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}
        except ValueError:  # only the main thread may; elsewhere whoever started the thread decides
            self._before = {}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stop_listening(self) -> None:
        """Ignore the signals from here on: what follows must not be torn apart."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, *_: object) -> None:
        self.happened = True
        raise KeyboardInterrupt

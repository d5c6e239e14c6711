"""Standard streams without secrets: whatever a command prints, whoever prints it."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO, cast

from schemas.secrets import hidden, masked, refresh

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class MaskedStream:
    """A text stream that writes what `mask` leaves of each text; all else is the stream's own."""

    def __init__(self, stream: TextIO, mask: Callable[[str], str]) -> None:
        self._stream, self._mask = stream, mask

    def write(self, text: str) -> int:
        """Write a text without secrets; returns the length of the text as it was given."""
        self._stream.write(self._mask(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write each text."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class MaskedFormatter(logging.Formatter):
    """Formats records of a log, their tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def masked_stream(stream: TextIO) -> TextIO:
    """Return a stream for messages."""
    return cast(TextIO, MaskedStream(stream, masked))


@contextmanager
def masked_streams() -> Iterator[None]:
    """Let nothing secret reach standard output and standard error while the body runs.

    Standard output holds what a catalog holds, addresses as it has them; standard error messages.
    """
    refresh()
    out, err = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, MaskedStream(out, hidden))
    sys.stderr = masked_stream(err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def print_masked_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print what nobody caught, for `sys.excepthook`."""
    print(masked("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)

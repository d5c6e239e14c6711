"""Keep the output of libraries and worker processes out of terminals and logs that people read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from pipelines.monitoring.streams import (
    LOG_FORMAT,
    MaskedFormatter,
    masked_stream,
    print_masked_traceback,
)
from schemas.secrets import watched
from schemas.secrets.pump import command

STDERR = 2
TAIL_LINES = 30
# For the last lines to be written. It ends with the last process that may write any.
DRAIN_SECS = 2.0


def quiet_libraries() -> None:
    """Only errors reach stderr, without secrets; no telemetry, no progress bars of libraries."""
    sys.excepthook = print_masked_traceback
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    handler: logging.Handler = logging.StreamHandler()
    handler.setFormatter(MaskedFormatter(LOG_FORMAT))
    logging.basicConfig(handlers=[handler])
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(apache_beam|great_expectations|google|torch)\b.*")


@contextmanager
def stderr_to(path: str) -> Iterator[TextIO]:
    """Send this process's and its children's stderr to a file while the body runs; gives the real
    stderr.

    Works on the file descriptor, so that Beam's worker processes and C libraries are caught as
    well; secrets are masked before they reach the file. An error of the body gets the end of the
    file as a note. An empty path changes nothing.
    """
    if not path:
        yield sys.stderr
        return
    sys.stderr.flush()
    saved = os.dup(STDERR)
    try:
        with os.fdopen(os.dup(saved), "w") as real:
            try:
                with _pumped(path) as pipe:
                    os.dup2(pipe, STDERR)
                    try:
                        yield masked_stream(real)
                    finally:
                        sys.stderr.flush()
                        os.dup2(saved, STDERR)
            except Exception as error:
                error.add_note(_tail(path))
                raise
    finally:
        os.close(saved)


@contextmanager
def _pumped(path: str) -> Iterator[int]:
    """Give the descriptor of a pipe into the file, by a process that takes secrets out."""
    with Path(path).open("w") as log:
        pump = subprocess.Popen(  # noqa: S603 a file of ours
            command(sys.executable, watched()),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.DEVNULL,
            # Nothing that ends this process's group ends it before the last line.
            start_new_session=True,
        )
    try:
        if pump.stdin is None:
            raise RuntimeError("a pipe was asked for")
        with pump.stdin:
            yield pump.stdin.fileno()
    finally:
        try:
            with suppress(subprocess.TimeoutExpired):
                pump.wait(DRAIN_SECS)
        finally:
            pump.kill()
            pump.wait()


def _tail(path: str) -> str:
    with Path(path).open(errors="replace") as log:
        lines = deque(log, TAIL_LINES)
    return (
        "last output of the workers:\n" + "".join(lines) if lines else "the workers wrote nothing"
    )

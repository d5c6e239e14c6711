"""Keep the output of libraries and worker processes out of terminals and logs that people read."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

STDERR = 2
TAIL_LINES = 30


def quiet_libraries() -> None:
    """Only errors reach stderr; no telemetry, no progress bars of libraries."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(apache_beam|great_expectations|google|torch)\b.*")


@contextmanager
def stderr_to(path: str) -> Iterator[TextIO]:
    """Send this process's and its children's stderr to a file while the body runs; gives the real
    stderr.

    Works on the file descriptor, so that Beam's worker processes and C libraries are caught as
    well. An error of the body gets the end of the file as a note. An empty path changes nothing.
    """
    if not path:
        yield sys.stderr
        return
    sys.stderr.flush()
    saved = os.dup(STDERR)
    try:
        with Path(path).open("w") as log, os.fdopen(os.dup(saved), "w") as real:
            os.dup2(log.fileno(), STDERR)
            try:
                yield real
            except Exception as error:
                error.add_note(_tail(path))
                raise
            finally:
                _restore(saved)
    finally:
        os.close(saved)


def _restore(saved: int) -> None:
    sys.stderr.flush()
    os.dup2(saved, STDERR)


def _tail(path: str) -> str:
    with Path(path).open(errors="replace") as log:
        lines = deque(log, TAIL_LINES)
    return (
        "last output of the workers:\n" + "".join(lines) if lines else "the workers wrote nothing"
    )

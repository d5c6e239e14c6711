"""Standard input, without secrets, on standard output: what stands between another program's
output and the log of it.

A program of its own, started as a file with `python -I -S`: a pipe that a thread of the job read
would stand still with the job. Arguments are names of further environment variables that hold
secrets. It ends with its input, by no signal that is meant for the job.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

PUMP = Path(__file__)
_CHUNK_BYTES = 1 << 16
# Without a line break so long, a line is written in parts.
_MAX_LINE_BYTES = 1 << 20
# A secret may be cut in two there; no longer one is expected.
_OVERLAP_BYTES = 1 << 10


def command(python: str, names: Sequence[str]) -> list[str]:
    """Return the words that start this program. names: of variables besides the known ones."""
    return [python, "-I", "-S", str(PUMP), *names]


def whole_lines(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield what is read, in pieces that end with a line wherever one ends in time."""
    pending = b""
    while chunk := read(_CHUNK_BYTES):
        pending += chunk
        end = max(pending.rfind(b"\n"), pending.rfind(b"\r")) + 1
        if not end and len(pending) > _MAX_LINE_BYTES:
            end = len(pending) - _OVERLAP_BYTES
        if end:
            yield pending[:end]
            pending = pending[end:]
    if pending:
        yield pending


def main(names: Sequence[str]) -> int:
    """Copy standard input to standard output until it ends; returns the exit code."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    values, shapes = _beside("values"), _beside("shapes")
    values.watch(*names)
    for piece in whole_lines(lambda size: os.read(0, size)):
        text = piece.decode("utf-8", "surrogateescape")
        masked: str = shapes.masked_by_shape(values.hidden(text))
        _write(masked.encode("utf-8", "surrogateescape"))
    return 0


def _write(data: bytes) -> None:
    # A full disk costs the log, not the program whose output is read here.
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(1, data) :]


def _beside(name: str) -> ModuleType:
    """Return a module of this folder without its package, which needs more than Python itself."""
    spec = importlib.util.spec_from_file_location(f"secrets_{name}", PUMP.with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look for themselves there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

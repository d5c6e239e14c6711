"""What broke work off, in one line, where it is foreseen: then a traceback would say less."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from pipelines.configuration.errors import WorkerDiedError
from schemas.texts import shorten
from transforms.models.contract import ModelGoneError
from transforms.runtime.reach import UnreachableError

_MORE_MEMORY = (
    "give it more memory (a container's limit, ulimit -v), or less to do at once: fewer "
    "--workers, more --buckets, a smaller --max-inflight"
)
# As Python, Arrow, DuckDB, C++ and the kernel say it; the last where a library or a thread finds
# no memory.
_NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|Out of Memory Error|[Cc]annot allocate memory|failed to map segment|"
    r"can't start new thread"
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ERRNO = re.compile(r"\[Errno (\d+)\]")
# An error of the system as it ends a traceback, which a worker process sends as text; Beam adds
# at which stage it was.
_AS_TEXT = re.compile(
    r"^(?:[\w.]*\.)?((?:OS|IO|BeamIO|Permission|FileNotFound|FileExists|NotADirectory|"
    r"IsADirectory|Timeout|Connection|ConnectionReset|BrokenPipe)Error: .+?)"
    r"(?: \[while running .*)?$",
    re.MULTILINE,
)
# Of a name that is quoted.
_SHOWN_CHARS = 60
_ANNOTATION = re.compile(r" \[while running .*", re.DOTALL)


def cause_of(error: BaseException) -> str:
    """Return what broke the work off and what to do, in one line; empty where nobody foresaw it."""
    if isinstance(error, ModelGoneError | WorkerDiedError | UnreachableError):
        return first_line(error, named=False)
    for each in _with_causes(error):
        if isinstance(each, MemoryError) or _NO_MEMORY.search(_told(each)):
            return f"too little memory ({first_line(each)}); {_MORE_MEMORY}"
    if isinstance(error, OSError):
        return first_line(error) + _remedy(error.errno)
    found = _AS_TEXT.findall(str(error)) if isinstance(error, RuntimeError) else []
    if not found:
        return ""
    number = _ERRNO.search(found[-1])
    return found[-1] + _remedy(int(number[1]) if number else None)


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was made of: Beam has a word of its own for some."""
    while error is not None:
        yield error
        error = error.__cause__


def name_too_long(error: BaseException) -> str:
    """Return what is wrong with a name that no file system takes; empty for another error."""
    if not isinstance(error, OSError) or error.errno != errno.ENAMETOOLONG:
        return ""
    name = max(str(error.filename or "").split("/"), key=len)
    return (
        f"{shorten(name, _SHOWN_CHARS)}: the name is longer than file systems allow "
        f"({len(os.fsencode(name)):,} bytes; most take 255, and 4,096 of a whole path)"
    )


def first_line(error: BaseException, *, named: bool = True) -> str:
    """Return the first line of what an error says, without Beam's word on the stage.

    named: whether it begins with the error's class.
    """
    said = _ANNOTATION.sub("", str(error)).strip().splitlines()
    line = said[0] if said else ""
    if not named:
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _told(error: BaseException) -> str:
    """Return where to look for the words of a lack of memory: at the end of what an error says,
    never in a text that it quotes.
    """
    if isinstance(error, RuntimeError | ImportError):
        lines = str(error).strip().splitlines()
        return lines[-1] if lines else ""
    return type(error).__name__ if not isinstance(error, OSError) else error.strerror or ""


def _remedy(number: int | None) -> str:
    if number in _FULL:
        return "; make room, or name another folder (--output, --work-dir), and run it again"
    if number in _NOT_WRITABLE:
        return "; let this user write there, or name another folder"
    return ""

"""YAML from outside, looked through before anything is built of it.

A few lines of YAML can stand for gigabytes (aliases of aliases), for a stack without end (deep
nesting, an alias within itself) or for a number that takes minutes. The parser's events are read
once, in a time that grows with the text; only what stays within the limits is composed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Any

MAX_BYTES = 2 << 20
# Levels of lists and mappings in each other, and values with all aliases written out.
MAX_DEPTH, MAX_VALUES = 40, 200_000
# A text such as a description is longer; a number of so many digits is none.
MAX_DIGITS = 400
_DIGITS = re.compile(r"[-+]?[0-9][0-9_.]*(?:[eE][-+]?[0-9]+)?")


class YamlRefusedError(ValueError):
    """The text is not read as YAML. line: where, counted from 1; None where it has no place."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


def read_text(path: str) -> str:
    """Return the text of a file, read up to the limit. Raises YamlRefusedError and OSError."""
    # Not to wait for whoever writes into a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise YamlRefusedError("is not a file but a folder, a device or a pipe")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise YamlRefusedError(f"has more than {MAX_BYTES:,} bytes, which no template needs")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise YamlRefusedError("is not UTF-8; save the file as UTF-8", line) from error


def load(text: str) -> Any:
    """Return what the YAML says, as ruamel's round-trip types, which know their lines.

    Raises YamlRefusedError for what is not within the limits, and ruamel's YAMLError.
    """
    from ruamel.yaml import YAML

    if len(text) > MAX_BYTES:
        raise YamlRefusedError(f"has more than {MAX_BYTES:,} characters")
    _look_through(YAML(typ="rt").parse(text))
    return YAML(typ="rt").load(text)


def _look_through(events: Iterator[Any]) -> None:
    """Raise YamlRefusedError at the first event that leads beyond a limit."""
    # Of each collection that is open: its anchor, and its values with aliases written out.
    open_: list[tuple[str | None, int]] = []
    # Anchor → values that an alias of it stands for; None while it is open.
    sizes: dict[str, int | None] = {}
    for event in events:
        kind, line = type(event).__name__, event.start_mark.line + 1
        anchor = getattr(event, "anchor", None)
        size = 0
        if kind in ("SequenceStartEvent", "MappingStartEvent"):
            if len(open_) == MAX_DEPTH:
                raise YamlRefusedError(
                    f"lists and mappings stand more than {MAX_DEPTH} levels deep", line
                )
            open_.append((anchor, 1))
            if anchor:
                sizes[anchor] = None
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            anchor, size = open_.pop()
        elif kind == "ScalarEvent":
            size = 1
            _refuse_number(event, line)
        elif kind == "AliasEvent":
            size = _size_of_alias(sizes, anchor or "", line)
            anchor = None
        _refuse_tag(event, line)
        if not size:
            continue
        if anchor:
            sizes[anchor] = size
        if open_:
            name, total = open_[-1]
            open_[-1] = name, total + size
            if total + size > MAX_VALUES:
                raise YamlRefusedError(
                    f"stands for more than {MAX_VALUES:,} values, with all aliases written out",
                    line,
                )


def _size_of_alias(sizes: dict[str, int | None], anchor: str, line: int) -> int:
    if anchor not in sizes:
        return 1  # the composer says that there is no such anchor
    size = sizes[anchor]
    if size is None:
        raise YamlRefusedError(f"the alias *{anchor} stands within itself", line)
    return size


def _refuse_number(event: Any, line: int) -> None:
    is_plain = getattr(event, "style", None) in (None, "")
    if is_plain and len(event.value) > MAX_DIGITS and _DIGITS.fullmatch(event.value):
        raise YamlRefusedError(
            f"a number of {len(event.value):,} digits; at most {MAX_DIGITS} are read", line
        )


def _refuse_tag(event: Any, line: int) -> None:
    tag = str(getattr(event, "tag", None) or "")
    if tag and tag != "!":
        raise YamlRefusedError(f"the tag {tag[:60]} is not read; write the value without it", line)

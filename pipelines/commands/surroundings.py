"""What a process needs before a command begins: streams, a current folder, readable names."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.configuration.errors import ConfigError
from schemas.texts import escaped, is_utf8

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class NoCurrentFolderError(OSError):
    """The folder that the process was started in does not exist any more."""

    def __str__(self) -> str:
        return "the current folder does not exist any more; change to one that does"


def check_surroundings(arguments: Sequence[str]) -> None:
    """Raise NoCurrentFolderError, and ConfigError for an argument that is not UTF-8: such a name
    could be written into no table and no manifest.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise NoCurrentFolderError from error
    strange = [each for each in arguments if not is_utf8(each)]
    if strange:
        raise ConfigError(
            [f"{escaped(each)}: the name is not UTF-8; rename it" for each in strange]
        )


def open_closed_streams() -> None:
    """Let what a scheduler has closed lead nowhere: a file that is opened later would otherwise get
    its number, and all that is printed.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is not None:
            continue
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor != number and _is_closed(number):
            os.dup2(descriptor, number)
        setattr(sys, name, os.fdopen(descriptor, mode))


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False

"""How a command ends: its exit code, and what stderr is told of it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import TypeVar

from pipelines.commands.interrupts import Interrupts
from pipelines.configuration.config import ConfigError
from pipelines.monitoring.terminal import printable
from pipelines.snapshots.locks import OutputLockedError
from schemas.loading import TemplateRefusedError

DONE, REFUSED, BAD_ARGUMENTS, BROKEN_OFF = 0, 1, 2, 3

Result = TypeVar("Result")


def attempt(
    work: Callable[[Interrupts], Result],
    what: str = "the run",
    after: str = "Readers keep the previous snapshot.",
) -> tuple[Result | None, int]:
    """What work gives, or None with the exit code after stderr was told what stopped it.

    what: that broke off; after: what the reader ought to know then.
    """
    interrupts = Interrupts()
    try:
        with interrupts:
            return work(interrupts), DONE
    except (ConfigError, TemplateRefusedError) as error:
        return None, report_bad_arguments(error)
    except OutputLockedError as error:
        print(printable(f"catalog-enrich: refused: {error}"), file=sys.stderr)
        return None, REFUSED
    except (Exception, KeyboardInterrupt) as error:
        why = "interrupted"
        if not (interrupts.happened or isinstance(error, KeyboardInterrupt)):
            for line in "".join(traceback.format_exception(error)).splitlines():
                print(printable(line), file=sys.stderr)
            why = f"{type(error).__name__}: {error}".splitlines()[0]
        print(printable(f"catalog-enrich: {what} broke off: {why}. {after}".rstrip()), file=sys.stderr)
        return None, BROKEN_OFF


def show(tell: Callable[[], None]) -> None:
    """Print what was done. If whoever read it has gone (rich ends the process then), what was done stays done."""
    try:
        tell()
        sys.stdout.flush()
    except (OSError, SystemExit):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_warnings(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print(printable(f"catalog-enrich: warning: {warning}"), file=sys.stderr)


def report_bad_arguments(error: Exception) -> int:
    for line in str(error).splitlines():
        print(printable(line if line.startswith(" ") else f"catalog-enrich: error: {line}"), file=sys.stderr)
    return BAD_ARGUMENTS

"""How a command ends: its exit code, and what stderr is told of it."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from apache_beam.io.filesystem import BeamIOError
from rich.text import Text

from pipelines.commands.interrupts import Interrupts
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.runners import connect_storage
from pipelines.monitoring.terminal import printable
from pipelines.snapshots.history import (
    HistoryError,
    RefusedError,
)
from pipelines.snapshots.layout import is_local
from pipelines.snapshots.locks import OutputLockedError
from schemas.loading import TemplateRefusedError
from transforms.runtime.parquet import DamagedFileError

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
        print(
            printable(f"catalog-enrich: {what} broke off: {why}. {after}".rstrip()), file=sys.stderr
        )
        return None, BROKEN_OFF


def show(tell: Callable[[], None]) -> None:
    """Print what was done.

    If whoever read it has gone (rich ends the process then), what was done stays done.
    """
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
        print(
            printable(line if line.startswith(" ") else f"catalog-enrich: error: {line}"),
            file=sys.stderr,
        )
    return BAD_ARGUMENTS


DONE, REFUSED, BROKEN_OFF = 0, 1, 3


def add_output_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="folder of the snapshots")


EXIT_CODES = """exit codes:
  0  done
  1  refused: a run is at work on the output, or files of the snapshot are damaged;
     nothing was changed
  2  bad arguments, or there is no such snapshot; nothing was changed
  3  it broke off (disk full, files that may not be removed, object store out of reach)"""


def guarded(work: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Do the work; whatever stops it becomes an exit code, or a ConfigError."""
    connect_storage()
    try:
        _must_exist(getattr(options, "output", ""))
        return work(options)
    except (OutputLockedError, DamagedFileError, RefusedError) as error:
        print_to_stderr(f"refused: {error}")
        return REFUSED
    except HistoryError as error:
        raise ConfigError([str(error)]) from error
    except (OSError, BeamIOError) as error:
        print_to_stderr(f"it broke off: {type(error).__name__}: {error}")
        return BROKEN_OFF


def _must_exist(output: str) -> None:
    """Refuse a mistyped folder before a lock makes it."""
    if output and is_local(output) and not Path(output).is_dir():
        raise HistoryError(f"{output!r} is no folder")


def print_to_stderr(what: str) -> None:
    print(printable(f"catalog-enrich: {what}"), file=sys.stderr)


def table_text(text: str) -> Text:
    """For a table's cell, where rich would take brackets in names for its markup."""
    return Text(printable(text))

"""How a command ends: its exit code, and the message on stderr that goes with it."""

from __future__ import annotations

import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum

from apache_beam.io.filesystem import BeamIOError

from pipelines.commands.interrupts import Interrupts
from pipelines.configuration.errors import ConfigError
from pipelines.monitoring.terminal import print_to_stderr, printable
from pipelines.snapshots.history import HistoryError, RefusedError
from pipelines.snapshots.lock_backends import OutputLockedError
from schemas.loading import TemplateRefusedError
from transforms.models.contract import ModelGoneError
from transforms.runtime.parquet import DamagedFileError

HELP_COLUMNS = 80


class Exit(IntEnum):
    """The exit codes of every command. They are an interface: schedulers decide by them."""

    DONE = 0
    REFUSED = 1
    BAD_ARGUMENTS = 2
    BROKEN_OFF = 3


# Of commands that read snapshots, or change nothing but which of them there are.
USUAL_EXITS: Mapping[Exit, str] = {
    Exit.DONE: "done",
    Exit.REFUSED: "refused: a run holds the lock of the output, or files of the snapshot are "
    "damaged; nothing was changed",
    Exit.BAD_ARGUMENTS: "bad arguments, or no such snapshot; nothing was changed",
    Exit.BROKEN_OFF: "it broke off (disk full, no permission, object store out of reach)",
}


class BrokenOffError(Exception):
    """Work broke off in a way that nobody foresaw; the message names what and why.

    `__cause__` holds the reason, or None where the user interrupted it.
    """


def exit_lines(exits: Mapping[Exit, str]) -> str:
    """Return what exit codes mean, as lines of a help text."""
    lines = [
        textwrap.fill(
            f"{code:d}  {meaning}",
            HELP_COLUMNS,
            initial_indent="  ",
            subsequent_indent="     ",
            break_on_hyphens=False,
        )
        for code, meaning in sorted(exits.items())
    ]
    return "\n".join(["exit codes:", *lines])


def guarded(work: Callable[[], Exit]) -> Exit:
    """Do the work; an error that is foreseen becomes a message on stderr and an exit code."""
    try:
        return work()
    except (OutputLockedError, DamagedFileError, RefusedError) as error:
        print_to_stderr(f"refused: {error}")
        return Exit.REFUSED
    except (ConfigError, TemplateRefusedError, HistoryError) as error:
        return report_bad_arguments(error)
    except BrokenOffError as error:
        if error.__cause__ is not None:
            for line in "".join(traceback.format_exception(error.__cause__)).splitlines():
                print(printable(line), file=sys.stderr)
        print_to_stderr(str(error))
        return Exit.BROKEN_OFF
    except (OSError, BeamIOError) as error:
        print_to_stderr(f"it broke off: {type(error).__name__}: {error}")
        return Exit.BROKEN_OFF


def report_bad_arguments(error: Exception) -> Exit:
    """Print each line of the error; lines that begin with a space belong to the one before."""
    for line in str(error).splitlines():
        if line.startswith(" "):
            print(printable(line), file=sys.stderr)
        else:
            print_to_stderr(f"error: {line}")
    return Exit.BAD_ARGUMENTS


@contextmanager
def interruptible(
    work: str = "the run", after: str = "Readers keep the previous snapshot."
) -> Iterator[Interrupts]:
    """Let Ctrl-C and SIGTERM end the body, and raise BrokenOffError for whatever breaks it off.

    Errors of arguments, and a lock that another run holds, go through as they are.

    work: named in the message; after: what its reader ought to know then.
    """
    interrupts = Interrupts()
    try:
        with interrupts:
            yield interrupts
    except (ConfigError, TemplateRefusedError, OutputLockedError):
        raise
    except ModelGoneError as error:
        # Foreseen: its message says what to do, and a traceback would not.
        raise BrokenOffError(f"{work} broke off: {error}. {after}".rstrip()) from None
    except (Exception, KeyboardInterrupt) as error:
        interrupted = interrupts.happened or isinstance(error, KeyboardInterrupt)
        why = "interrupted" if interrupted else f"{type(error).__name__}: {error}".splitlines()[0]
        message = f"{work} broke off: {why}. {after}".rstrip()
        raise BrokenOffError(message) from None if interrupted else error

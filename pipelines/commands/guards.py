"""What becomes of an error: the message on stderr, and the exit code that goes with it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.commands.causes import cause_of, first_line, name_too_long
from pipelines.commands.exits import Exit
from pipelines.configuration.errors import ConfigError
from pipelines.monitoring.interrupts import Interrupts, listening
from pipelines.monitoring.terminal import lead_nowhere, print_line_to_stderr, print_to_stderr
from pipelines.snapshots.history import HistoryError, RefusedError
from pipelines.snapshots.lock_backends import OutputLockedError
from schemas.loading import TemplateRefusedError
from schemas.secrets import masked
from transforms.runtime.sealed import DamagedFileError


class BrokenOffError(Exception):
    """Work broke off in a way that nobody foresaw; the message names what and why.

    `__cause__` holds the reason, or None where the user interrupted it.
    """


def guarded(work: Callable[[], Exit]) -> Exit:
    """Do the work; an error becomes a message on stderr and an exit code.

    What was to be printed is out then, or the exit code says that it is not.
    """
    try:
        return _printed(_guarded(work))
    except KeyboardInterrupt:
        print_to_stderr("interrupted")
        return Exit.BROKEN_OFF


def _guarded(work: Callable[[], Exit]) -> Exit:
    try:
        return work()
    except DamagedFileError as error:  # before HistoryError: some are both
        _print_damage(error)
    except (OutputLockedError, RefusedError) as error:
        print_to_stderr(f"refused: {error}")
        return Exit.REFUSED
    except (ConfigError, TemplateRefusedError, HistoryError) as error:
        return report_bad_arguments(error)
    except BrokenOffError as error:
        _print_trace(error.__cause__)
        print_to_stderr(str(error))
    except SystemExit as end:
        if end.code:  # rich's word for a reader who has gone
            return Exit.DONE
        if _printed(Exit.DONE) == Exit.DONE:  # of --help
            raise
    except Exception as error:
        if isinstance(error, BrokenPipeError):  # who reads the beginning only has what they wanted
            return Exit.DONE
        if too_long := name_too_long(error):
            return report_bad_arguments(ConfigError([too_long]))
        why = cause_of(error)
        if not why:
            _print_trace(error)
        print_to_stderr(f"it broke off: {why or first_line(error)}")
    return Exit.BROKEN_OFF


def _printed(code: Exit) -> Exit:
    """Return the exit code when all that was printed has gone out."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        lead_nowhere(sys.stdout)
    except OSError as error:
        lead_nowhere(sys.stdout)
        if code == Exit.DONE:
            print_to_stderr(f"it broke off: what it found could not be printed: {error.strerror}")
            return Exit.BROKEN_OFF
    return code


def _print_damage(error: DamagedFileError) -> None:
    """Say what cannot be believed, and what mends it: the work is not done."""
    print_to_stderr("; ".join(filter(None, (f"error: {error}", error.remedy))))


def _print_trace(error: BaseException | None) -> None:
    if error is None:
        return
    for line in masked("".join(traceback.format_exception(error))).splitlines():
        print_line_to_stderr(line)


def report_bad_arguments(error: Exception) -> Exit:
    """Print each line of the error; lines that begin with a space belong to the one before."""
    for line in masked(str(error)).splitlines():
        if line.startswith(" "):
            print_line_to_stderr(line)
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
    with listening() as interrupts:
        try:
            yield interrupts
        except (
            ConfigError,
            TemplateRefusedError,
            OutputLockedError,
            RefusedError,
            DamagedFileError,
        ):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if interrupts.happened or isinstance(error, KeyboardInterrupt):
                why, trace = "interrupted", None
            else:
                if too_long := name_too_long(error):
                    raise ConfigError([too_long]) from None
                why = cause_of(error)
                trace = None if why else error
            message = f"{work} broke off: {why or first_line(error)}. {after}".rstrip()
            raise BrokenOffError(message) from trace

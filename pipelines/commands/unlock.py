"""`catalog-enrich unlock`: remove the lock of a run that is dead."""

from __future__ import annotations

import argparse

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.snapshot_option import add_output_argument
from pipelines.monitoring.terminal import (
    print_after_work,
    print_json,
    print_warnings,
    printable,
)
from pipelines.snapshots.history import HistoryError, RefusedError
from pipelines.snapshots.lock_backends import LOCK
from pipelines.snapshots.locks import break_lock, is_alive, read_lock
from pipelines.snapshots.publication import mend_link
from transforms.runtime import storage


def _unlock(options: argparse.Namespace) -> Exit:
    held = read_lock(options.output)
    if held is not None and is_alive(options.output, held):
        alive = f"run {held.run_id} is alive, process {held.pid} on {held.host}"
        raise RefusedError(f"{alive}; wait for it, or stop it (kill {held.pid}) and run this again")
    path = storage.join(options.output, LOCK)
    try:
        held, was_unreadable = break_lock(options.output)
    except IsADirectoryError as error:
        raise HistoryError(
            f"{path} is a folder, and no run makes one; move it away, then "
            f"`catalog-enrich unlock {options.output}` sees to the rest"
        ) from error
    warnings = mend_link(options.output)
    if was_unreadable:
        warnings = [
            f"{path} could not be read and was removed: who held the output is not known; see "
            "that no run is at work on it (catalog-enrich snapshots)",
            *warnings,
        ]
    whose = (
        ""
        if held is None
        else f"removed the lock of run {held.run_id} (process {held.pid} on {held.host})"
    )
    said = printable(whose or f"{options.output} has no lock now")
    document = {"removed": held, "path": path}
    print_after_work(lambda: print_json(document) if options.json else print(said))
    print_warnings(warnings)
    return Exit.DONE


UNLOCK = Command(
    "unlock",
    "Removes the lock that keeps other runs off the output. The next run does so by itself where "
    "it can tell that the run is dead; use this where it cannot, and only if you are certain that "
    "run is dead: two runs at once overwrite each other's snapshots. The lock of a run that is "
    "seen to be alive stays.",
    ["features"],
    add_output_argument,
    _unlock,
)

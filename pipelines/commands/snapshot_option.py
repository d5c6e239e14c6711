"""Arguments that name an output, and a snapshot of it; shared by commands that read snapshots."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.snapshots.history import named_snapshot
from pipelines.snapshots.snapshot import Snapshot
from transforms.runtime.storage import is_local


def existing_output(path: str) -> str:
    """Return the path if a folder is there: a lock would create a mistyped one.

    For argparse's `type`. An object store has no folders; there only the snapshots are looked for.
    """
    if path and is_local(path) and not Path(path).is_dir():
        raise argparse.ArgumentTypeError(
            f"{path!r} is not a folder; name the --output of a run, or start with "
            "`catalog-enrich run`"
        )
    return path


def add_output_argument(parser: argparse.ArgumentParser) -> None:
    """Declare OUTPUT, the folder that runs were given as --output."""
    parser.add_argument(
        "output",
        type=existing_output,
        metavar="OUTPUT",
        help="folder of the snapshots: the --output of a run",
    )


def add_snapshot_option(parser: argparse.ArgumentParser) -> None:
    """Declare --snapshot, for `snapshot_of`."""
    parser.add_argument(
        "--snapshot",
        default="current",
        metavar="RUN_ID",
        help="a run id (refused ones too), `current`, `previous`, or the path of a snapshot's "
        "folder (default: %(default)s)",
    )


def snapshot_of(options: argparse.Namespace) -> Snapshot:
    """Return the snapshot that the options name. Raises HistoryError where there is none."""
    return named_snapshot(options.output, options.snapshot)

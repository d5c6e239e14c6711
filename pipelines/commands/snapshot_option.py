"""Which snapshot a command looks at: options and the errors that go with them, shared by commands
that only read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from pipelines.configuration.errors import ConfigError
from pipelines.configuration.runners import connect_storage
from pipelines.snapshots.history import HistoryError, SnapshotInfo, named_snapshot
from pipelines.snapshots.layout import is_local

Work = Callable[[argparse.Namespace], int]


def add_snapshot_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--snapshot",
        default="current",
        metavar="RUN_ID",
        help="which one: a run id (refused ones too), `current`, `previous`, or the path of a "
        "snapshot's folder "
        "(default: %(default)s)",
    )


def looked_at(output: str, named: str) -> SnapshotInfo:
    """The snapshot that the options name. Raises ConfigError where there is none."""
    if is_local(output) and not Path(output).is_dir():
        raise ConfigError([f"{output!r} is no folder; name the --output of a run"])
    try:
        return named_snapshot(output, named)
    except HistoryError as error:
        raise ConfigError([str(error)]) from error


def with_storage(work: Work) -> Work:
    """The work of a command, with object stores at hand."""

    @wraps(work)
    def connected(options: argparse.Namespace) -> int:
        connect_storage()
        return work(options)

    return connected

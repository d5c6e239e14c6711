"""The options of a run: those of its configuration, and how it is displayed."""

from __future__ import annotations

import argparse

from pipelines.configuration.config import EXECUTION, EnrichConfig
from pipelines.configuration.declare import declare_options
from pipelines.configuration.runners import LOCAL_RUNNER
from transforms.runtime.options import Option


def add_run_options(parser: argparse.ArgumentParser, *, continues: bool = False) -> None:
    """Declare the options of a run on `parser`.

    continues: for commands that continue from a snapshot: their input is known, and their output
    is an argument of their own.
    """

    def wanted(declared: Option) -> bool:
        return not (continues and declared.flag == "--output")

    groups = declare_options(parser, EnrichConfig, wanted, required=not continues)
    groups[EXECUTION].add_argument(
        "--runner", default=LOCAL_RUNNER, help="Beam runner (default: %(default)s, on this machine)"
    )
    add_display_options(groups[EXECUTION])


def add_display_options(group: argparse._ActionsContainer) -> None:
    """Declare what is shown of the work."""
    group.add_argument(
        "--progress",
        choices=("auto", "always", "never"),
        default="auto",
        help="on stderr: auto: a live view on a terminal, elsewhere a line every half minute; "
        "always: at least one line (default: %(default)s)",
    )
    group.add_argument(
        "--quiet",
        action="store_true",
        help="print nothing unless something goes wrong: no live view, no summary; for cron",
    )

"""The main job: a raw catalog with pictures in, a checked and published snapshot of feature tables
out.

Started as `catalog-enrich run` or `python -m pipelines.enrich`, with the same options.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipelines.commands.exits import report_bad_arguments
from pipelines.commands.run import run_command
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.options import EPILOG, Parser, add_run_options, refuse_unknown_options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job with these arguments; returns the exit code."""
    parser = Parser(
        prog="python -m pipelines.enrich",
        description="Enrich a catalog and publish a snapshot.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_run_options(parser)
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        refuse_unknown_options(arguments)
        options, passed = parser.parse_known_args(arguments)
        return run_command(options, passed)
    except ConfigError as error:
        return report_bad_arguments(error)


if __name__ == "__main__":
    sys.exit(main())

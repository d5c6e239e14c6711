"""The program `catalog-enrich`, also `python -m pipelines`."""

from __future__ import annotations

import sys

from pipelines.monitoring.interrupts import as_process
from transforms.runtime.imports import for_good


def main() -> int:
    """Load the command line and run one command; returns the exit code."""
    return as_process(_main)


def _main() -> int:
    with for_good():
        from pipelines.cli import main as command
    return command()


if __name__ == "__main__":
    sys.exit(main())

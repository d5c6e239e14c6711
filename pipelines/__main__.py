"""The program `catalog-enrich`, also `python -m pipelines`."""

from __future__ import annotations

import gc
import sys

from pipelines.monitoring.interrupts import as_process
from transforms.runtime.imports import without_collector


def main() -> int:
    """Load the command line and run one command; returns the exit code."""
    return as_process(_main)


def _main() -> int:
    with without_collector():
        from pipelines.cli import main as command
    # Two hundred thousand objects that stay: no later pass of the collector looks at them.
    gc.freeze()
    return command()


if __name__ == "__main__":
    sys.exit(main())

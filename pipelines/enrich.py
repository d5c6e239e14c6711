"""The main job as a module: `python -m pipelines.enrich` is `catalog-enrich run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipelines.monitoring.interrupts import as_process
from transforms.runtime.imports import for_good


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job with these arguments; returns the exit code."""
    with for_good():
        from pipelines.commands.run import RUN
    return RUN.main(sys.argv[1:] if argv is None else argv, "python -m pipelines.enrich")


if __name__ == "__main__":
    sys.exit(as_process(main))

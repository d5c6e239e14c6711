"""`python -m pipelines.docs`: write the pages below docs/, or say which are out of date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.docs.pages import PAGES


def main(argv: Sequence[str] | None = None) -> int:
    """Write all pages below docs/, or with --check say which are out of date."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.docs", description=__doc__)
    parser.add_argument("--folder", default="docs", metavar="DIR", help="where the pages lie")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 when a page is out of date"
    )
    options = parser.parse_args(argv)
    stale = []
    for name, page in PAGES.items():
        path = Path(options.folder) / name
        if options.check:
            stale += [str(path)] if not path.exists() or path.read_text("utf-8") != page() else []
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page(), "utf-8")
    if stale:
        print(f"out of date: {', '.join(stale)}; run make docs", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""A worker process of Beam's local runner: loads what all workers need, then waits to be told whom
it works for.

So it can be started while the process that launches it still builds the graph. One line of JSON on
its standard input holds what Beam's worker finds in its environment; without one it ends.
"""

from __future__ import annotations

import json
import os
import sys

from transforms.runtime.imports import for_good


def main() -> None:
    """Load, wait, and work until there is nothing more to do."""
    with for_good():
        from apache_beam.runners.worker import sdk_worker_main

        import transforms.describe.items
        import transforms.embed.text_vectors
        import transforms.fill.cascade
        import transforms.images.prepare
        import transforms.readers.read
        import transforms.tables.write  # noqa: F401
    told = sys.stdin.buffer.readline()
    if not told.endswith(b"\n"):
        return
    os.environ.update(json.loads(told))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()

"""Make, or complete, the environment with Google's libraries: `python -m tests.engines.install FOLDER`.

It lies over the environment of the interpreter that runs this, as Dataflow's runner is Beam's own and
only what it talks to Google by is missing.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from tests.environments import Environment

REQUIREMENTS = Path(__file__).with_name("dataflow.txt")
UNDERLYING = "underlying.pth"


def main(folder: Path) -> None:
    below = sysconfig.get_paths()["purelib"]
    environment = Environment(folder, f"{below}\n{REQUIREMENTS.read_text('utf-8')}")
    if environment.is_made:
        return
    environment.begin("what Dataflow's runner needs")
    # Looked at after the environment's own packages.
    (environment.packages / UNDERLYING).write_text(f"{below}\n", "utf-8")
    environment.pip("install", "--no-deps", "--requirement", str(REQUIREMENTS))
    environment.end("apache_beam.runners.dataflow.internal.apiclient")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())

"""Make, or complete, the environment of a runtime: `python -m tests.runtimes.install FOLDER onnx|openvino`.

It lies over the environment of the interpreter that runs this: what its own list names it has in other versions, the
rest is that one's. So it takes half a minute and 200 MB, not everything once more.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from tests.environments import Environment

HERE = Path(__file__).parent
UNDERLYING = "underlying.pth"


def main(folder: Path, runtime: str) -> None:
    requirements = HERE / f"{runtime}.txt"
    below = sysconfig.get_paths()["purelib"]
    environment = Environment(folder, f"{below}\n{requirements.read_text('utf-8')}")
    if environment.is_made:
        return
    environment.begin(runtime)
    # Looked at after the environment's own packages.
    (environment.packages / UNDERLYING).write_text(f"{below}\n", "utf-8")
    # The lists are whole: what they leave out lies below.
    environment.pip("install", "--no-deps", "--requirement", str(requirements))
    environment.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2])

"""Make, or complete, the environment that holds the real vLLM for CPUs: `python -m tests.vllm.install FOLDER`.

Doing it again costs a second: what is there and fits is kept. It takes about 3 minutes and 3.5 GB the first time.

torchvision needs a treatment. The build that comes along was compiled for another torch, so its native operators
cannot be loaded, and importing it fails at the first of them that it describes. vLLM needs torchvision to be
importable, and none of those operators: declared without an implementation, they do no harm.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.environments import Environment

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
OPERATORS = HERE / "torchvision_operators.py"
TORCHVISION = "0.28.0"
# What they would accelerate is not asked for, and they fail to load for the same reason.
NOT_WANTED = ("torchaudio", "torchcodec")


def main(folder: Path) -> None:
    texts = [REQUIREMENTS.read_text("utf-8"), OPERATORS.read_text("utf-8"), TORCHVISION]
    environment = Environment(folder, "\n".join(texts))
    if environment.is_made:
        return
    environment.begin("vLLM for CPUs, which takes a few minutes,")
    environment.pip("install", "--requirement", str(REQUIREMENTS))
    environment.pip("uninstall", "--yes", *NOT_WANTED)
    environment.pip("install", "--no-deps", f"torchvision=={TORCHVISION}")
    treat(environment)
    environment.end("torchvision", "vllm")


def treat(environment: Environment) -> None:
    """Let every start of its interpreter declare torchvision's operators when, and only when, they
    are needed.
    """
    packages = environment.packages
    (packages / OPERATORS.name).write_text(OPERATORS.read_text("utf-8"), "utf-8")
    # Lines of a .pth file that begin with `import` are run when the interpreter starts.
    (packages / f"{OPERATORS.stem}.pth").write_text(f"import {OPERATORS.stem}\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())

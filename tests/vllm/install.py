"""Make, or complete, the environment that holds the real vLLM for CPUs: `python install.py FOLDER`.

Doing it again costs a second: what is there and fits is kept. It takes about 3 minutes and 3.5 GB the first time.

torchvision needs a treatment. The build that comes along was compiled for another torch, so its native operators
cannot be loaded, and importing it fails at the first of them that it describes. vLLM needs torchvision to be
importable, and none of those operators: declared without an implementation, they do no harm.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
OPERATORS = HERE / "torchvision_operators.py"
TORCHVISION = "0.28.0"
# What they would accelerate is not asked for, and they fail to load for the same reason.
NOT_WANTED = ("torchaudio", "torchcodec")


def main(folder: Path) -> None:
    python = folder / "bin" / "python"
    done = folder / ".installed"
    wanted = "\n".join([REQUIREMENTS.read_text("utf-8"), OPERATORS.read_text("utf-8"), TORCHVISION])
    if done.is_file() and done.read_text("utf-8") == wanted:
        return
    if not python.exists():
        venv.create(folder, with_pip=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    sys.stdout.write(f"installing vLLM for CPUs into {folder}, this takes a few minutes ...\n")
    subprocess.run([*pip, "install", "--requirement", str(REQUIREMENTS)], check=True)
    subprocess.run([*pip, "uninstall", "--yes", *NOT_WANTED], check=True)
    subprocess.run([*pip, "install", "--no-deps", f"torchvision=={TORCHVISION}"], check=True)
    treat(python)
    subprocess.run([str(python), "-c", "import torchvision, vllm"], check=True, cwd=folder)
    done.write_text(wanted, "utf-8")


def treat(python: Path) -> None:
    """Let every start of this interpreter declare torchvision's operators when, and only when, they
    are needed.
    """
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    packages = Path(
        subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    )
    (packages / OPERATORS.name).write_text(OPERATORS.read_text("utf-8"), "utf-8")
    # Lines of a .pth file that begin with `import` are run when the interpreter starts.
    (packages / f"{OPERATORS.stem}.pth").write_text(f"import {OPERATORS.stem}\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())

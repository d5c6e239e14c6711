"""Make, or complete, the environment of a runtime: `python install.py FOLDER onnx|openvino`.

It lies over the environment of the interpreter that runs this: what its own list names it has in other versions, the
rest is that one's. So it takes half a minute and 200 MB, not everything once more.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

HERE = Path(__file__).parent
UNDERLYING = "underlying.pth"


def main(folder: Path, runtime: str) -> None:
    requirements = HERE / f"{runtime}.txt"
    below = sysconfig.get_paths()["purelib"]
    wanted, done = f"{below}\n{requirements.read_text('utf-8')}", folder / ".installed"
    if done.is_file() and done.read_text("utf-8") == wanted:
        return
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    own = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    # Looked at after the environment's own packages.
    (Path(own) / UNDERLYING).write_text(f"{below}\n", "utf-8")
    sys.stdout.write(f"installing {runtime} into {folder} ...\n")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    # The lists are whole: what they leave out lies below.
    subprocess.run([*pip, "--no-deps", "--requirement", str(requirements)], check=True)
    done.write_text(wanted, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), sys.argv[2])

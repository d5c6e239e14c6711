"""Environments of their own, for what pins other versions than the job: made once, kept while they fit."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment in `folder`; `wanted`: a text of all that it is made by, so that another one is made anew."""

    folder: Path
    wanted: str

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def is_made(self) -> bool:
        """Whether it is there, whole and as wanted."""
        made = self.folder / ".installed"
        return made.is_file() and made.read_text("utf-8") == self.wanted

    def begin(self, what: str) -> None:
        """Create it, if it is not there, and say what will be in it."""
        if not self.python.exists():
            venv.create(self.folder, with_pip=True)
        sys.stdout.write(f"installing {what} into {self.folder} ...\n")
        sys.stdout.flush()

    def pip(self, *arguments: str) -> None:
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*command, *arguments], check=True)

    @property
    def packages(self) -> Path:
        """The folder that packages are installed into."""
        asked = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        command = [str(self.python), "-c", asked]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        return Path(told.stdout.strip())

    def end(self, *imported: str) -> None:
        """Note that it is whole, once these modules can be imported."""
        if imported:
            asked = [str(self.python), "-c", f"import {', '.join(imported)}"]
            subprocess.run(asked, check=True, cwd=self.folder)
        (self.folder / ".installed").write_text(self.wanted, "utf-8")

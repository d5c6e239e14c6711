"""A command that finds no folder, no streams or no readable name around it says so, or goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.monitoring.interrupts import Interrupts

STRANGE = os.fsdecode(b"f\xff")


@pytest.mark.parametrize("command", ["run", "snapshots", "template check"])
def test_a_name_that_is_not_utf_8_is_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No table and no manifest could hold such a name: one line, exit code 2."""
    assert main([*command.split(), STRANGE]) == 2
    assert capsys.readouterr().err == (
        "catalog-enrich: error: f\\xff: the name is not UTF-8; rename it\n"
    )


def test_a_file_of_such_a_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pattern that finds such a file names it before anything is run."""
    (tmp_path / f"{STRANGE}.jsonl").write_text('{"id": "a"}\n')
    inputs = ("--input", str(tmp_path / "*.jsonl"), "--output", str(tmp_path / "out"))
    assert main(["run", "--template", "product", *inputs]) == 2
    assert "f\\xff.jsonl: the name is not UTF-8; rename it" in capsys.readouterr().err


def test_a_current_folder_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell that stands in a removed folder gets one line, exit code 3."""
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    assert main(["template", "list"]) == 3
    assert "the current folder does not exist any more" in capsys.readouterr().err


def test_closed_streams_lead_nowhere() -> None:
    """With all three streams closed a file that is opened later does not get what is printed."""
    code = (
        "import os, sys\n"
        "from pipelines.commands.surroundings import open_closed_streams\n"
        "open_closed_streams()\n"
        "found = open('/dev/null')\n"
        "print('lost'), print('lost', file=sys.stderr)\n"
        "sys.exit(found.fileno() if sys.stdin.read() == '' else 1)\n"
    )
    closed = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(closed, check=False).returncode > 2


def test_a_terminal_that_hangs_up_ends_a_run() -> None:
    """SIGHUP is as good as Ctrl-C, unless whoever started the run wants it to go on (nohup)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.happened
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
        assert not interrupts.happened
    finally:
        signal.signal(signal.SIGHUP, before)

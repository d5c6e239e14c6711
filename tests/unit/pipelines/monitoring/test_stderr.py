"""The log of what workers print, and the streams of the command itself."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.commands.exits import Exit
from pipelines.commands.guards import BrokenOffError, guarded
from pipelines.configuration.errors import ConfigError
from pipelines.monitoring.stderr import stderr_to
from pipelines.monitoring.streams import MaskedFormatter, masked_streams
from schemas.secrets import refresh
from tests.planted import MARK, holds

SAYS = "import os, sys; sys.stderr.write('child ' + os.environ['HF_TOKEN'] + '\\nthe end\\n')"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark in the environment."""
    monkeypatch.setenv("HF_TOKEN", MARK)
    refresh()


def test_the_log_of_workers_has_no_secrets(tmp_path: Path) -> None:
    """What this process, its children and C libraries write to the descriptor of stderr is in the
    log when the body ends, in their order, without secrets; so is the note of an error.
    """
    log = tmp_path / "workers.log"

    def work() -> None:
        os.write(2, b"http://me:pass@gpu-box/v1?a=b\n")
        subprocess.run([sys.executable, "-c", SAYS], check=True)
        raise ValueError("it failed")

    with pytest.raises(ValueError, match="it failed") as caught, stderr_to(str(log)):
        work()
    told = log.read_text("utf-8")
    assert told.splitlines() == ["http://gpu-box/v1?...", "child [key]", "the end"]
    assert "the end" in caught.value.__notes__[0]
    assert not holds(caught.value.__notes__[0])


def test_nobody_waits_for_a_child_that_stays(tmp_path: Path) -> None:
    """A process that keeps the log open does not keep the command, and what it says later hurts
    nobody.
    """
    log = tmp_path / "workers.log"
    with stderr_to(str(log)):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read(); print('late', file=sys.stderr)"],
            stdin=subprocess.PIPE,
        )
        os.write(2, b"early\n")
    assert log.read_text("utf-8") == "early\n"
    child.communicate(b"")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError([f"no such file {MARK}"]), Exit.BAD_ARGUMENTS),
        (OSError(5, f"https://me:{MARK}@store.example/a?sig={MARK}"), Exit.BROKEN_OFF),
        (BrokenOffError(f"the run broke off: {MARK}"), Exit.BROKEN_OFF),
        (RuntimeError(f"Authorization: Bearer {MARK[:9]}\n  {MARK[9:]}"), Exit.BROKEN_OFF),
    ],
)
def test_no_error_tells_a_secret(
    error: Exception, code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    """However a command ends, with a line or a traceback, the mark is not in it."""

    def work() -> Exit:
        print(f"on stdout {MARK}")
        raise error from ValueError(f"because of {MARK}")

    with masked_streams():
        assert guarded(work) == code
    told = "".join(capsys.readouterr())
    assert "[key]" in told
    assert not holds(told)


def test_a_record_of_a_log_has_no_secret() -> None:
    """A message with arguments and a traceback are formatted without the mark."""
    try:
        raise ValueError(MARK)
    except ValueError:
        record = logging.LogRecord(
            "any", logging.ERROR, __file__, 1, "asked %s", (MARK,), sys.exc_info()
        )
    told = MaskedFormatter("%(message)s").format(record)
    assert "ValueError" in told
    assert not holds(told)

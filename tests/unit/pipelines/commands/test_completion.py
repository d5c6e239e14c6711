"""Completion: a real bash completes commands, options, choices and paths by the printed script."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.commands.completion import SHELLS

COMPLETE = """
source {script}
COMP_WORDS=(catalog-enrich {words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
COMP_LINE="catalog-enrich {words}"
$(complete -p catalog-enrich | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("pl", "plan"),
        ("template ch", "check"),
        ("run --describe-b", "--describe-backend"),
        ("run --describe-backend o", "openai"),
        ("run --images-root pic", "pictures"),
        ("diff --out", "--output"),
    ],
)
def test_bash_completes(
    words: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands, actions of commands, options, their choices and folders are completed."""
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "script.bash"
    script.write_text(capsys.readouterr().out)
    (tmp_path / "pictures").mkdir()
    command = ["bash", "--norc", "-c", COMPLETE.format(script=script, words=words)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert expected in done.stdout.split(), done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For each shell a script is printed that knows every command; as JSON it is a document."""
    assert cli.main(["completion", shell, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["shell"] == shell
    assert all(name in told["script"] for name in ("run", "plan", "rollback", "template"))

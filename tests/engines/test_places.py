"""Where workers look for what a run names: in the folder it was started in, or nowhere at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.engines.ports import answers, free_ports
from tests.quick_libraries import quick_gate
from tests.support import ROOT, Shop, start

__all__ = ["quick_gate"]
pytestmark = pytest.mark.timeout(180)

# A file system of its own over a folder, for the command that follows.
HIDING = 'mount -t tmpfs none "$1" && shift && exec "$@"'


@contextmanager
def workers_elsewhere(folder: Path, hidden: Path | None = None) -> Iterator[list[str]]:
    """Options of a run whose workers are another process, in another folder. hidden: a folder that
    these do not see, as if they were on another machine.
    """
    (port,) = free_ports(1)
    module = "apache_beam.runners.worker.worker_pool_main"
    command = [sys.executable, "-m", module, "--service_port", str(port)]
    if hidden is not None:
        command = ["unshare", "--mount", "sh", "-c", HIDING, "sh", str(hidden), *command]
    folder.mkdir()
    # The pool starts `python`, whichever that is.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True) as pool:
        try:
            while not answers(port):
                assert pool.poll() is None
                time.sleep(0.1)
            yield [
                *("--runner", "PortableRunner", "--job_endpoint", "embed"),
                *("--environment_type", "EXTERNAL"),
                *("--environment_config", f"localhost:{port}"),
            ]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(pool.pid, signal.SIGKILL)


def test_relative_paths_mean_those_of_the_command(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that were started in another folder write where the command line says, seen from the
    folder of the command, and read from there.
    """
    records = [{"sku": f"s{n}", "name": "Red mug", "photos": ["a.png"]} for n in range(3)]
    shop.file("in.jsonl", records)
    shop.picture("a.png")
    monkeypatch.chdir(shop.folder)
    arguments = shop.arguments(["in.jsonl"])
    arguments[arguments.index("--images-root") + 1] = "images"
    with workers_elsewhere(shop.folder / "elsewhere") as options:
        run = start([*arguments, *options], Path("out"))
    assert run.code == 0, run.out + run.err
    assert len(run.rows("embeddings/image")) == 3
    assert not [each for each in (shop.folder / "elsewhere").rglob("*") if each.is_file()]


def test_workers_that_do_not_see_the_output_say_so(shop: Shop) -> None:
    """An output on a disk that workers do not share ends the run, in one line with the folder and
    what to do, and nothing is left in a folder of the same name on their side.
    """
    if shutil.which("unshare") is None or os.geteuid():
        pytest.skip("another machine is imitated by unshare, as root")
    output = shop.folder / "out"
    output.mkdir()
    arguments = shop.arguments([shop.file("in.jsonl", [{"sku": "a", "name": "Mug"}])])
    with workers_elsewhere(shop.folder / "elsewhere", output) as options:
        run = start([*arguments, *options], output)
    assert run.code == 3, run.out + run.err
    assert "does not see" in run.err
    assert str(output) in run.err
    assert "Traceback" not in run.err


def test_a_service_is_told_before_it_starts(shop: Shop) -> None:
    """Dataflow's workers see no disk of the launcher's: each path that they would need is refused by
    name, before anything runs.
    """
    arguments = shop.arguments([shop.file("in.jsonl", [{"sku": "a", "name": "Mug"}])])
    run = start([*arguments, "--runner", "DataflowRunner"], shop.folder / "out")
    assert run.code == 2, run.out + run.err
    for option in ("--input", "--output", "--images-root"):
        assert f"{option} {shop.folder}" in " ".join(run.err.split()), option
    assert not (shop.folder / "out").exists()

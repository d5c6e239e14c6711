"""Runs that several files of tests look at: each is made once, whichever worker wants it first."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from filelock import FileLock

from tests.browser import browser
from tests.catalogs import CATALOGS, arguments
from tests.quick_libraries import quick_gate
from tests.support import FAKE_MODELS, Run, start

__all__ = ["browser", "quick_gate", "whole"]


@pytest.fixture(scope="session", params=CATALOGS)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Run]:
    """Each whole catalog, with fake models: every stage but the weights is the real one.

    To be looked at only: all workers have the same folders.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a folder in the session's
        folder = folder.parent
    return request.param, _whole(request.param, folder)


def _whole(name: str, folder: Path) -> Run:
    kept_at = folder / f"whole-{name}.json"
    with FileLock(f"{kept_at}.lock"):
        if not kept_at.exists():
            output = folder / f"whole-{name}"
            run = start(arguments(name, *FAKE_MODELS, "--workers", "1"), output, report=True)
            kept_at.write_text(json.dumps(asdict(run) | {"output": str(output)}))
        kept = json.loads(kept_at.read_text())
    return Run(**(kept | {"output": Path(kept["output"])}))

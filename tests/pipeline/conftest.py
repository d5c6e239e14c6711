"""Runs that several files of tests look at: each is made once a worker."""

from __future__ import annotations

import pytest

from tests.browser import browser
from tests.catalogs import CATALOGS, arguments
from tests.support import FAKE_MODELS, Run, start

__all__ = ["browser", "whole"]

# A parametrised fixture is made anew whenever its parameter changes between files of tests.
_MADE: dict[str, Run] = {}


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in CATALOGS],
)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Run]:
    """Each whole catalog, with fake models: every stage but the weights is the real one."""
    name = request.param
    if name not in _MADE:
        output = tmp_path_factory.mktemp(name)
        _MADE[name] = start(arguments(name, *FAKE_MODELS, "--workers", "1"), output, report=True)
    return name, _MADE[name]

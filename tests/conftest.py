"""Fixtures of all tests, and how property tests search.

The same examples every time, so that a change is judged by what it changes; `HYPOTHESIS_PROFILE=thorough
make unit` looks further, with new examples each time.
"""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.quick_libraries import make_beam_quick
from tests.support import Shop
from tests.tiny_encoders import TinyEncoders

make_beam_quick()
# No deadline: on a busy machine the first example, which reads data files, takes long.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=1_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
# Where it is set, each process that a test starts would compile this project's modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays until the end: all modules and all tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty catalog folder with a small template."""
    return Shop(tmp_path)


@pytest.fixture(scope="session")
def tiny_encoders(tmp_path_factory: pytest.TempPathFactory) -> TinyEncoders:
    """Folders of encoders with random weights by name, each made when it is first asked for."""
    return TinyEncoders(tmp_path_factory.mktemp("tiny-encoders"))

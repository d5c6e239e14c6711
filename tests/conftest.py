"""Fixtures of all tests."""

from pathlib import Path

import pytest

from tests.support import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty catalog folder with a small template."""
    return Shop(tmp_path)

"""Python's collector while much is imported."""

from __future__ import annotations

import gc

import pytest

from transforms.runtime.imports import without_collector


def test_the_collector_rests_and_goes_on() -> None:
    """It is off in the body and on afterwards, also where the import fails."""
    assert gc.isenabled()
    with without_collector():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), without_collector():
        raise ImportError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    """Whoever switched it off does not find it on."""
    gc.disable()
    try:
        with without_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

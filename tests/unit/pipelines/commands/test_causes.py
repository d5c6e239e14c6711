"""What broke work off, in one line."""

from __future__ import annotations

import pytest

from pipelines.commands.causes import cause_of


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_too_little_memory_is_told_whoever_met_it(error: Exception) -> None:
    """It is named also where a library has made another error of it."""
    try:
        try:
            raise error
        except type(error) as met:
            raise RuntimeError("Unable to translate Read/Splits") from met
    except RuntimeError as found:
        told = cause_of(found)
    assert told.startswith(f"too little memory ({type(error).__name__}")
    assert told == cause_of(error)


def test_other_causes_are_not_taken_for_it() -> None:
    """What nobody foresaw has no line, whatever it was made of."""
    error = RuntimeError("Unable to translate Read/Splits")
    error.__cause__ = KeyError("MemoryError")
    assert cause_of(error) == ""

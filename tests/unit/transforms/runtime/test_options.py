"""Options as fields: ranges are checked with the option's name, flags follow from field names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from transforms.runtime.options import (
    asking,
    check_ranges,
    like,
    option,
    options_of,
    rebuilding,
)


@dataclass(frozen=True)
class Limits:
    max_items: int = option(4, "items", minimum=1, maximum=1000, rebuilds=True, asks=True)
    share: float = option(0.5, "share", flag="--kept-share", minimum=0, rebuilds=True)
    cost: float | None = option(None, "money", minimum=0)
    ocr: bool = option(True, "no text off images")
    session: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)


def test_flags_follow_from_names_and_defaults() -> None:
    """A flag is the field's name with dashes, `--no-` where the default is on, or what is said."""
    flags = [declared.flag for _, declared in options_of(Limits)]
    assert flags == ["--max-items", "--kept-share", "--cost", "--no-ocr"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_items": 0}, "--max-items is 0; allowed is a number from 1 to 1,000"),
        ({"max_items": 1001}, "--max-items is 1001; allowed is a number from 1 to 1,000"),
        ({"share": -0.1}, "--kept-share is -0.1; allowed is a number of at least 0"),
        ({"share": float("nan")}, "--kept-share is nan; allowed is a number of at least 0"),
        ({"share": float("inf")}, "--kept-share is inf; allowed is a number of at least 0"),
        ({"cost": -1}, "--cost is -1; allowed is a number of at least 0"),
    ],
)
def test_a_value_outside_its_range_is_named(values: dict[str, Any], message: str) -> None:
    """The message has the option, the value and the range; NaN and infinity are in no range."""
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.") + "$"):
        Limits(**values)


def test_every_value_outside_its_range_is_named_at_once() -> None:
    """Two wrong values are two lines of one error."""
    with pytest.raises(ValueError, match=r"max-items.*\n.*kept-share"):
        Limits(max_items=0, share=-1)


def test_values_on_the_edge_and_none_are_allowed() -> None:
    """Both ends of a range belong to it, and None is no number."""
    assert Limits(max_items=1, share=0).cost is None
    assert Limits(max_items=1000).max_items == 1000


def test_what_a_snapshot_rests_on_keeps_the_order_of_the_fields() -> None:
    """Digests of earlier snapshots were made of the values in this order."""
    assert list(rebuilding(Limits(share=0.25)).items()) == [("max_items", 4), ("share", 0.25)]
    assert asking(Limits()) == {"max_items": 4}


@dataclass(frozen=True)
class OtherLimits:
    share: float = like(Limits, "share", flag="--other-share")
    max_items: int = like(Limits, "max_items", rebuilds=False)


def test_an_option_is_declared_once_for_several_purposes() -> None:
    """What is like another option has its default, help and range, and only what is said changes."""
    said = {field.name: declared for field, declared in options_of(Limits)}
    share, items = (declared for _, declared in options_of(OtherLimits))
    assert OtherLimits() == OtherLimits(0.5, 4)
    assert share == replace(said["share"], flag="--other-share")
    assert items == replace(said["max_items"], rebuilds=False)

"""Option fields on a parser: types, groups and defaults follow from the field, and values come back."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import pytest

from pipelines.configuration.config import EnrichConfig
from pipelines.configuration.declare import all_options, declare_options, dest_of, read_options
from transforms.runtime.options import check_ranges, group, option


def pair(texts: object) -> tuple[int, ...]:
    return tuple(int(text) for text in texts)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Inner:
    size: int = option(3, "size of it")
    corners: tuple[int, ...] = option((1, 2), "corners", parse=pair)
    kind: str = option("round", "kind", choices=("round", "square"))
    secret: int = 7


@dataclass(frozen=True)
class Painted:
    color: str = option("red", "colour", flag="--paint")
    gloss: bool = option(True, "no gloss")
    coats: int = option(1, "coats", minimum=1)


@dataclass(frozen=True)
class House:
    door: Painted = group(Painted, "the door", prefix="door")
    roof: Painted = group(Painted, "the roof", prefix="roof")

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Outer:
    name: str = option(help="its name", group="names")
    files: tuple[str, ...] = option((), "files", flag="--given-files", group="names")
    share: float | None = option(None, "share")
    bright: bool = option(True, "not bright")
    inner: Inner = group(Inner, "the inner part")


def parsed(*arguments: str, **about: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    declare_options(parser, Outer, **about)  # type: ignore[arg-type]
    return parser.parse_args(arguments)


def test_values_come_back_as_the_dataclass() -> None:
    """What is given is read by the field's type, nested dataclasses included; the rest is default."""
    options = parsed("--name", "a", "--given-files", "x", "y", "--size", "5", "--no-bright")
    assert read_options(Outer, options) == Outer("a", ("x", "y"), None, False, Inner(5))
    assert read_options(Inner, parsed("--name", "a", "--kind", "square")).kind == "square"


def test_what_is_parsed_by_its_own_function_comes_back_as_its_value() -> None:
    """An option with `parse` takes several strings and gives one value."""
    assert read_options(Inner, parsed("--name", "a", "--corners", "4", "5")).corners == (4, 5)


def test_options_that_a_command_leaves_out_have_their_defaults() -> None:
    """An option that is not wanted is unknown to the parser, and its field has its default."""
    options = parsed("--name", "a", wanted=lambda declared: declared.flag != "--size")
    assert not hasattr(options, "size")
    assert read_options(Outer, options).inner.size == 3


def test_required_options_can_be_made_optional(capsys: pytest.CaptureFixture[str]) -> None:
    """A field without a default has to be given, unless the command knows it from elsewhere."""
    with pytest.raises(SystemExit):
        parsed()
    assert "--name" in capsys.readouterr().err
    assert parsed(required=False).name is None


def test_one_dataclass_is_given_for_several_purposes() -> None:
    """The prefix of a group begins its options' flags, and each group has its own values."""
    parser = argparse.ArgumentParser()
    declare_options(parser, House)
    options = parser.parse_args(["--door-paint", "blue", "--no-roof-gloss", "--roof-coats", "2"])
    assert read_options(House, options) == House(Painted("blue"), Painted("red", False, 2))
    flags = [declared.flag for declared, _, _ in all_options(House)]
    assert flags[:3] == ["--door-paint", "--no-door-gloss", "--door-coats"]


def test_a_range_is_told_with_the_flag_that_was_given() -> None:
    """Of a group with a prefix, what is out of range is named as on the command line."""
    parser = argparse.ArgumentParser()
    declare_options(parser, House)
    options = parser.parse_args(["--roof-coats", "0"])
    with pytest.raises(ValueError, match=r"^--roof-coats is 0; allowed is a number of at least 1$"):
        read_options(House, options)


def test_groups_and_defaults_are_in_the_help() -> None:
    """Options stand in the group of their field or dataclass, with their default."""
    parser = argparse.ArgumentParser()
    groups = declare_options(parser, Outer)
    assert list(groups) == ["", "names", "the inner part"]
    text = " ".join(parser.format_help().split())
    assert "the inner part: --size N size of it (default: 3)" in text
    assert "--kind {round,square} kind (default: round)" in text


def test_no_two_options_of_a_run_share_a_name() -> None:
    """Parsed options and the manifest know an option by one name."""
    names = [dest_of(declared) for declared, _, _ in all_options(EnrichConfig)]
    assert len(names) == len(set(names))

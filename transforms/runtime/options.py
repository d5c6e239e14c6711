"""Options of the command line, declared once: as fields of the dataclasses that carry their values.

    @dataclass(frozen=True, slots=True)
    class AskOptions:
        max_pictures: int = option(4, "images per item", minimum=0, maximum=16)

From such a field follow the parser, the help, the check of its range with its message, the
reference page, and whether another value rebuilds an earlier snapshot. Nothing of argparse is known
here, see pipelines/configuration/declare.py.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_KEY = "option"
_PREFIX = "prefix"
_MISSING: Any = dataclasses.MISSING


@dataclass(frozen=True, slots=True)
class Option:
    """How a field is given on the command line.

    flag: with `--no-` it switches the field off; help: without the default, which is added.
    minimum, maximum: the range of a number, both included. choices: the values that are allowed.
    group: title of its group in the help; empty: that of the dataclass around it.
    identifies: names a model or says where it is, which is what `doctor` looks at.
    rebuilds: the tables rest on its value; another one rebuilds what the last snapshot holds.
    asks: a language model's answer rests on its value; another one asks again.
    is_path: names files or folders; the manifest keeps it whole, whatever folder a run starts in.
    is_variable: names an environment variable that holds a key.
    is_sent: NAME=VALUE that a server is sent; a name may tell that the value is secret.
    once: meant for this run only; a later backfill or replay does not take it over.
    parse: makes the field's value of the strings that were given.
    """

    flag: str
    help: str
    metavar: str | None = None
    minimum: float | None = None
    maximum: float = math.inf
    choices: Sequence[str] = ()
    group: str = ""
    required: bool = False
    identifies: bool = False
    rebuilds: bool = False
    asks: bool = False
    is_path: bool = False
    is_variable: bool = False
    is_sent: bool = False
    once: bool = False
    parse: Callable[[Sequence[str]], Any] | None = None


def option(default: Any = _MISSING, help: str = "", *, flag: str = "", **about: Any) -> Any:  # noqa: A002 argparse's word
    """Return a dataclass field that is an option.

    default: of the field; without one the option is required. flag: where it is not the field's
    name with dashes. about: other fields of Option.
    """
    required = default is _MISSING
    metadata = {_KEY: Option(flag, help, required=required, **about)}
    if dataclasses.is_dataclass(default) and isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def like(config: type[Any], name: str, **changed: Any) -> Any:
    """Return a dataclass field that is an option of another dataclass: with its default, help,
    range and choices, but for what is `changed`, such as its flag.
    """
    field = next(each for each in dataclasses.fields(config) if each.name == name)
    metadata = {_KEY: dataclasses.replace(field.metadata[_KEY], **changed)}
    return dataclasses.field(default=field.default, metadata=metadata)


def group(config: type[Any], title: str, prefix: str = "") -> Any:
    """Return a dataclass field that holds a dataclass of options, all in one group of the help.

    prefix: begins their flags, so that one dataclass can be given for several purposes: `--model`
    is `--text-model` with the prefix "text". The dataclass around it checks their ranges then,
    since only it knows their names.
    """
    return dataclasses.field(default_factory=config, metadata={"group": title, _PREFIX: prefix})


def prefix_of(field: dataclasses.Field[Any]) -> str:
    """Return what begins the flags of the options in a field made by `group`."""
    prefix: str = field.metadata.get(_PREFIX, "")
    return prefix


def options_of(config: Any, prefix: str = "") -> tuple[tuple[dataclasses.Field[Any], Option], ...]:
    """Return the fields of a dataclass, or of an instance, that are options, each with its flag.

    prefix: of the group that holds the dataclass.
    """
    return _options_of(config if isinstance(config, type) else type(config), prefix)


@functools.cache  # every new instance checks its ranges
def _options_of(kind: Any, prefix: str) -> tuple[tuple[dataclasses.Field[Any], Option], ...]:
    found = []
    for field in dataclasses.fields(kind):
        declared: Option | None = field.metadata.get(_KEY)
        if declared is not None:
            flag = declared.flag or _flag_of(field.name, off=field.default is True)
            found.append((field, dataclasses.replace(declared, flag=_prefixed(flag, prefix))))
    return tuple(found)


def _prefixed(flag: str, prefix: str) -> str:
    if not prefix:
        return flag
    start = "--no-" if flag.startswith("--no-") else "--"
    return f"{start}{prefix}-{flag.removeprefix(start)}"


def _flag_of(name: str, *, off: bool) -> str:
    return f"--{'no-' if off else ''}{name.replace('_', '-')}"


def check_ranges(config: Any) -> None:
    """Raise ValueError that names each option whose value is outside its range, and the range.

    For `__post_init__`. None is not a value: it stands for no limit.
    """
    problems = range_problems(config)
    if problems:
        raise ValueError("\n".join(problems))


def range_problems(config: Any, prefix: str = "") -> list[str]:
    """Return a message for each option whose value is outside its range, those of groups with a
    prefix included.
    """
    problems = [
        f"{declared.flag} is {value!r}; allowed is {_range_of(declared)}"
        for field, declared in options_of(config, prefix)
        if declared.minimum is not None
        and (value := getattr(config, field.name)) is not None
        # Written so that NaN is outside too.
        and not (declared.minimum <= value <= declared.maximum and math.isfinite(value))
    ]
    for field in dataclasses.fields(config):
        if prefix_of(field):
            problems += range_problems(getattr(config, field.name), prefix_of(field))
    return problems


def _range_of(declared: Option) -> str:
    if math.isfinite(declared.maximum):
        return f"a number from {declared.minimum:,} to {declared.maximum:,}"
    return f"a number of at least {declared.minimum:,}"


def rebuilding(config: Any) -> dict[str, Any]:
    """Return the options that the tables rest on, with their values, in the order of the fields."""
    return {f.name: getattr(config, f.name) for f, each in options_of(config) if each.rebuilds}


def asking(config: Any) -> dict[str, Any]:
    """Return the options that a language model's answers rest on, in the order of the fields."""
    return {f.name: getattr(config, f.name) for f, each in options_of(config) if each.asks}

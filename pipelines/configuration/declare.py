"""From option fields to argparse and back: declare them on a parser, read them off its result."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from transforms.runtime.options import Option, options_of, prefix_of

Config = TypeVar("Config")


def declare_options(
    parser: argparse.ArgumentParser,
    config: type[Any],
    wanted: Callable[[Option], bool] = lambda _: True,
    aliases: Mapping[str, Sequence[str]] | None = None,
    *,
    required: bool = True,
) -> dict[str, argparse._ActionsContainer]:
    """Declare the options of a dataclass and of the dataclasses that are its fields.

    wanted: which of them. aliases: a flag and the names that it has instead. required: whether
    options without a default have to be given.
    Returns the groups by title, for a command's further options; the parser itself has none.
    """
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for declared, kind, default in all_options(config):
        if not wanted(declared):
            continue
        if declared.group not in groups:
            groups[declared.group] = parser.add_argument_group(declared.group)
        about = _argument(declared, kind, default)
        if declared.required and required:
            about["required"] = True
        flags = (aliases or {}).get(declared.flag, (declared.flag,))
        groups[declared.group].add_argument(*flags, dest=dest_of(declared), **about)
    return groups


def read_options(config: type[Config], options: argparse.Namespace, /, **given: Any) -> Config:
    """Return the dataclass with the values of the options; what was not declared has its default.

    given: values of fields that are no options. Raises ValueError for values outside their range.
    """
    return _read(config, options, "", given)


def _read(
    config: type[Config], options: argparse.Namespace, prefix: str, given: Mapping[str, Any]
) -> Config:
    values = dict(given)
    for field, declared in options_of(config, prefix):
        if hasattr(options, dest_of(declared)):
            values[field.name] = _value(declared, getattr(options, dest_of(declared)))
    kind: Any = config  # mypy does not take a type for hashable
    for field, nested in _nested(kind):
        if field.name not in values:
            values[field.name] = _read(nested, options, prefix_of(field), {})
    return config(**values)


def dest_of(declared: Option) -> str:
    """Return the name of the option among parsed options, and in the manifest."""
    return declared.flag.removeprefix("--no-").removeprefix("--").replace("-", "_")


def _value(declared: Option, given: Any) -> Any:
    if declared.parse is not None:
        return declared.parse(given)
    return tuple(given) if isinstance(given, list) else given


def all_options(
    config: Any, group: str = "", prefix: str = ""
) -> tuple[tuple[Option, type[Any], Any], ...]:
    """Return each option of a dataclass with its type and default, those of nested dataclasses
    where they stand.
    """
    return _all_options(config, group, prefix)


@functools.cache  # each command asks several times
def _all_options(config: Any, group: str, prefix: str) -> tuple[tuple[Option, type[Any], Any], ...]:
    return tuple(_yield_options(config, group, prefix))


def _yield_options(config: Any, group: str, prefix: str) -> Iterator[tuple[Option, type[Any], Any]]:
    hints = get_type_hints(config)
    own = {field.name: (field, declared) for field, declared in options_of(config, prefix)}
    nested = {field.name: kind for field, kind in _nested(config)}
    for field in dataclasses.fields(config):
        if field.name in own:
            declared = own[field.name][1]
            default = None if declared.required else _default(field)
            title = declared.group or group
            yield dataclasses.replace(declared, group=title), hints[field.name], default
        elif field.name in nested:
            title = field.metadata.get("group", group)
            yield from all_options(nested[field.name], title, prefix_of(field))


@functools.cache
def _nested(config: Any) -> tuple[tuple[dataclasses.Field[Any], type[Any]], ...]:
    """Return the fields that are dataclasses and no options themselves."""
    hints = get_type_hints(config)
    options = {field.name for field, _ in options_of(config)}
    fields = [field for field in dataclasses.fields(config) if field.name not in options]
    return tuple(
        (field, hints[field.name])
        for field in fields
        if dataclasses.is_dataclass(hints[field.name])
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    # What an option with `parse` is given are strings; its default is to be given none.
    return () if field.default is dataclasses.MISSING else field.default


def _argument(declared: Option, kind: Any, default: Any) -> dict[str, Any]:
    """Return the keywords of `add_argument`."""
    if kind is bool:
        off = declared.flag.startswith("--no-")
        return {"action": "store_false" if off else "store_true", "help": declared.help}
    text = declared.help
    if default not in (None, "", ()):
        text += " (default: %(default)s)"
    about: dict[str, Any] = {"help": text, "default": default, "metavar": declared.metavar}
    plain = _plain_type(kind)
    if declared.parse is not None or get_origin(plain) is tuple:
        about["nargs"] = "+"
    elif plain in (int, float):
        about |= {"type": plain, "metavar": declared.metavar or "N"}
    if declared.choices:
        about["choices"] = list(declared.choices)
    return about


def _plain_type(kind: Any) -> Any:
    """Return the type without `| None`."""
    if isinstance(kind, types.UnionType):
        (kind,) = (each for each in get_args(kind) if each is not types.NoneType)
    return kind

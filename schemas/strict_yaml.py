"""Data files of the product as typed structures: YAML text → a msgspec structure, or an error that
names file, key and what is allowed.

Every scalar is read as it is written: in YAML 1.1, an unquoted `no`, `on` or `y` would be a truth
value, which is a trap in a list of words.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# What msgspec expects, in words for people who write lists and no programs.
_EXPECTED = {
    "array": "a list, for example [one, two]",
    "object": "entries of the form `key: value`, indented below it",
    "int": "a whole number",
    "str": "a single word or text",
}
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*?)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>.*?)`")
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>\w+).*?`(?:, got `(?P<given>\w+)`)?")
_PLACE = re.compile(r" - at `(?:key in )?\$(?P<path>.*)`$")


class DataFileError(ValueError):
    """A data file of the product that cannot be used; the message names the file and the key."""


def decode(text: str, source: str, kind: type[T]) -> T:
    """Return the structure written in `text`; unknown keys and keys given twice are errors.

    source: names the file in errors. Raises DataFileError.
    """
    import yaml

    # The loader in C takes a tenth of the time; wheels for most platforms have it.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        raise DataFileError(f"{source}: is not valid YAML: {error}") from error
    try:
        tree = {} if node is None else _plain(node, source, "")
        return msgspec.convert(tree, kind, strict=False)
    except msgspec.ValidationError as error:
        raise DataFileError(f"{source}: {_explain(str(error), kind)}") from error


def _plain(node: Any, source: str, where: str) -> Any:
    """Return a YAML node as dicts, lists and texts."""
    if node.id == "scalar":
        return node.value
    if node.id == "sequence":
        return [_plain(entry, source, f"{where}[{at}]") for at, entry in enumerate(node.value)]
    mapping: dict[Any, Any] = {}
    for key_node, value in node.value:
        key = key_node.value
        place = f"{where}.{key}".lstrip(".")
        if not isinstance(key, str) or key in mapping:
            line = key_node.start_mark.line + 1
            raise DataFileError(
                f"{source}, line {line}: {place}: this key is given twice; put both together"
            )
        mapping[key] = _plain(value, source, place)
    return mapping


def _explain(message: str, kind: type[Any]) -> str:
    """Put msgspec's message into words: the key, what is wrong, and what is allowed there."""
    found = _PLACE.search(message)
    path = found["path"].lstrip(".") if found else ""
    if unknown := _UNKNOWN.search(message):
        allowed = _keys_at(kind, path)
        close = difflib.get_close_matches(unknown["key"], allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        key = f"{path}.{unknown['key']}".lstrip(".")
        return f"{key}: is not a known key; {hint}allowed: {', '.join(allowed)}"
    if missing := _MISSING.search(message):
        return f"{path}.{missing['key']}".lstrip(".") + ": is missing; add it"
    if wrong := _WRONG_TYPE.search(message):
        expected = _EXPECTED.get(wrong["expected"], wrong["expected"])
        return f"{path or 'the file'}: needs {expected}"
    return f"{path}: {message}".lstrip(": ")


def _keys_at(kind: type[Any], path: str) -> list[str]:
    """Return the keys that the structure at `path` takes, as they are written in the file."""
    for step in filter(None, path.split(".")):
        kind = next(f.type for f in msgspec.structs.fields(kind) if f.encode_name == step)
    return [field.encode_name for field in msgspec.structs.fields(kind)]

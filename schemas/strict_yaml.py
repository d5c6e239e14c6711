"""Data files of the product as typed structures: YAML text → a msgspec structure, or an error that
names file, key and what is allowed.

Every scalar is read as it is written: in YAML 1.1, an unquoted `no`, `on` or `y` would be a truth
value, which is a trap in a list of words.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

T = TypeVar("T")


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
        raise DataFileError(f"{source}: {_fault(tree, kind, '')}") from error


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
                f"{source}: line {line}: {place}: this key is given twice; put both together"
            )
        mapping[key] = _plain(value, source, place)
    return mapping


def _fault(value: Any, kind: Any, where: str) -> str | None:
    """Return what is wrong with the first part of `value` that is no `kind`, in words, with its
    key; None where it fits.

    msgspec's own message leaves out which key of a mapping is meant.
    """
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        parts = _parts(value, kind, where)
        inner = next(filter(None, (_fault(*part) for part in parts)), None)
        return inner or f"{where or 'the file'}: {_in_words(value, kind, str(error))}"
    return None


def _parts(value: Any, kind: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield the parts of a value with what they have to be and their keys."""
    types = get_args(kind)
    if isinstance(value, dict) and _is_structure(kind):
        for field in msgspec.structs.fields(kind):
            if field.encode_name in value:
                yield (
                    value[field.encode_name],
                    field.type,
                    f"{where}.{field.encode_name}".strip("."),
                )
    elif isinstance(value, dict) and get_origin(kind) is dict:
        for key, entry in value.items():
            yield key, types[0], f"{where}.{key}".strip(".")
            yield entry, types[1], f"{where}.{key}".strip(".")
    elif isinstance(value, list) and get_origin(kind) is tuple:
        for at, entry in enumerate(value):
            yield entry, types[0], f"{where}[{at}]"


def _in_words(value: Any, kind: Any, message: str) -> str:
    """Return what is allowed in place of the value, for people who write words and no programs."""
    if _is_structure(kind) and isinstance(value, dict):
        fields = msgspec.structs.fields(kind)
        allowed = [field.encode_name for field in fields]
        missing = [f.encode_name for f in fields if f.required and f.encode_name not in value]
        if missing:
            return f"needs the key {missing[0]!r}; add it"
        unknown = next(key for key in value if key not in allowed)
        close = difflib.get_close_matches(unknown, allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f"{unknown!r} is not a known key; {hint}allowed: {', '.join(allowed)}"
    if _is_structure(kind) or get_origin(kind) is dict:
        return f"needs entries of the form `key: value`, indented below it, not {value!r}"
    if get_origin(kind) is tuple:
        return f"needs a list, for example [one, two], not {value!r}"
    if get_origin(kind) is Literal:
        return f"{value!r} is not a known key; allowed: {', '.join(get_args(kind))}"
    return f"{value!r} does not fit: {message[:1].lower()}{message[1:]}"


def _is_structure(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)

"""Paths into the cells of a column: `brand.name`, `images[].hi_res`, `variants[0].price`.

(cell, path) → what stands there. A path is compiled once for a template. JMESPath and JSONPath were
tried: neither goes through structures that are texts, lists of keys and values, or lists that are
stored by column, and both refuse keys as catalogs have them (`Item Weight`, `energy-kcal_100g`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from transforms.extraction.structures.parse import parse_structure

# As parse_structure's depth: a path through a list visits each entry once, so time is linear.
MAX_STEPS = 64

_KEYS = ("key", "name", "label", "attribute", "attribute_code", "property", "k", "field", "title")
_VALUES = ("value", "values", "val", "v", "option", "options", "text", "content", "data")
_STEP = re.compile(r"\[(\*|-?\d+|)\]")


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """Return a name without case, and with one space where it has white space.

    >>> folded(" Product\u00a0 Title ")
    'product title'
    """
    return " ".join(name.casefold().split())


class NotReachedError(ValueError):
    """A cell that should hold keys or entries and does not."""


class _Missing:
    """Stands where a mapping has no such key."""


_MISSING: Final = _Missing()
# All entries of a list: `[]`, `[*]`.
_ALL: Final = _Missing()
_Step = str | int | _Missing


@dataclass(frozen=True, slots=True)
class Path:
    """A way into a cell, compiled.

    written: behind the column, such as `brand.name` or `[0].price`. steps: keys, places in a list,
    or all of it; a key with dots is tried whole first.
    """

    written: str
    steps: tuple[_Step, ...]

    def reach(self, cell: Any) -> Any:
        """Return what stands at the path; of lists on the way every entry's, as a list.

        None where a key is missing. Raises NotReachedError where there is nothing with keys, or no
        list.
        """
        first = self.steps[0]
        if len(self.steps) == 1 and isinstance(cell, dict) and first in cell:
            return cell[first]
        return _reach(cell, self.steps)

    def siblings(self, cell: Any) -> dict[str, Any]:
        """Return the keys and values among which the path's last key stands.

        Of several objects a value that differs is all of them: none may be taken for another's.
        """
        *outer, last = self.steps
        if isinstance(last, str) and "." in last:
            outer.append(last.rpartition(".")[0])
        try:
            found = _reach(cell, outer)
            found = parse_structure(found) if isinstance(found, str) else found
        except NotReachedError:
            return {}
        objects = [
            each
            for each in (found if isinstance(found, list | tuple) else [found])
            if isinstance(each, Mapping)
        ]
        values: dict[str, dict[str, Any]] = {}
        for each in objects:
            for name, value in each.items():
                values.setdefault(str(name), {})[str(value)] = value
        return {
            name: next(iter(different.values())) if len(different) == 1 else " / ".join(different)
            for name, different in values.items()
        }

    @property
    def last_key(self) -> str | None:
        """The key that the path ends with; None if it ends in a list."""
        last = self.steps[-1]
        return last.rpartition(".")[2] if isinstance(last, str) else None


@lru_cache(maxsize=4096)
def compile_path(written: str) -> Path:
    """Return the path that is written behind a column's name, without the dot.

    >>> compile_path("[].hi_res").reach([{"hi_res": "a.jpg"}, {"hi_res": "b.jpg"}])
    ['a.jpg', 'b.jpg']
    >>> compile_path("[0].price").reach('[{"price": 9.5}]')
    9.5
    """
    steps: list[_Step] = []
    for number, part in enumerate(_STEP.split(written)):
        if number % 2 == 0:
            if key := part.strip("."):
                steps.append(key)
        else:
            steps.append(int(part) if part not in ("", "*") else _ALL)
    # A key goes through lists by itself.
    needed = [
        step
        for step, behind in zip(steps, [*steps[1:], None], strict=True)
        if not (step is _ALL and isinstance(behind, str))
    ]
    return Path(written, tuple(needed[:MAX_STEPS]))


def _reach(value: Any, steps: Sequence[_Step]) -> Any:
    for number, step in enumerate(steps):
        if isinstance(value, str):
            value = parse_structure(value) if value.strip() else None
            if value is None:
                raise NotReachedError
        if value is None or value is _MISSING:
            return None
        if isinstance(step, str):
            found = _under_key(value, step)
        elif isinstance(step, int):
            found = _at(value, step)
        else:
            found = value
        if isinstance(found, _Several):
            return _merged(_reach(each, steps[number + 1 :]) for each in found)
        value = found
    return None if value is _MISSING else value


class _Several(list[Any]):
    """Values of the entries of a list, each of which goes on by itself."""


def _merged(found: Iterator[Any]) -> list[Any]:
    return [each for each in found if each is not None]


def _under_key(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return of_mapping(value, key)
    if not isinstance(value, list | tuple):
        raise NotReachedError
    entries = [entry for entry in value if entry is not None]
    if (found := _of_pairs(entries, key)) is not _MISSING:
        return found
    several = _Several()
    unreached = 0
    for entry in entries:
        try:
            several.append(_reach(entry, (key,)))
        except NotReachedError:
            unreached += 1
    if unreached == len(entries) > 0:
        raise NotReachedError
    return several


def of_mapping(mapping: Mapping[Any, Any], key: str) -> Any:
    """Return the value under a key; a key with dots that is not there itself leads into nested
    objects, and one that differs in case and spaces only is the same.
    """
    value: Any = mapping
    while isinstance(value, Mapping):
        if key in value:
            return value[key]
        named = _by_folded_name(tuple(value)).get(folded(key))
        if named is not None:
            return value[named]
        if "." not in key:
            return _inside(value, key)
        first, rest = key.split(".", 1)
        if (outer := of_mapping(value, first)) is _MISSING:
            return _inside(value, key)
        value, key = outer, rest
    try:
        return _MISSING if value is None else _reach(value, (key,))
    except NotReachedError:
        return _MISSING


def _inside(mapping: Mapping[Any, Any], key: str) -> Any:
    """Look into what only wraps: one key with a list of pairs, or entries under numbers."""
    inner = list(mapping.values())
    if len(inner) == 1 and isinstance(inner[0], list | tuple):
        return _of_pairs(inner[0], key)
    if inner and all(str(name).isdecimal() for name in mapping):
        return _under_key(inner, key)
    return _MISSING


@lru_cache(maxsize=4096)
def _by_folded_name(names: tuple[Any, ...]) -> Mapping[str, Any]:
    """Return name without case → name, of names that no other one is equal to then."""
    found: dict[str, Any] = {}
    for name in names:
        found[folded(str(name))] = None if folded(str(name)) in found else name
    return found


def _of_pairs(entries: Sequence[Any], key: str) -> Any:
    """Return the value, or values, under a key of a list of pairs, `{"key": …, "value": …}`."""
    wanted, values, are_pairs = folded(key), [], False
    for entry in entries:
        pair = pair_of(entry)
        if pair is None:
            continue
        are_pairs = True
        if isinstance(entry, Mapping) and wanted in _by_folded_name(tuple(entry)):
            return _MISSING
        if folded(str(pair[0])) == wanted:
            values.append(pair[1])
    if not are_pairs:
        return _MISSING
    return values[0] if len(values) == 1 else values or None


def pair_of(entry: Any) -> tuple[Any, Any] | None:
    """Return the key and the value of an entry of a list of pairs; None if it is no such entry.

    >>> pair_of({"name": "Color", "value": "Brown"}), pair_of(("Color", "Brown"))
    (('Color', 'Brown'), ('Color', 'Brown'))
    """
    if isinstance(entry, list | tuple):
        is_pair = len(entry) == 2 and isinstance(entry[0], str)
        return (entry[0], entry[1]) if is_pair else None
    if not isinstance(entry, Mapping):
        return None
    names = _pair_names(tuple(entry))
    return None if names is None else (entry[names[0]], entry[names[1]])


@lru_cache(maxsize=1024)
def _pair_names(names: tuple[Any, ...]) -> tuple[Any, Any] | None:
    by_name = _by_folded_name(names)
    key = next((by_name[each] for each in _KEYS if by_name.get(each) is not None), None)
    value = next((by_name[each] for each in _VALUES if by_name.get(each) is not None), None)
    return None if key is None or value is None else (key, value)


def _at(value: Any, place: int) -> Any:
    """Return an entry of a list; also of lists that are stored by column, and the only one of an
    element that is no list because there is one.
    """
    if isinstance(value, list | tuple):
        return value[place] if -len(value) <= place < len(value) else _MISSING
    if not isinstance(value, Mapping):
        raise NotReachedError
    if value and all(isinstance(column, list | tuple) for column in value.values()):
        return {name: _at(column, place) for name, column in value.items()}
    return value if place in (0, -1) else _MISSING

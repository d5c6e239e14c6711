"""Values of a list that the template gives: one, several, or a path of a taxonomy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from schemas.attributes import PATH_SEPARATOR, Attribute
from schemas.elements import Flag, Value
from schemas.template import ColumnFormat
from transforms.attribute_types.contract import (
    CellReader,
    ProbeKind,
    Reading,
    TypeOperations,
    agreed,
    count_texts,
)
from transforms.attribute_types.reading import flagged, shorten
from transforms.extraction.cells import as_text, split_list, split_paths
from transforms.extraction.gazetteer import Gazetteer
from transforms.extraction.plain_text import to_single_line
from transforms.extraction.statements import Finder, Kind, Statement, closed_list_finder

Exact = Callable[[str], str | None]
_MAX_NAMED, _MAX_ALLOWED = 5, 8
_PARTS = re.compile(r"[,;|/\n+]")


class _ClosedListOperations(TypeOperations):
    """What the three types share: names of the list are found, learnt and counted."""

    rule_method = "rule:closed-list"
    is_context = True
    helps_probes = True

    def finder(self, attribute: Attribute, *, alone: bool) -> Finder:  # noqa: ARG002
        return closed_list_finder(attribute)

    def probe_kind(self, _attribute: Attribute) -> ProbeKind:
        return "classes"

    def count(self, values: pa.Array) -> dict[str, int] | None:
        return count_texts(values)


class EnumOperations(_ClosedListOperations):
    """One value of a list."""

    is_checked_against_texts = True
    is_compared_across_items = True
    is_held_by_gate = True

    def reader(self, attribute: Attribute, _sibling_units: tuple[str, ...]) -> CellReader:
        return partial(_read_one, attribute, _exact(attribute))


class CategoryOperations(_ClosedListOperations):
    """A path of a taxonomy; a path above another one says the same, less exactly."""

    is_checked_against_texts = True
    is_compared_across_items = True
    is_held_by_gate = True

    def reader(self, attribute: Attribute, _sibling_units: tuple[str, ...]) -> CellReader:
        return partial(_read_path, attribute, _exact(attribute))

    def decide(self, _attribute: Attribute, statements: Sequence[Statement]) -> Statement | None:
        # "Fruit: apples" names Food > Fruit and Food > Fruit > Apple, and means the latter.
        paths = {str(statement.value) for statement in statements}
        above = {path for path in paths if _is_above_any(path, paths)}
        return agreed([statement for statement in statements if statement.value not in above])

    def agree(self, given: Value, stated: Value) -> bool:
        # "Fruit" and "Fruit > Apple" do not contradict each other.
        paths = sorted(f"{path}{PATH_SEPARATOR}" for path in (str(given), str(stated)))
        return paths[1].startswith(paths[0])


class MultiEnumOperations(_ClosedListOperations):
    """Several values of a list. A text need not name all of them, so it contradicts none."""

    def reader(self, attribute: Attribute, _sibling_units: tuple[str, ...]) -> CellReader:
        return partial(_read_several, attribute, _exact(attribute))

    def decide(self, attribute: Attribute, statements: Sequence[Statement]) -> Statement | None:
        """Return all stated values, in the order of the list, over the span of all of them."""
        if len({statement.begin for statement in statements}) < len(statements):
            return None  # a name that two values share
        stated = {str(statement.value) for statement in statements}
        has_synonym = any(statement.kind == "synonym" for statement in statements)
        kind: Kind = "synonym" if has_synonym else statements[0].kind
        return Statement(
            _in_list_order(attribute, stated), statements[0].begin, statements[-1].end, kind
        )

    def is_unknown(self, said: Any) -> bool:
        return not said

    def parse_answer(self, attribute: Attribute, said: Any) -> Value | None:
        return _in_list_order(attribute, said)

    def format(self, _attribute: Attribute, value: Value) -> str:
        return ", ".join(value) if isinstance(value, list) else str(value)

    def candidate_text(self, value: Value) -> str:
        # Candidates of an earlier run come back as the text that they were written as.
        return orjson.dumps(value).decode() if isinstance(value, list) else str(value)

    def texts(self, value: Value) -> tuple[str, ...]:
        entries = value if isinstance(value, list | tuple) else [value]
        return tuple(dict.fromkeys(str(entry) for entry in entries))

    def candidate_texts(self, candidate: str) -> tuple[str, ...]:
        try:
            entries = orjson.loads(candidate)
        except orjson.JSONDecodeError:
            entries = candidate
        return self.texts(entries if isinstance(entries, list) else [candidate])

    def value_of_labels(self, attribute: Attribute, labels: Sequence[str]) -> Value:
        return _in_list_order(attribute, labels)

    def count(self, values: pa.Array) -> dict[str, int] | None:
        return super().count(pc.list_flatten(values))


def _is_above_any(path: str, paths: Iterable[str]) -> bool:
    return any(other.startswith(f"{path}{PATH_SEPARATOR}") for other in paths)


def _in_list_order(attribute: Attribute, values: Iterable[str]) -> list[str]:
    wanted = set(values)
    return [choice.value for choice in attribute.values if choice.value in wanted]


def _exact(attribute: Attribute) -> Exact:
    gazetteer = Gazetteer.build(attribute.values, leaf_only=attribute.spec.is_taxonomy)
    return lru_cache(maxsize=4096)(gazetteer.exact)


def _read_one(
    attribute: Attribute, exact: Exact, cell: Any, column: ColumnFormat, keyed: bool
) -> Reading:
    known, unknown, untyped = _look_up(exact, split_list(cell, column, keyed=keyed))
    if len(known) == 1 and not unknown and not untyped:
        return known[0], ()
    if len(known) + len(unknown) > 1:
        expected = "gives several values; write one, or use type multi_enum"
        return flagged(attribute, "value-wrong-type", f"{shorten(cell)} {expected}")
    return None, _closed_list_flags(attribute, unknown, untyped)


def _read_several(
    attribute: Attribute, exact: Exact, cell: Any, column: ColumnFormat, keyed: bool
) -> Reading:
    """Return known values in the order of the template's list; unknown ones are flagged and left
    out.

    An entry that is not in the list is several, where each of its parts is: "Blue, White".
    """
    known, open_entries, untyped = _look_up(exact, split_list(cell, column, keyed=keyed))
    unknown = []
    for entry in open_entries:
        parts = [exact(part.strip()) for part in _PARTS.split(entry)]
        if all(part is not None for part in parts):
            known += [part for part in parts if part is not None]
        else:
            unknown.append(entry)
    ordered = known if len(known) < 2 else _in_list_order(attribute, known)
    return ordered or None, _closed_list_flags(attribute, unknown, untyped)


def _read_path(
    attribute: Attribute, exact: Exact, cell: Any, column: ColumnFormat, keyed: bool
) -> Reading:
    """Read the deepest path that the list knows, the first of several.

    The others are not flagged then: shops file an item under several paths.
    """
    paths = split_paths(cell, column, keyed=keyed)
    known, unknown, untyped = _look_up(exact, paths)
    if known:
        return max(known, key=lambda path: path.count(PATH_SEPARATOR)), ()
    return None, _closed_list_flags(attribute, unknown, [cell] if untyped else [])


def _look_up(exact: Exact, entries: Iterable[Any]) -> tuple[list[str], list[str], list[Any]]:
    """Return distinct list values, distinct texts that are in no list, and entries without text."""
    known: dict[str, None] = {}
    unknown: dict[str, None] = {}
    untyped = []
    for entry in entries:
        text = as_text(entry)
        if text is None:
            untyped.append(entry)
        elif cleaned := to_single_line(text):
            value = exact(cleaned)
            (unknown if value is None else known).setdefault(cleaned if value is None else value)
    return list(known), list(unknown), untyped


def _closed_list_flags(
    attribute: Attribute, unknown: list[str], untyped: list[Any]
) -> tuple[Flag, ...]:
    flags = []
    if unknown:
        given = ", ".join(shorten(text) for text in unknown[:_MAX_NAMED])
        given += " …" if len(unknown) > _MAX_NAMED else ""
        allowed = ", ".join(choice.value for choice in attribute.values[:_MAX_ALLOWED])
        left_out = len(attribute.values) - _MAX_ALLOWED
        more = f" and {left_out} more" if left_out > 0 else ""
        detail = f"{given} not in the list; allowed: {allowed}{more}"
        flags.append(Flag("value-not-in-list", attribute.name, detail))
    if untyped:
        detail = f"{shorten(untyped[0])} is not a text; write a value of the list"
        flags.append(Flag("value-wrong-type", attribute.name, detail))
    return tuple(flags)

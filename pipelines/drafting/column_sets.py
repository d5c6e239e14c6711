"""Columns that belong together: names beside values (`Attribute {n} name`), texts by language
(`name-{lang}`), and numbered texts (`bullet_point{n}`). Pure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from pipelines.drafting.findings import Guess, LeftOut
from pipelines.drafting.guess import keyed
from pipelines.drafting.names import has_word, is_called
from pipelines.drafting.profile import NAME_WORD, VALUE_WORD, Column, Profile
from pipelines.drafting.shapes import LISTED, shape_of
from schemas.template import LANGUAGE_MARK, NUMBER_MARK, ColumnFormat
from transforms.extraction.cells import as_text, is_null
from transforms.normalise.column_groups import find_group
from transforms.normalise.column_names import ColumnNames

_NUMBER = re.compile(r"\d{1,3}")
_LANGUAGE = re.compile(
    r"(?P<stem>.*[^\W_])(?P<mark>[-_.: ])(?P<lang>[a-z]{2}(?:[-_][A-Z]{2})?)"
    r"(?P<rest>(?:[-_.][a-z]+)?)$"
)
# A name of a value is one of few: "Color", "Material".
MAX_NAME_CHARS = 60


@dataclass(frozen=True, slots=True)
class ColumnSet:
    """columns: that it reads, or that say nothing besides; found: what is made of them."""

    columns: tuple[str, ...]
    found: tuple[Guess | LeftOut, ...]


def column_sets(profile: Profile) -> Iterator[ColumnSet]:
    """Yield the columns of a catalog that belong together."""
    yield from _names_beside_values(profile)
    yield from _by_language(profile)
    yield from _numbered_texts(profile)


def _names_beside_values(profile: Profile) -> Iterator[ColumnSet]:
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for name in profile.columns:
        for value in profile.columns:
            if NAME_WORD.search(name) and _are_name_and_value(name, value):
                pair = (_numbered(name), _numbered(value))
                pairs[pair if NUMBER_MARK in pair[0] else (name, value)].append((name, value))
    for (name, value), members in pairs.items():
        columns = [profile.columns[each] for pair in members for each in pair]
        if any(column.filled for column in columns) and all(
            _holds_names(profile.columns[each]) for each, _ in members
        ):
            yield _pair_set(profile, name, value, members)


def _are_name_and_value(name: str, value: str) -> bool:
    """Return whether the names of two columns differ in that one word alone."""
    return any(
        name[: found.start()] == value[: other.start()]
        and name[found.end() :] == value[other.end() :]
        for found in NAME_WORD.finditer(name)
        for other in VALUE_WORD.finditer(value)
    )


def _holds_names(column: Column) -> bool:
    return column.kind == "text" and column.mean_chars <= MAX_NAME_CHARS


def _numbered(name: str) -> str:
    """Return the name with its last number as a mark, if it has one."""
    numbers = list(_NUMBER.finditer(name))
    if not numbers:
        return name
    last = numbers[-1]
    return f"{name[: last.start()]}{NUMBER_MARK}{name[last.end() :]}"


def _pair_set(
    profile: Profile, name: str, value: str, members: Sequence[tuple[str, str]]
) -> ColumnSet:
    texts = [
        text for _, each in members for text in profile.columns[each].texts if not is_null(text)
    ]
    shape = shape_of(texts)
    is_list = shape.kind == "list" or "value(s)" in value.casefold()
    column_format = (shape.format if shape.kind == "list" else LISTED) if is_list else None
    written = (column_format or ColumnFormat()).model_copy(update={"name_from": name})
    group = find_group(value, lambda _: written, ColumnNames(profile.columns))
    cells: list[tuple[Mapping[str, Any], int]] = []
    for row in chain(profile.rows, profile.paired_rows):
        cell = None if group is None else group.cell(row, frozenset([""]), opened=False)
        if isinstance(cell, Mapping):
            cells.append((cell, 1))
    share = len(cells) / max(1, profile.records)
    found = tuple(keyed(value, cells, share, written)) if cells else ()
    read = {each for pair in members for each in pair}
    beside = [
        each
        for each in profile.columns
        if each not in read and has_word(each, "switches") and _is_beside(each, members)
    ]
    left_out = tuple(LeftOut(each, f"a switch beside {name}") for each in beside)
    return ColumnSet((*read, *beside), (*found, *left_out))


def _is_beside(column: str, members: Sequence[tuple[str, str]]) -> bool:
    """Return whether a column is called as those of a pair are, up to their last word."""
    return any(
        (found := NAME_WORD.search(name)) is not None
        and len(name[: found.start()].strip()) > 2
        and column.startswith(name[: found.start()])
        for name, _ in members
    )


@cache
def _languages() -> frozenset[str]:
    from babel.localedata import locale_identifiers

    return frozenset(each.partition("_")[0] for each in locale_identifiers())


def _by_language(profile: Profile) -> Iterator[ColumnSet]:
    sets: dict[str, list[str]] = defaultdict(list)
    for name in profile.columns:
        found = _LANGUAGE.match(name)
        if found and found["lang"][:2] in _languages():
            pattern = f"{found['stem']}{found['mark']}{LANGUAGE_MARK}{found['rest']}"
            sets[pattern].append(name)
    for pattern, names in sets.items():
        columns = sorted(
            (profile.columns[name] for name in names), key=lambda column: -column.filled
        )
        if len(columns) > 1 and all(column.kind == "text" for column in columns if column.filled):
            yield _language_set(profile, pattern, columns)


def _language_set(profile: Profile, pattern: str, columns: Sequence[Column]) -> ColumnSet:
    # Without a language, `product_name` beside `product_name_fr`, it comes first.
    stem = re.sub(r"[-_.: ]?" + re.escape(LANGUAGE_MARK), "", pattern)
    bare = profile.columns.get(stem)
    ordered = [*([] if bare is None else [bare]), *columns]
    names = [column.name for column in ordered if column.filled]
    known = _rows_with(profile, names)
    share = known / max(1, len(profile.rows))
    longest = max(ordered, key=lambda column: column.filled)
    some = tuple(text for text, _ in longest.texts.most_common(3))
    first = Guess(
        names[0] if names else pattern,
        {"type": "string", "from": names},
        share,
        some,
        f"the first of {len(names)} languages that has one",
        mean_chars=longest.mean_chars,
    )
    why = f"texts by language: {', '.join(column.name for column in columns[:8])}"
    by_language = Guess(pattern, {"type": "localized", "in_text": False}, share, (), why)
    return ColumnSet(tuple(column.name for column in ordered), (first, by_language))


def _rows_with(profile: Profile, names: Sequence[str]) -> int:
    """Return how many of the rows hold something in one of the columns."""
    return sum(not all(map(is_null, map(row.get, names))) for row in profile.rows)


def _numbered_texts(profile: Profile) -> Iterator[ColumnSet]:
    sets: dict[str, list[str]] = defaultdict(list)
    for name in profile.columns:
        if _NUMBER.search(name) and is_called(name, "text"):
            sets[_numbered(name)].append(name)
    for pattern, names in sets.items():
        columns = [profile.columns[name] for name in names]
        if len(names) < 2 or any(column.kind != "text" for column in columns if column.filled):
            continue
        known = _rows_with(profile, names)
        texts: Counter[str] = Counter()
        for column in columns:
            texts.update(column.texts)
        mean = sum(column.chars for column in columns) / max(1, texts.total())
        guess = Guess(
            pattern,
            {"type": "string"},
            known / max(1, len(profile.rows)),
            tuple(as_text(text) or "" for text, _ in texts.most_common(3)),
            f"{len(names)} columns of texts",
            mean_chars=mean,
        )
        yield ColumnSet(tuple(names), (guess,))

"""What identifies an item: a column that is unique, one that rows of the same item share, or, where
nothing does, the nearest. Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.drafting.names import has_word, how_much_called, is_called, words_of
from pipelines.drafting.profile import Column, Profile
from pipelines.drafting.shapes import are_pictures
from schemas.texts import first_names
from transforms.extraction.cells import as_mapping, as_text, is_null
from transforms.normalise.column_names import resolve
from transforms.normalise.timestamps import is_moment

MAX_ID_CHARS = 200
MIN_UNIQUE = 0.995
# Share of the groups of rows whose title is one and the same, and of other cells that agree.
MIN_SAME_TITLE, MIN_SAME_CELLS = 0.9, 0.6
# Share of the rows with a key that fill a column of the product, and of those without that leave
# it empty.
_MIN_FILLED, _MIN_EMPTY = 0.9, 0.95
_MIN_TITLE = 0.9
_COUNTER_NAMES = frozenset(["", "unnamed 0", "index", "level 0", "index level 0", "column 1"])
_OF_ALL = frozenset(["id", "sku", "item id", "product id", "uniq id", "uuid", "handle", "code"])


@dataclass(frozen=True, slots=True)
class Identity:
    """column: the id; others: columns that are unique as well; is_grouped: several rows have one
    id and are one item. above: the column of the product that a row belongs to, filled in the first
    of its rows only; empty without one.

    note: what a reader of the draft should know of it; is_known: whether the catalog says that it
    is the id.
    """

    column: str
    others: tuple[str, ...] = ()
    is_grouped: bool = False
    note: str = ""
    is_known: bool = True
    above: str = ""


def find_id(profile: Profile, wanted: str = "") -> Identity:
    """Return the column that identifies an item, the nearest one where nothing does.

    wanted: the column that somebody named; raises ValueError where the catalog has none of that
    name.
    """
    if wanted:
        return _with_rows_below(_named(profile, wanted), profile)
    return _with_rows_below(_found(profile), profile)


def _found(profile: Profile) -> Identity:
    unique = sorted(
        (column for column in profile.columns.values() if _is_unique(column, profile)),
        key=lambda column: -_score(column, profile),
    )
    others = tuple(column.name for column in unique[1:4] if _is_named(column))
    if unique and _is_named(unique[0]):
        return Identity(unique[0].name, others)
    shared = _shared_by_rows(profile) or _key_above(profile)
    if shared is not None:
        return _of_rows(shared, profile)
    nested = _inside_a_cell(profile)
    if nested is not None:
        return nested
    if unique:
        note = f"no column is called as an id is; {unique[0].name} never comes twice"
        return Identity(unique[0].name, others, note=note, is_known=False)
    return _nearest(profile)


def _with_rows_below(found: Identity, profile: Profile) -> Identity:
    """Return the identity, with the product that rows belong to which have no key of their own."""
    key = _key_above(profile)
    if key is None or not found.is_known:
        return found
    below = profile.records - key.filled
    note = f"{below:,} rows without {key.name} belong to the row above them"
    is_grouped = found.is_grouped or key.name == found.column
    return replace(found, above=key.name, is_grouped=is_grouped, note=note)


def _key_above(profile: Profile) -> Column | None:
    """Return the column called as an id that is filled in the first row of a product only."""
    named = (
        column
        for column in profile.columns.values()
        if _may_be_id(column)
        and _is_named(column)
        and column.filled < profile.records
        and _is_filled_down(column.name, profile)
    )
    return max(named, key=lambda column: _score(column, profile), default=None)


def is_counter(column: Column) -> bool:
    """Return whether this is the row number that pandas writes beside a table."""
    name = " ".join(words_of(column.name))
    if name not in _COUNTER_NAMES:
        return False
    numbers = [as_text(cell) for cell in column.samples]
    begin = next((begin for begin in ("0", "1") if numbers[:1] == [begin]), None)
    return begin is not None and numbers == [
        str(number) for number in range(int(begin), int(begin) + len(numbers))
    ]


def _named(profile: Profile, wanted: str) -> Identity:
    spelled = resolve([wanted], profile.columns).get(wanted, wanted)
    column = profile.columns.get(spelled)
    if column is None and spelled.partition(".")[0] in profile.columns:
        column = _flat(profile).get(spelled)
    if column is None:
        raise ValueError(
            f"--id {wanted}: the catalog has no such column; it has {first_names(profile.columns)}"
        )
    if _uniqueness(column, profile.records) >= MIN_UNIQUE:
        return Identity(column.name)
    return _of_rows(column, profile)


def _of_rows(column: Column, profile: Profile) -> Identity:
    """Return the identity by a column that several rows share, or that some rows do not have."""
    empty = profile.records - column.filled
    distinct, filled = len(column.texts), column.texts.total()
    note = f"{filled:,} rows have {distinct:,} different ids; rows of one id are one item"
    if empty:
        note += f"; {empty:,} rows have none"
    return Identity(column.name, is_grouped=distinct < filled, note=note)


def _is_unique(column: Column, profile: Profile) -> bool:
    return (
        _may_be_id(column)
        and column.filled == profile.records
        and _uniqueness(column, profile.records) >= MIN_UNIQUE
        and not is_counter(column)
    )


def _may_be_id(column: Column) -> bool:
    if column.kind not in ("text", "number") or not 0 < column.mean_chars <= MAX_ID_CHARS:
        return False
    some = list(column.texts)[:100]
    are_structures = sum(text.startswith(("[", "{")) for text in some) >= 0.5 * len(some)
    are_times = all(not text.isdigit() and is_moment(text) for text in some)
    return not (are_pictures(some) or are_structures or are_times)


def _is_named(column: Column) -> bool:
    return is_called(column.name, "id") and not _is_measure(column)


def _is_measure(column: Column) -> bool:
    return has_word(column.name, "restless") or any(
        re.fullmatch(r"-?\d+[.,]\d*[1-9]", text) for text in list(column.texts)[:100]
    )


def _uniqueness(column: Column, records: int) -> float:
    """Share of the records that have a text of their own; of more texts than are counted, of those
    that are.
    """
    counted = column.texts.total()
    return len(column.texts) / max(1, counted) * column.filled / max(1, records)


def _score(column: Column, profile: Profile) -> float:
    some = list(column.texts)[:200]
    spaces = sum(" " in text for text in some) / max(1, len(some))
    exact = 1.0 if " ".join(words_of(column.name)) in _OF_ALL else 0.0
    return (
        4 * how_much_called(column.name, "id")
        + exact
        - 2 * spaces
        - column.mean_chars / 50
        - (3.0 if _is_measure(column) else 0.0)
        - (1.0 if is_called(column.name, "title") or is_called(column.name, "text") else 0.0)
        + _uniqueness(column, profile.records)
    )


def _shared_by_rows(profile: Profile) -> Column | None:
    """Return the column called as an id by which rows go together: nothing contradicts that rows
    with one value are one item.
    """
    named = [
        column
        for column in profile.columns.values()
        if _may_be_id(column)
        and _is_named(column)
        and column.filled >= MIN_UNIQUE * profile.records
        and not is_counter(column)
        and _go_together(column, profile)
    ]
    return max(named, key=lambda column: _score(column, profile), default=None)


def _go_together(key: Column, profile: Profile) -> bool:
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in profile.rows:
        value = as_text(row.get(key.name))
        if value is not None and not is_null(value):
            groups[value.strip()].append(row)
    several = [rows for rows in groups.values() if len(rows) > 1]
    titles = [name for name in profile.columns if how_much_called(name, "title") >= 0.9]
    if titles:
        same = [len(_different(rows, titles[0])) <= 1 for rows in several]
        return sum(same) >= MIN_SAME_TITLE * len(same)
    others = [name for name in profile.columns if name != key.name]
    same = [len(_different(rows, name)) <= 1 for rows in several for name in others]
    return sum(same) >= MIN_SAME_CELLS * len(same)


def _different(rows: Iterable[Mapping[str, Any]], name: str) -> set[str]:
    return {str(cell) for row in rows if not is_null(cell := row.get(name))}


def _inside_a_cell(profile: Profile) -> Identity | None:
    """Return the identity by a key inside a column: `{"product": {"id": ...}}`."""
    unique = [
        column
        for column in _flat(profile).values()
        if _is_unique(column, profile) and _is_named(column)
    ]
    best = max(unique, key=lambda column: _score(column, profile), default=None)
    return None if best is None else Identity(best.name)


def _flat(profile: Profile) -> dict[str, Column]:
    """Return `column.key` → what the first records have there, as if they were all."""
    found: dict[str, Column] = {}
    for row in profile.rows:
        for name, cell in row.items():
            for key, value in (_mapping_of(cell) or {}).items():
                path = f"{name}.{key}"
                found.setdefault(path, Column(path)).add(value)
    for column in found.values():
        if profile.records > len(profile.rows):
            column.filled = round(column.filled / len(profile.rows) * profile.records)
    return found


def _mapping_of(cell: Any) -> Mapping[str, Any] | None:
    from pipelines.drafting.shapes import ONE_VALUE

    return as_mapping(cell, ONE_VALUE)


def _nearest(profile: Profile) -> Identity:
    """Return the column that comes nearest to an id, where none is one."""
    columns = [column for column in profile.columns.values() if _may_be_id(column)]
    nearest = sorted(
        columns or profile.columns.values(),
        key=lambda column: (
            -(_uniqueness(column, profile.records) + 0.5 * how_much_called(column.name, "id"))
        ),
    )
    if not nearest:
        return Identity("id", note="no column holds anything", is_known=False)
    seen = "; ".join(
        f"{column.name} ({column.filled:,} of {profile.records:,} filled, "
        f"{len(column.texts):,} different)"
        for column in nearest[:3]
    )
    note = f"no column is there in every record and never twice; nearest: {seen}"
    is_grouped = len(nearest[0].texts) < nearest[0].texts.total()
    return Identity(nearest[0].name, is_grouped=is_grouped, note=note, is_known=False)


def _is_filled_down(name: str, profile: Profile) -> bool:
    """Return whether a column's empty cells mean the cell above: rows without a key stand right
    below one that has it, say something, and leave out what a product is called.

    A record whose key is only missing says what it is.
    """
    rows = profile.rows
    keys = [_key(row, name) for row in rows]
    below = [row for row, key in zip(rows, keys, strict=True) if not key]
    keyed = [row for row, key in zip(rows, keys, strict=True) if key]
    if not below or len(keyed) < 2 or not keys[0] or not _are_blocks(keys):
        return False
    if any(is_null(list(row.values())) for row in below):
        return False
    of_product = [
        column
        for column in profile.columns
        if column != name and _share(keyed, column) >= _MIN_FILLED
    ]
    empty = [column for column in of_product if _share(below, column) <= 1 - _MIN_EMPTY]
    titles = [
        column for column in profile.columns if how_much_called(column, "title") >= _MIN_TITLE
    ]
    return bool(empty) and set(titles[:1]) <= set(empty)


def _key(row: Mapping[str, Any], name: str) -> str:
    cell = row.get(name)
    return "" if is_null(cell) else (as_text(cell) or "").strip()


def _are_blocks(keys: Iterable[str]) -> bool:
    """Return whether no key comes again behind another one."""
    begun: list[str] = []
    for key in keys:
        if key and key != (begun[-1] if begun else ""):
            begun.append(key)
    return len(begun) == len(set(begun))


def _share(rows: Iterable[Mapping[str, Any]], column: str) -> float:
    filled = [not is_null(row.get(column)) for row in rows]
    return sum(filled) / max(1, len(filled))

"""What a column means: its attribute type, closed list, unit and format, each with the reason why.

Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from pipelines.drafting.findings import Guess, LeftOut, key_of
from pipelines.drafting.money import are_price_objects
from pipelines.drafting.names import has_word, is_called, words_of
from pipelines.drafting.pictures import kind_of_bytes
from pipelines.drafting.profile import Column
from pipelines.drafting.scalars import MAX_LIST_VALUES, Cells, distinct, scalar, unit_of_header
from pipelines.drafting.shapes import LISTED, ONE_VALUE, Hints, shape_of
from schemas.attributes import PATH_SEPARATOR
from schemas.template import ColumnFormat
from schemas.units import is_unit
from transforms.extraction.cells import as_mapping, as_text, is_null, split_list, split_paths
from transforms.extraction.quantities import parse_number
from transforms.normalise.column_groups import with_fields_of_name
from transforms.normalise.column_units import unit_column_of

MAX_ENTRY_CHARS = 40
MAX_DEPTH = 2
MAX_KEYS_OF_LISTS = 20
# A key that fewer records have is one of many; of a few records each counts.
MIN_KEY_SHARE, MIN_KEY_RECORDS = 0.005, 20
# `Tags (x,y,z...)`, `Feature (Name:Value:Position)`
_LISTED_IN_NAME = re.compile(r"\([^()]*,[^()]*\.\.\.\)")
_PAIRS_IN_NAME = re.compile(r"\(name:value", re.IGNORECASE)
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z]{2,4})?$")


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of a catalog besides the column that is looked at.

    records: looked at; units: column of numbers → column with their units; currencies: column of
    prices → column with their currencies; ids: texts of the id.
    """

    records: int
    units: Mapping[str, Column]
    currencies: Mapping[str, str]
    ids: Mapping[str, int]


def columns_of_units(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Return column of numbers → the column that holds their units."""
    found: dict[str, Column] = {}
    for name in columns:
        beside = unit_column_of(name, tuple(columns))
        if beside is not None and beside != name and _usual_unit(columns[beside]) is not None:
            found[name] = columns[beside]
    # A column of units that no other names, right behind one of numbers, holds the units of it;
    # behind a price it says what the price is for.
    taken = {column.name for column in found.values()}
    for numbers, units in pairwise(columns.values()):
        is_free = numbers.name not in found and units.name not in taken and _are_units(units)
        # A unit in the numbers' own name is nearer: `Weight (kg)` beside one that is shown.
        is_free = is_free and unit_of_header(numbers.name) is None
        if is_free and _are_numbers(numbers) and not has_word(numbers.name, "price"):
            found[numbers.name] = units
    return found


def _are_numbers(column: Column) -> bool:
    return bool(column.texts) and all(parse_number(text) is not None for text in column.texts)


def _usual_unit(column: Column) -> str | None:
    """Return the most frequent of the units that a column holds, None where it holds others."""
    known = [text for text, _ in column.texts.most_common() if is_unit(text)]
    if not known or sum(column.texts[text] for text in known) < 0.5 * column.texts.total():
        return None
    return known[0] if len(known[0]) <= 2 else known[0].casefold()


def guess(column: Column, around: Around) -> Iterator[Guess | LeftOut]:
    """Yield what to make of a column: an attribute, one for each of its keys, or nothing with the
    reason.
    """
    left_out = _left_out(column, around)
    if left_out is not None:
        yield LeftOut(column.name, left_out)
        return
    share = column.filled / max(1, around.records)
    if are_price_objects(column.name, column.samples):
        options = {"type": "money", "in_text": False}
        some = tuple(text for text, _ in column.texts.most_common(3))
        yield Guess(column.name, options, share, some, "objects that are prices")
        return
    if column.kind in ("mapping", "objects"):
        yield from _of_structures(column.name, list(column.cells()), share)
        return
    texts = [each for each in column.samples if isinstance(each, str)]
    shape = shape_of(texts, hints_of(column.name)) if column.kind == "text" else None
    if shape is not None and shape.kind in ("pairs", "objects"):
        taken_apart = with_fields_of_name(shape.format, column.name)
        cells = [(as_mapping(cell, taken_apart) or {}, count) for cell, count in column.cells()]
        yield from keyed(column.name, cells, share, shape.format)
        return
    written = ONE_VALUE if shape is None else shape.format
    yield _whole(column, around, LISTED if column.kind == "list" else written)


def _of_structures(
    source: str, cells: Sequence[tuple[Any, int]], share: float
) -> Iterator[Guess | LeftOut]:
    """Yield what to make of objects, of lists of keys and values, which are as good as an object,
    and of lists of other objects.
    """
    opened = [(as_mapping(cell, ONE_VALUE), count) for cell, count in cells]
    mappings = [(cell, count) for cell, count in opened if cell is not None]
    if len(mappings) >= 0.5 * len(cells):
        yield from keyed(source, mappings, share)
        return
    lists = [(cell, count) for cell, count in cells if isinstance(cell, list)]
    keys: Counter[str] = Counter()
    for cell, count in lists:
        keys.update({key: count for entry in cell if isinstance(entry, Mapping) for key in entry})
    total = sum(count for _, count in lists)
    named = {key: known for key, known in keys.items() if str(key).strip(" .")}
    for key, known in list(named.items())[:MAX_KEYS_OF_LISTS]:
        values = [(found, count) for cell, count in lists if (found := _under(cell, key))]
        yield from _of_listed_key(source, key, values, share * known / max(1, total))


def _under(entries: Sequence[Any], key: str) -> list[Any]:
    """Return what the objects of a list have under a key."""
    return [
        entry[key]
        for entry in entries
        if isinstance(entry, Mapping) and not is_null(entry.get(key))
    ]


def _of_listed_key(
    source: str, key: str, values: Sequence[tuple[list[Any], int]], share: float
) -> Iterator[Guess | LeftOut]:
    """Yield what to make of a key of listed objects: the list of its texts, or the first number."""
    entries = [entry for found, _ in values for entry in found]
    if not entries or any(isinstance(entry, Mapping | list) for entry in entries):
        yield LeftOut(f"{source}[].{key}", "objects or lists within objects")
    elif all(isinstance(entry, int | float) for entry in entries) or has_word(key, "price"):
        firsts = [(found[0], count) for found, count in values]
        yield _of_values(f"{source}[0].{key}", firsts, share)
    else:
        yield _of_values(f"{source}[].{key}", values, share)


def _left_out(column: Column, around: Around) -> str | None:
    """Return why nothing is made of a column, None where something is."""
    if not column.filled:
        return "empty"
    if column.kind == "bytes":
        return f"bytes ({kind_of_bytes(column)})"
    if column.kind == "vector":
        return f"vectors of {len(column.samples[0]):,} numbers; runs make their own"
    if column.kind in ("mapping", "objects") and has_word(column.name, "picture"):
        return "about pictures, none of which it names"
    of_units = [name for name, units in around.units.items() if units.name == column.name]
    if of_units:
        return f"the units of {' and '.join(of_units)}"
    of_prices = [name for name, holder in around.currencies.items() if holder == column.name]
    if of_prices:
        return f"the currencies of {' and '.join(of_prices)}"
    is_kept = is_called(column.name, "title") or has_word(column.name, "price")
    if len(column.texts) == 1 and column.filled >= 2 and not is_kept:
        return f"the same everywhere: {next(iter(column.texts))[:40]}"
    if column.texts.keys() == around.ids.keys() and len(around.ids) > 1:
        return "the same as the id"
    if _are_units(column):
        return "units; no column of numbers is called so"
    return None


def _are_units(column: Column) -> bool:
    words = words_of(column.name)
    is_called_unit = bool(words) and words[-1] in ("unit", "units", "uom", "einheit")
    return is_called_unit and _usual_unit(column) is not None


def _whole(column: Column, around: Around, found: ColumnFormat) -> Guess | LeftOut:
    share = column.filled / max(1, around.records)
    if column.kind == "list" and _is_path(column):
        found = ColumnFormat(format="path", separator="/")
    if found.format != "text":
        return _listed(column.name, list(column.cells()), found, share)
    units = around.units.get(column.name)
    guessed = scalar(
        Cells(
            column.name,
            column.texts,
            share,
            column.mean_chars,
            unit=None if units is None else _usual_unit(units),
            unit_column=None if units is None else units.name,
            currency_column=around.currencies.get(column.name),
            has_booleans=column.kind == "boolean",
        )
    )
    if isinstance(guessed, LeftOut):
        return guessed
    beside = {
        "number": None if units is None else units.name,
        "money": around.currencies.get(column.name),
    }.get(guessed.options["type"])
    return (
        guessed
        if beside is None
        else replace(guessed, column_format=ColumnFormat(unit_from=beside))
    )


def _is_path(column: Column) -> bool:
    """Return whether lists are the steps of one path: each step is always at the same depth, below
    the same one.
    """
    parents: dict[str, set[str]] = {}
    lists = [cell for cell in column.samples if isinstance(cell, list | tuple)]
    if len(lists) < MIN_KEY_RECORDS and not _is_category(column.name):
        return False
    for cell in lists:
        steps = [as_text(each) or "" for each in cell]
        for parent, step in zip(["", *steps], steps, strict=False):
            parents.setdefault(step, set()).add(parent)
    deep = sum(len(steps) > 1 for steps in lists)
    return deep >= 0.5 * len(lists) and sum(
        len(each) == 1 for each in parents.values()
    ) >= 0.9 * len(parents)


def _is_category(source: str) -> bool:
    return is_called(source, "category")


def hints_of(source: str) -> Hints:
    """Return what a column's name says of how its cells are written."""
    return Hints(
        is_tree=_is_category(source),
        is_list=is_called(source, "lists") or _LISTED_IN_NAME.search(source) is not None,
        is_pairs=_PAIRS_IN_NAME.search(source) is not None,
    )


def keyed(
    source: str,
    cells: Sequence[tuple[Mapping[str, Any], int]],
    share: float,
    column_format: ColumnFormat = ONE_VALUE,
) -> Iterator[Guess | LeftOut]:
    """Yield an attribute for each key, or one of all languages.

    cells: taken apart, with how often each came; share: of the records that have a cell.
    """
    keys: Counter[str] = Counter()
    for cell, count in cells:
        keys.update({key: count for key, value in cell.items() if not is_null(value)})
    if not keys:
        yield LeftOut(source, "objects without a value")
        return
    if all(_LANGUAGE.match(key) for key in keys) and column_format == ONE_VALUE:
        yield from _localized(source, keys, share)
        return
    total = sum(count for _, count in cells)
    least = max(2, MIN_KEY_SHARE * total) if total >= MIN_KEY_RECORDS else 1
    for key, known in keys.items():
        path = f"{source}.{key}"
        if not key.strip(" ."):
            yield LeftOut(path, "a key without a name")
            continue
        if known < least:
            yield LeftOut(path, f"in {known} of {total} records only")
            continue
        values = [(cell[key], count) for cell, count in cells if not is_null(cell.get(key))]
        for guessed in _of_key(path, values, share * known / max(1, total), column_format):
            yield (
                guessed
                if isinstance(guessed, LeftOut)
                else replace(guessed, column_format=column_format, column=source)
            )


def _of_key(
    source: str, values: Sequence[tuple[Any, int]], share: float, column_format: ColumnFormat
) -> Iterator[Guess | LeftOut]:
    if any(_has_objects(value) for value, _ in values):
        if source.count(".") >= MAX_DEPTH:
            yield LeftOut(source, "objects within objects")
        else:
            yield from _of_structures(source, values, share)
        return
    if column_format.format == "list":
        yield _of_values(
            source, [(split_list(value, column_format), count) for value, count in values], share
        )
        return
    yield _of_values(source, values, share, column_format.list_separator)


def _has_objects(value: Any) -> bool:
    entries = value if isinstance(value, list) else [value]
    return any(isinstance(entry, Mapping) for entry in entries)


def _of_values(
    source: str, values: Sequence[tuple[Any, int]], share: float, separator: str = "|"
) -> Guess | LeftOut:
    texts, entries = Counter[str](), Counter[str]()
    lists = 0
    for value, count in values:
        # A list of one is as good as its entry.
        alone = value[0] if isinstance(value, list) and len(value) == 1 else value
        text = as_text(alone)
        parts = [] if text is None else text.split(separator)
        if isinstance(alone, list):
            parts = alone
        lists += count * (len(parts) > 1)
        entries.update({part.strip(): count for each in parts if (part := as_text(each))})
        texts.update({} if text is None else {text.strip(): count})
    if lists >= 0.2 * sum(count for _, count in values):
        return _closed(source, "multi_enum", entries, share, "lists")
    total = sum(count for _, count in values)
    if len(texts) == 1 and total >= 2:
        return LeftOut(source, f"the same everywhere: {next(iter(texts))[:40]}")
    are_booleans = all(isinstance(value, bool) for value, _ in values)
    if not texts and not are_booleans:
        return LeftOut(source, "neither texts nor numbers")
    mean = sum(len(text) * count for text, count in texts.items()) / max(1, texts.total())
    return scalar(Cells(source, texts, share, mean, has_booleans=are_booleans))


def _localized(source: str, keys: Counter[str], share: float) -> Iterator[Guess]:
    languages = [key for key, _ in sorted(keys.items(), key=lambda each: (-each[1], each[0]))]
    first = [f"{source}.{key}" for key in languages]
    options: dict[str, Any] = {"type": "string", "from": first}
    why = f"the first of {len(languages)} languages that has one"
    yield Guess(f"{source}.first", options, share, (), why, mean_chars=20)
    why = f"texts by language: {', '.join(languages[:8])}"
    yield Guess(source, {"type": "localized", "in_text": False}, share, (), why)


def _listed(
    source: str, cells: Sequence[tuple[Any, int]], found: ColumnFormat, share: float
) -> Guess | LeftOut:
    is_path = found.format == "path" or found.path_separator
    if is_path:
        found = _without_root(cells, found)
    counts: Counter[str] = Counter()
    for cell, count in cells:
        parts = (
            split_paths(cell, found)
            if is_path
            else [as_text(each) for each in split_list(cell, found)]
        )
        counts.update({part: count for part in parts if part})
    if not is_path and _are_sentences(source, counts):
        mean = sum(map(len, counts)) / len(counts)
        why = "lists of texts"
        some = tuple(counts)[:3]
        options = {"type": "string"}
        return Guess(source, options, share, some, why, found, mean_chars=mean)
    why = "category paths" if is_path else "lists whose entries come again and again"
    guessed = _closed(source, "category" if is_path else "multi_enum", counts, share, why)
    return guessed if isinstance(guessed, LeftOut) else replace(guessed, column_format=found)


def _are_sentences(source: str, counts: Counter[str]) -> bool:
    """Return whether the entries of lists are texts, each for itself, and no closed list."""
    if not counts:
        return False
    long = sum(len(entry) > MAX_ENTRY_CHARS for entry in counts) >= 0.5 * len(counts)
    return long or is_called(key_of(source), "text")


def _without_root(cells: Sequence[tuple[Any, int]], found: ColumnFormat) -> ColumnFormat:
    """Return the format, told to ignore a first step that nearly all paths begin with: it says
    nothing.
    """
    firsts = Counter(
        path.split(PATH_SEPARATOR)[0]
        for cell, _ in cells
        for path in split_paths(cell, found)
        if path
    )
    step, count = firsts.most_common(1)[0] if firsts else ("", 0)
    if count < 0.95 * max(1, firsts.total()) or found.format == "path":
        return found
    return found.model_copy(update={"ignore": (step,)})


def _closed(
    source: str, kind: str, values: Counter[str], share: float, why: str
) -> Guess | LeftOut:
    listed = distinct(values)
    if not listed:
        return LeftOut(source, "lists of nothing")
    if len(listed) > MAX_LIST_VALUES:
        return LeftOut(
            source,
            f"{len(listed):,} different entries, too many for a closed list; add the values that "
            "matter",
        )
    return Guess(
        source,
        {"type": kind, "values": listed},
        share,
        tuple(listed[:3]),
        f"{why}, {len(listed)} of them",
    )


def merged(guesses: Sequence[Guess]) -> list[Guess]:
    """Merge closed lists of the same name in several columns into one attribute.

    It takes the first column that has a value.
    """
    found: list[Guess] = []
    places: dict[str, int] = {}
    for each in guesses:
        place = places.get(key_of(each.source))
        if place is None:
            places[key_of(each.source)] = len(found)
            found.append(each)
        elif {each.options["type"], found[place].options["type"]} <= {"enum", "multi_enum"}:
            found[place] = _together(found[place], each)
        else:
            found.append(each)
    return found


def _together(one: Guess, other: Guess) -> Guess:
    kinds = {one.options["type"], other.options["type"]}
    options = {
        **one.options,
        "type": "multi_enum" if "multi_enum" in kinds else "enum",
        "values": distinct(Counter([*one.options["values"], *other.options["values"]])),
        "from": [*one.options.get("from", [one.source]), other.source],
    }
    formats = (*one.more_formats, (other.column or other.source, other.column_format))
    share = min(1.0, one.known_share + other.known_share)
    return replace(one, options=options, known_share=share, more_formats=formats)

"""What a column means: its attribute type, closed list, unit and role, each with the reason why.

Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.drafting.profile import MAX_SAMPLES, Column
from pipelines.drafting.shapes import ONE_VALUE, are_urls, is_html, shape_of
from schemas.attributes import PATH_SEPARATOR
from schemas.template import ColumnFormat
from schemas.texts import one_line
from schemas.units import is_unit
from transforms.extraction.cells import as_mapping, as_text, is_null, split_list, split_paths
from transforms.extraction.identifiers import normalise_identifier
from transforms.extraction.plain_text import decode_entities
from transforms.extraction.quantities import parse_number, parse_quantity
from transforms.normalise.timestamps import parse_event_ts

MAX_LIST_VALUES = 300
MAX_ENUM_CHARS = 40
MIN_MEAN_COUNT = 3
MIN_SHARE = 0.95
TEXT_CHARS = 80
SCHEMES = ("gtin", "isbn", "issn")
_TRUE, _FALSE = (
    frozenset(["yes", "true", "y", "1", "ja", "oui", "si"]),
    frozenset(["no", "false", "n", "0", "nein"]),
)
_AMOUNT = re.compile(r"[\d.,]+\s*([^\W\d_]{1,12}|%)$")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z]{2,4})?$")
# What changes every night says nothing of what an item is, and would make each item a new question.
_RESTLESS = re.compile(
    r"(?:^|_)(?:price|qty|quantity|stock|rank|rating|count|score|views|sales|cost)(?:_|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Guess:
    """An attribute to draft.

    source: the raw column, with `.key`; options: of the attribute's entry, but its name.

    known_share: of the records; examples: some of its texts; why: this type. column_format: of the
    raw column;
    more_formats: of further raw columns that feed it.
    """

    source: str
    options: dict[str, Any] = field(default_factory=dict)
    known_share: float = 0.0
    examples: tuple[str, ...] = ()
    why: str = ""
    column_format: ColumnFormat = ONE_VALUE
    mean_chars: float = 0.0
    more_formats: tuple[tuple[str, ColumnFormat], ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column that the draft does not read, and why."""

    column: str
    why: str


def guess(column: Column, records: int) -> Iterator[Guess | LeftOut]:
    """Yield what to make of a column: an attribute, one for each of its keys, or nothing with the
    reason.
    """
    if not column.filled:
        yield LeftOut(column.name, "empty")
        return
    if column.kind == "mapping":
        yield from _keyed(
            column, [each for each in column.cells() if isinstance(each[0], Mapping)], records
        )
        return
    texts = [each for each in column.samples if isinstance(each, str)]
    shape = shape_of(texts) if column.kind == "text" else None
    if shape is not None and shape.kind == "pairs":
        cells = [(as_mapping(cell, shape.format) or {}, count) for cell, count in column.cells()]
        yield from _keyed(column, cells, records, shape.format)
        return
    written = ONE_VALUE if shape is None else shape.format
    yield _whole(column, records, ColumnFormat(format="list") if column.kind == "list" else written)


def _whole(column: Column, records: int, found: ColumnFormat) -> Guess | LeftOut:
    share = column.filled / max(1, records)
    if len(column.texts) == 1 and column.filled >= 2 and column.kind != "list":
        return LeftOut(column.name, f"the same everywhere: {next(iter(column.texts))[:40]}")
    if column.kind == "list" and _is_path(column):
        found = ColumnFormat(format="path", separator="/")
    if found.format == "text":
        is_boolean = column.kind == "boolean"
        return _scalar(
            column.name, column.texts, share, is_boolean=is_boolean, mean_chars=column.mean_chars
        )
    return _listed(column.name, list(column.cells()), found, share)


def _is_path(column: Column) -> bool:
    """Return whether lists are the steps of one path: each step is always at the same depth, below
    the same one.
    """
    parents: dict[str, set[str]] = {}
    lists = [cell for cell in column.samples if isinstance(cell, list | tuple)]
    for cell in lists:
        steps = [as_text(each) or "" for each in cell]
        for parent, step in zip(["", *steps], steps, strict=False):
            parents.setdefault(step, set()).add(parent)
    deep = sum(len(steps) > 1 for steps in lists)
    return deep >= 0.5 * len(lists) and sum(
        len(each) == 1 for each in parents.values()
    ) >= 0.9 * len(parents)


def _keyed(
    column: Column,
    cells: Sequence[tuple[Mapping[str, Any], int]],
    records: int,
    column_format: ColumnFormat = ONE_VALUE,
) -> Iterator[Guess | LeftOut]:
    """One attribute for each key, or one of all languages.

    cells: taken apart, with how often each came.
    """
    keys: Counter[str] = Counter()
    for cell, count in cells:
        keys.update({key: count for key, value in cell.items() if not is_null(value)})
    if keys and all(_LANGUAGE.match(key) for key in keys) and column_format == ONE_VALUE:
        yield from _localized(column, keys, records)
        return
    total = sum(count for _, count in cells)
    for key, known in keys.items():
        if known < max(2, 0.005 * total):
            yield LeftOut(f"{column.name}.{key}", f"in {known} of {total} records only")
            continue
        values = [(cell[key], count) for cell, count in cells if not is_null(cell.get(key))]
        share = column.filled / max(1, records) * known / max(1, total)
        guessed = _of_key(f"{column.name}.{key}", values, share, column_format.list_separator)
        yield (
            guessed
            if isinstance(guessed, LeftOut)
            else replace(guessed, column_format=column_format)
        )


def _of_key(
    source: str, values: Sequence[tuple[Any, int]], share: float, separator: str
) -> Guess | LeftOut:
    texts, entries = Counter[str](), Counter[str]()
    lists = 0
    for value, count in values:
        text = as_text(value)
        parts = [] if text is None else text.split(separator)
        if isinstance(value, list):
            parts = value
        lists += count * (isinstance(value, list) or len(parts) > 1)
        entries.update({part.strip(): count for each in parts if (part := as_text(each))})
        texts.update({} if text is None else {text.strip(): count})
    if lists >= 0.2 * sum(count for _, count in values):
        return _closed(source, "multi_enum", entries, share, f"lists with {separator!r} in between")
    if len(texts) == 1:
        return LeftOut(source, f"the same everywhere: {next(iter(texts))[:40]}")
    mean = sum(len(text) * count for text, count in texts.items()) / max(1, texts.total())
    return _scalar(source, texts, share, is_boolean=False, mean_chars=mean)


def _localized(column: Column, keys: Counter[str], records: int) -> Iterator[Guess]:
    share = column.filled / max(1, records)
    languages = [key for key, _ in sorted(keys.items(), key=lambda each: (-each[1], each[0]))]
    first = [f"{column.name}.{key}" for key in languages]
    options: dict[str, Any] = {"type": "string", "from": first}
    why = f"the first of {len(languages)} languages that has one"
    yield Guess(f"{column.name}.first", options, share, (), why, mean_chars=20)
    why = f"texts by language: {', '.join(languages[:8])}"
    yield Guess(column.name, {"type": "localized", "in_text": False}, share, (), why)


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
    why = "category paths" if is_path else "lists whose entries come again and again"
    guessed = _closed(source, "category" if is_path else "multi_enum", counts, share, why)
    return guessed if isinstance(guessed, LeftOut) else replace(guessed, column_format=found)


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


def distinct(values: Counter[str]) -> list[str]:
    """Return the values in alphabetical order; of those that differ by case alone the most
    frequent.
    """
    best: dict[str, str] = {}
    for value, _ in sorted(values.items(), key=lambda each: (-each[1], each[0])):
        # As a run reads it: "Lycra&reg;" is Lycra with its mark.
        cleaned = one_line(decode_entities(value), invisible="dropped")
        if cleaned:
            best.setdefault(cleaned.casefold(), cleaned)
    return sorted(best.values())


def _scalar(
    source: str, texts: Counter[str], share: float, *, is_boolean: bool, mean_chars: float
) -> Guess | LeftOut:
    """Return an attribute with one value a cell, by what nearly all of its texts are."""
    some = [text for text, _ in texts.most_common(MAX_SAMPLES)]
    examples = tuple(some[:3])
    if are_urls(some):
        return LeftOut(source, "web addresses")
    if sum(_is_time(text) for text in some) >= MIN_SHARE * len(some) and not is_boolean:
        return LeftOut(source, "times")
    options, why = _typed(texts, some, is_boolean)
    if _RESTLESS.search(source):
        options["in_text"] = False
    return Guess(source, options, share, examples, why, mean_chars=mean_chars)


def _is_time(text: str) -> bool:
    return not text.isdigit() and parse_event_ts(text) is not None


def _typed(
    texts: Counter[str], some: Sequence[str], is_boolean: bool
) -> tuple[dict[str, Any], str]:
    folded = {text.casefold() for text in texts}
    if is_boolean or (len(folded) == 2 and len(folded & _TRUE) == len(folded & _FALSE) == 1):
        terms = {"true_terms": sorted(folded & _TRUE), "false_terms": sorted(folded & _FALSE)}
        return {"type": "boolean", **({} if is_boolean else terms)}, "yes or no"
    for scheme in SCHEMES:
        if (
            _share(some, lambda text, s=scheme: normalise_identifier(s, text) is not None) >= 0.9
            and len(texts) > 3
        ):
            return {"type": "identifier", "scheme": scheme}, f"{scheme.upper()} by its check digit"
    number = _number(texts, some)
    if number is not None:
        return number
    total, listed = texts.total(), distinct(texts)
    long = max((len(text) for text in some), default=0)
    if len(listed) <= min(MAX_LIST_VALUES, total / MIN_MEAN_COUNT) and long <= MAX_ENUM_CHARS:
        return {"type": "enum", "values": listed}, f"{len(listed)} values that come again and again"
    if is_html(some):
        return {"type": "string"}, "text in HTML"
    return {"type": "string"}, "text"


def _share(texts: Sequence[str], holds: Any) -> float:
    return sum(map(holds, texts)) / max(1, len(texts))


def _number(texts: Counter[str], some: Sequence[str]) -> tuple[dict[str, Any], str] | None:
    if _share(some, lambda text: parse_number(text) is not None) >= MIN_SHARE:
        integer = all(
            (number := parse_number(text)) is None or number.is_integer() for text in texts
        )
        return {"type": "number", **({"integer": True} if integer else {})}, "numbers"
    units = Counter(found[1] for text in some if (found := _AMOUNT.match(text)))
    unit = next(
        (
            unit
            for unit, count in units.most_common(1)
            if count >= 0.5 * len(some) and is_unit(unit)
        ),
        None,
    )
    if (
        unit is not None
        and _share(some, lambda text: parse_quantity(text, unit) is not None) >= 0.9
    ):
        return {"type": "number", "unit": unit}, f"amounts in {unit}"
    return None


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
    formats = (*one.more_formats, (other.source, other.column_format))
    share = min(1.0, one.known_share + other.known_share)
    return replace(one, options=options, known_share=share, more_formats=formats)


def key_of(source: str) -> str:
    """Return what a column, or a key of a column, is called."""
    return source.rpartition(".")[2] or source


def with_roles(guesses: Sequence[Guess]) -> list[Guess]:
    """Return the guesses with the title and the texts that others may be filled from.

    The title is the column that is called so, else the text that is there most often and neither
    short nor long.
    """
    texts = [each for each in guesses if each.options["type"] == "string"]
    titles = sorted(texts, key=lambda each: (-_looks_like_title(each), each.source))
    title = titles[0].source if titles and _looks_like_title(titles[0]) > 0 else None
    result = []
    for each in guesses:
        role = None
        if each.source == title:
            role = "title"
        elif each.options["type"] == "string" and each.mean_chars >= TEXT_CHARS:
            role = "text"
        elif (
            each.options["type"] == "localized"
            and title is not None
            and title.startswith(f"{each.source}.")
        ):
            role = "title"
        result.append(
            each if role is None else replace(each, options={**each.options, "role": role})
        )
    return result


_TITLE = re.compile(
    r"(?:^|_|\b)(?:title|titles|name|product_?name|label|headline|titel|namn|nom)(?:$|_|\b)",
    re.IGNORECASE,
)


def _looks_like_title(each: Guess) -> float:
    named = 2.0 if _TITLE.search(each.source.partition(".")[0]) else 0.0
    fits = 1.0 if 8 <= each.mean_chars <= 150 else 0.0
    return (named + fits) * each.known_share if each.mean_chars <= 300 else 0.0

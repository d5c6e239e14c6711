"""One cell → the value of an attribute in normalised form, or the flags that say why it is none.

A reader is compiled once for an attribute. It answers (None, ()) for a cell of which nothing
remains, such as `<p></p>` or a list of ignored entries; it never raises, whatever the cell holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

from schemas.attribute_types.number import AMOUNT_PARTS
from schemas.attribute_types.registry import AttributeType
from schemas.attributes import PATH_SEPARATOR, Attribute
from schemas.elements import Flag, Value
from schemas.template import ColumnFormat
from transforms.extraction.cells import (
    as_mapping,
    as_text,
    given_text,
    is_null,
    split_list,
    split_paths,
)
from transforms.extraction.compounds import find_parts, states_a_pack, states_sides
from transforms.extraction.gazetteer import Gazetteer
from transforms.extraction.identifiers import normalise_identifier
from transforms.extraction.plain_text import to_plain_text, to_single_line
from transforms.extraction.quantities import parse_number, parse_quantity

Reading = tuple[Value | None, tuple[Flag, ...]]
# (cell, how its column is written, whether it stood under a key of the column's cell) → Reading
CellReader = Callable[[Any, ColumnFormat, bool], Reading]

_NOTHING: Reading = (None, ())
_SHOWN_CHARS = 80
_INTEGER_LIMIT = 2.0**53
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")
_IDENTIFIER_CHARS = re.compile(r"[\d\sXx\u2010-\u2013-]+")


def compile_reader(attribute: Attribute, sibling_units: tuple[str, ...] = ()) -> CellReader:
    """The function that reads the attribute's cells.

    sibling_units: of attributes that read the same column but measure something else, as a net
    content is given
      in grams or in millilitres. An amount that is one of theirs is not this attribute's, and no
      mistake.
    """
    if attribute.spec.has_closed_list:
        gazetteer = Gazetteer.build(
            attribute.values, leaf_only=attribute.type is AttributeType.CATEGORY
        )
        exact = lru_cache(maxsize=4096)(gazetteer.exact)
        readers = {AttributeType.ENUM: _read_enum, AttributeType.CATEGORY: _read_category}
        return partial(readers.get(attribute.type, _read_multi_enum), attribute, exact)
    if attribute.type is AttributeType.NUMBER:
        return partial(_read_number, attribute, sibling_units)
    return partial(_OPEN_READERS[attribute.type], attribute)


def shorten(value: Any) -> str:
    """A value for a message: in quotes, cut after 80 characters."""
    text = given_text(value)
    shown = (
        text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}… ({len(text):,} characters)"
    )
    return f"'{shown}'" if isinstance(value, str) else shown


def _flagged(attribute: Attribute, reason: str, detail: str) -> Reading:
    return None, (Flag(reason, attribute.name, detail),)


def _read_string(attribute: Attribute, cell: Any, column: ColumnFormat, keyed: bool) -> Reading:
    """Several entries are joined: by a newline in a text, by a comma elsewhere."""
    if column.format == "path" or column.path_separator:
        entries: list[Any] = list(split_paths(cell, column, keyed=keyed))
    else:
        entries = split_list(cell, column, keyed=keyed)
    texts = [as_text(entry) for entry in entries]
    if None in texts:
        return _flagged(
            attribute,
            "value-wrong-type",
            f"{shorten(cell)} is no text; write text or a list of texts",
        )
    is_prose = attribute.role == "text"
    clean = to_plain_text if is_prose else to_single_line
    cleaned = [clean(text) for text in texts if text is not None]
    return _checked_text(
        attribute, ("\n" if is_prose else ", ").join(text for text in cleaned if text)
    )


def _checked_text(attribute: Attribute, text: str) -> Reading:
    if not text:
        return _NOTHING
    if len(text) > attribute.max_length:
        allowed = f"is {len(text):,} characters long, allowed are {attribute.max_length:,}"
        return _flagged(attribute, "value-too-long", f"{shorten(text)} {allowed}")
    if attribute.pattern is not None and not re.fullmatch(attribute.pattern, text):
        return _flagged(
            attribute,
            "value-pattern-mismatch",
            f"{shorten(text)} does not match {attribute.pattern}",
        )
    return text, ()


def _read_number(
    attribute: Attribute,
    sibling_units: tuple[str, ...],
    cell: Any,
    column: ColumnFormat,
    keyed: bool,
) -> Reading:
    entry, problem = _single(attribute, cell, column, keyed)
    if entry is None:
        return problem
    text = to_single_line(entry) if isinstance(entry, str) else as_text(entry) or ""
    unit = f" {attribute.unit}" if attribute.unit else ""
    if sibling_units and parse_number(text) is not None:
        others = " or ".join(sibling_units)
        return _flagged(
            attribute,
            "value-wrong-type",
            f"{shorten(entry)} may mean{unit} or {others}; write the unit",
        )
    number = _number(attribute, entry)
    if number is None and (
        any(parse_quantity(text, sibling) is not None for sibling in sibling_units)
        or _states_other_parts(attribute, text)
    ):
        return _NOTHING
    if number is None or not math.isfinite(number):
        example = f"a number, or an amount that converts to{unit}" if unit else "a number"
        return _flagged(
            attribute, "value-wrong-type", f"{shorten(entry)} is no number here; write {example}"
        )
    if attribute.integer and not number.is_integer():
        return _flagged(attribute, "value-wrong-type", f"{shorten(entry)} is no whole number")
    # An integer column is 64 bits wide, and a float counts in ones only up to 2**53.
    low, high = (
        bound if bound is not None or not attribute.integer else limit
        for bound, limit in ((attribute.min, -_INTEGER_LIMIT), (attribute.max, _INTEGER_LIMIT))
    )
    if (low is not None and number < low) or (high is not None and number > high):
        limits = (("at least", low), ("at most", high))
        bounds = " and ".join(
            f"{side} {bound:.10g}{unit}" for side, bound in limits if bound is not None
        )
        return _flagged(
            attribute,
            "value-out-of-range",
            f"{shorten(entry)} is {number:.10g}{unit}; allowed: {bounds}",
        )
    return number, ()


def _number(attribute: Attribute, entry: Any) -> float | None:
    if isinstance(entry, str):
        text = to_single_line(entry)
        if attribute.part is not None:
            amounts = {
                quantity.amount for quantity in find_parts(text, attribute.part, attribute.unit)
            }
            if amounts:
                return amounts.pop() if len(amounts) == 1 else None
        return parse_quantity(text, attribute.unit) if attribute.unit else parse_number(text)
    if isinstance(entry, int | float | Decimal) and not isinstance(entry, bool):
        try:
            return float(entry)
        except (OverflowError, ValueError):
            return None
    return None


def _states_other_parts(attribute: Attribute, text: str) -> bool:
    """Whether the cell holds a part of a compound that is not this attribute's: columns of such
    cells are shared.
    """
    if attribute.part is None or find_parts(text, attribute.part, attribute.unit):
        return False
    if attribute.part == "pack_count":
        return any(parse_quantity(text, unit) is not None for unit in ("g", "ml"))
    return states_a_pack(text) if attribute.part in AMOUNT_PARTS else states_sides(text)


def _read_boolean(attribute: Attribute, cell: Any, column: ColumnFormat, keyed: bool) -> Reading:
    entry, problem = _single(attribute, cell, column, keyed)
    if entry is None:
        return problem
    if isinstance(entry, bool):
        return entry, ()
    text = as_text(entry)
    term = "" if text is None else to_single_line(text).casefold()
    for terms, value in ((attribute.true_terms, True), (attribute.false_terms, False)):
        if any(term == candidate.casefold() for candidate in terms):
            return value, ()
    allowed = ", ".join([*attribute.true_terms, *attribute.false_terms])
    return _flagged(
        attribute, "value-wrong-type", f"{shorten(entry)} is neither yes nor no; allowed: {allowed}"
    )


def _read_identifier(attribute: Attribute, cell: Any, column: ColumnFormat, keyed: bool) -> Reading:
    entry, problem = _single(attribute, cell, column, keyed)
    if entry is None:
        return problem
    text = as_text(entry)
    if text is None:
        return _flagged(
            attribute, "value-wrong-type", f"{shorten(entry)} is no identifier; write text"
        )
    compact: str | None = to_single_line(text)
    if compact and attribute.scheme is not None and attribute.scheme != "any":
        looks_right = _IDENTIFIER_CHARS.fullmatch(compact)
        compact = normalise_identifier(attribute.scheme, compact)
        if compact is None:
            reason = "value-bad-check-digit" if looks_right else "value-wrong-type"
            expected = f"is no {attribute.scheme.upper()}: its length or check digit is wrong"
            return _flagged(attribute, reason, f"{shorten(entry)} {expected}")
    return _checked_text(attribute, compact or "")


def _read_localized(attribute: Attribute, cell: Any, column: ColumnFormat, _keyed: bool) -> Reading:
    """Language tags are written with hyphens (`zh_TW` is `zh-TW`) and sorted."""
    by_language = as_mapping(cell, column)
    if by_language is None:
        expected = "is no text by language; write an object such as {'en': 'Apple'}"
        return _flagged(attribute, "value-wrong-type", f"{shorten(cell)} {expected}")
    texts: dict[str, str] = {}
    flags = []
    wanted = {_language(language) for language in attribute.languages}
    for key, entry in by_language.items():
        text, language = as_text(entry), _language(key)
        if is_null(entry, frozenset(["", *map(str.casefold, column.ignore)])):
            continue
        if text is None or language is None:
            detail = f"{shorten(key)}: {shorten(entry)} is no text under a language code"
            flags.append(Flag("value-wrong-type", attribute.name, detail))
        elif wanted and language not in wanted:
            allowed = ", ".join(attribute.languages)
            flags.append(
                Flag(
                    "value-not-in-list",
                    attribute.name,
                    f"language {shorten(key)}; allowed: {allowed}",
                )
            )
        else:
            clean = to_plain_text if attribute.role == "text" else to_single_line
            checked, problems = _checked_text(attribute, clean(text))
            flags += problems
            if isinstance(checked, str):
                texts.setdefault(language, checked)
    return dict(sorted(texts.items())) or None, tuple(dict.fromkeys(flags))


@lru_cache(maxsize=1024)
def _language(key: str) -> str | None:
    """A BCP 47 tag in its usual case, `zh-TW`; None for what is none."""
    if not _LANGUAGE.fullmatch(key.strip()):
        return None
    first, *rest = re.split("[-_]", key.strip())
    styled = {2: str.upper, 4: str.title}
    return "-".join([first.lower(), *(styled.get(len(part), str.lower)(part) for part in rest)])


_OPEN_READERS: dict[AttributeType, Callable[[Attribute, Any, ColumnFormat, bool], Reading]] = {
    AttributeType.STRING: _read_string,
    AttributeType.BOOLEAN: _read_boolean,
    AttributeType.IDENTIFIER: _read_identifier,
    AttributeType.LOCALIZED: _read_localized,
}

Exact = Callable[[str], str | None]


def _read_enum(
    attribute: Attribute, exact: Exact, cell: Any, column: ColumnFormat, keyed: bool
) -> Reading:
    known, unknown, untyped = _look_up(exact, split_list(cell, column, keyed=keyed))
    if len(known) == 1 and not unknown and not untyped:
        return known[0], ()
    if len(known) + len(unknown) > 1:
        expected = "gives several values; write one, or use type multi_enum"
        return _flagged(attribute, "value-wrong-type", f"{shorten(cell)} {expected}")
    return None, _closed_list_flags(attribute, unknown, untyped)


def _read_multi_enum(
    attribute: Attribute, exact: Exact, cell: Any, column: ColumnFormat, keyed: bool
) -> Reading:
    """Known values in the order of the template's list; unknown ones are flagged and left out."""
    known, unknown, untyped = _look_up(exact, split_list(cell, column, keyed=keyed))
    ordered = [choice.value for choice in attribute.values if choice.value in known]
    return ordered or None, _closed_list_flags(attribute, unknown, untyped)


def _read_category(
    attribute: Attribute, exact: Exact, cell: Any, column: ColumnFormat, keyed: bool
) -> Reading:
    """The deepest given path that the list knows, the first of several; the others are no mistake
    then.
    """
    paths = split_paths(cell, column, keyed=keyed)
    known, unknown, untyped = _look_up(exact, paths)
    if known:
        return max(known, key=lambda path: path.count(PATH_SEPARATOR)), ()
    return None, _closed_list_flags(attribute, unknown, [cell] if untyped else [])


def _look_up(exact: Exact, entries: Iterable[Any]) -> tuple[list[str], list[str], list[Any]]:
    """Distinct list values, distinct texts that are in no list, and entries that are no text."""
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
        given = ", ".join(shorten(text) for text in unknown[:5]) + (
            " …" if len(unknown) > 5 else ""
        )
        allowed = ", ".join(choice.value for choice in attribute.values[:8])
        more = f" and {len(attribute.values) - 8} more" if len(attribute.values) > 8 else ""
        flags.append(
            Flag(
                "value-not-in-list",
                attribute.name,
                f"{given} not in the list; allowed: {allowed}{more}",
            )
        )
    if untyped:
        detail = f"{shorten(untyped[0])} is no text; write a value of the list"
        flags.append(Flag("value-wrong-type", attribute.name, detail))
    return tuple(flags)


def _single(
    attribute: Attribute, cell: Any, column: ColumnFormat, keyed: bool
) -> tuple[Any, Reading]:
    """The one entry of a cell, or None and what to answer: nothing, or that there are several."""
    entries = split_list(cell, column, keyed=keyed)
    if len(entries) == 1 or (entries and all(entry == entries[0] for entry in entries)):
        return entries[0], _NOTHING
    if not entries:
        return None, _NOTHING
    return None, _flagged(
        attribute, "value-wrong-type", f"{shorten(cell)} gives several values; write one"
    )

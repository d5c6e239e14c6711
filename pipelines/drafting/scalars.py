"""What cells with one value each are: numbers, amounts, codes, dates, closed lists or texts.

Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.drafting.findings import Guess, LeftOut, key_of
from pipelines.drafting.money import price_type
from pipelines.drafting.names import has_word, is_called, words_of
from pipelines.drafting.profile import MAX_SAMPLES
from pipelines.drafting.shapes import are_urls, is_html
from schemas.lexicons import every
from schemas.texts import one_line
from schemas.units import is_unit, same_kind
from transforms.extraction.dates.written import date_readings
from transforms.extraction.identifiers import normalise_identifier
from transforms.extraction.plain_text import decode_entities
from transforms.extraction.quantities import parse_number, parse_quantity
from transforms.normalise.column_units import unit_of_name
from transforms.normalise.timestamps import is_moment

MAX_LIST_VALUES = 300
MAX_ENUM_CHARS = 40
MIN_MEAN_COUNT = 3
MIN_SHARE = 0.95
# Of the texts with a digit, in a column that is called as a price or a rating is.
MIN_NUMBERS_IN_NAMED = 0.5
SCHEMES: tuple[Literal["gtin", "isbn", "issn"], ...] = ("gtin", "isbn", "issn")
_SCHEME_WORDS = {"gtin": ("gtin", "ean", "upc", "barcode"), "isbn": ("isbn",), "issn": ("issn",)}
MAX_ABSENT = 3
# One of each kind that catalogs measure; amounts in several units of a kind are in the first.
BASE_UNITS = ("g", "ml", "cm", "W", "minute", "V", "GB", "Hz", "lumen", "Wh", "degree_Celsius")
# At the end of a name these are mostly other words: "made_in", "price_min", "size_m".
_MOSTLY_WORDS = frozenset(["in", "min", "mins", "day", "days", "month", "year", "percent"])
_TRUE, _FALSE = (
    frozenset(["yes", "true", "y", "1", "ja", "oui", "si"]),
    frozenset(["no", "false", "n", "0", "nein"]),
)
_AMOUNT = re.compile(r"[\d.,]+\s*([^\W\d_][^\d,;:]{0,18}|%)$")
_LEADING_ZERO = re.compile(r"0\d{2,}$")


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a column, or of a key inside one.

    source: the column, with `.key`; share: of the records that have a value; mean_chars: of a
    text; unit: that bare numbers are in, by a column of units; currency_column: of prices;
    has_booleans: whether they are none of text.
    """

    source: str
    texts: Counter[str]
    share: float
    mean_chars: float
    unit: str | None = None
    unit_column: str | None = None
    currency_column: str | None = None
    has_booleans: bool = False

    @property
    def some(self) -> list[str]:
        """The most frequent texts."""
        return [text for text, _ in self.texts.most_common(MAX_SAMPLES)]


def scalar(cells: Cells) -> Guess | LeftOut:
    """Return an attribute with one value a cell, by what nearly all of its texts are."""
    some = cells.some
    if are_urls(some):
        return LeftOut(cells.source, "web addresses")
    if not cells.has_booleans and _are_times(cells.source, some):
        return LeftOut(cells.source, "times")
    options, why = _typed(cells, some)
    if _is_restless(cells.source, options):
        options["in_text"] = False
    return Guess(
        cells.source, options, cells.share, tuple(some[:3]), why, mean_chars=cells.mean_chars
    )


def _are_times(source: str, some: Sequence[str]) -> bool:
    """Return whether these are times of day, or say when a record changed."""
    times = [text for text in some if not text.isdigit() and is_moment(text)]
    if len(times) < MIN_SHARE * len(some):
        return False
    return is_called(source, "changed") or any(":" in text for text in times)


def _is_restless(source: str, options: dict[str, Any]) -> bool:
    """Return whether it changes every night, so that it says nothing of what an item is, and would
    make each item a new question.
    """
    named = has_word(key_of(source), "restless") or has_word(key_of(source), "price")
    kinds = ("number", "money", "boolean", "string")
    return named and "unit" not in options and options["type"] in kinds


def _typed(cells: Cells, some: Sequence[str]) -> tuple[dict[str, Any], str]:
    folded = {text.casefold() for text in cells.texts}
    if cells.has_booleans or (
        len(folded) == 2 and len(folded & _TRUE) == len(folded & _FALSE) == 1
    ):
        terms = {"true_terms": sorted(folded & _TRUE), "false_terms": sorted(folded & _FALSE)}
        return {"type": "boolean", **({} if cells.has_booleans else terms)}, "yes or no"
    found = _code(cells, some) or _price(cells, some) or _number(cells, some) or _date(some)
    if found is not None:
        return found
    total, listed = cells.texts.total(), distinct(cells.texts)
    long = max((len(text) for text in some), default=0)
    if len(listed) <= min(MAX_LIST_VALUES, total / MIN_MEAN_COUNT) and long <= MAX_ENUM_CHARS:
        return {"type": "enum", "values": listed}, f"{len(listed)} values that come again and again"
    return {"type": "string"}, "text in HTML" if is_html(some) else "text"


def _code(cells: Cells, some: Sequence[str]) -> tuple[dict[str, Any], str] | None:
    """Return an identifier, by its check digit or by the column's name and form."""
    name = key_of(cells.source)
    for scheme in SCHEMES:
        valid = sum(normalise_identifier(scheme, text) is not None for text in some)
        share = valid / max(1, len(some))
        if share >= 0.9 and len(cells.texts) > 3:
            return {"type": "identifier", "scheme": scheme}, f"{scheme.upper()} by its check digit"
        if share >= 0.5 and _is_called_scheme(name, scheme):
            return {
                "type": "identifier",
                "scheme": scheme,
            }, f"called and formed like {scheme.upper()}"
    if any(_is_called_scheme(name, scheme) for scheme in SCHEMES):
        return {
            "type": "identifier",
            "scheme": "any",
        }, "called like a code of trade, check digits are wrong"
    if _share(some, lambda text: _LEADING_ZERO.match(text) is not None) >= 0.1:
        all_digits = _share(some, str.isdigit) >= MIN_SHARE
        if all_digits:
            return {"type": "identifier", "scheme": "any"}, "codes with zeros in front"
    is_repeated = len(cells.texts) < 0.9 * cells.texts.total()
    words = _share(some, lambda text: " " in text.strip())
    if is_called(name, "id") and not is_repeated and words < 0.1 and cells.texts.total() > 1:
        return {"type": "identifier", "scheme": "any", "in_text": False}, "codes, one a record"
    return None


def _is_called_scheme(name: str, scheme: Literal["gtin", "isbn", "issn"]) -> bool:
    words = words_of(name)
    spelled = every(lambda lexicon: lexicon.identifier_labels.get(scheme, ()))
    return any(word in _SCHEME_WORDS[scheme] for word in words) or any(
        set(words_of(label)) <= set(words) for label in spelled
    )


def _price(cells: Cells, some: Sequence[str]) -> tuple[dict[str, Any], str] | None:
    found = price_type(key_of(cells.source), some, cells.currency_column)
    if found is None:
        return None
    asked = [text for text in some if any(map(str.isdigit, text))]
    return {**found[0], **_absent(asked, some)}, found[1]


def _number(cells: Cells, some: Sequence[str]) -> tuple[dict[str, Any], str] | None:
    name = key_of(cells.source)
    is_named = has_word(name, "restless")
    asked = [text for text in some if any(map(str.isdigit, text))] if is_named else some
    least = MIN_NUMBERS_IN_NAMED if is_named else MIN_SHARE
    if asked and _share(asked, lambda text: parse_number(text) is not None) >= least:
        options: dict[str, Any] = {"type": "number"}
        unit = cells.unit or unit_of_header(name)
        if unit is not None:
            options["unit"] = unit
        elif _are_whole(cells.texts):
            options["integer"] = True
        what = "numbers"
        if cells.unit_column:
            what += f", their unit in {cells.unit_column}"
        elif unit is not None:
            what += f" in {unit} by the column's name"
        return {**options, **_absent(asked, some)}, what
    unit = _unit_of_amounts(some)
    return None if unit is None else ({"type": "number", "unit": unit}, f"amounts in {unit}")


def _absent(numbers: Sequence[str], some: Sequence[str]) -> dict[str, Any]:
    """Name the few texts that stand where there is no number."""
    others = [text for text in some if text not in set(numbers)]
    return {"absent": others} if 0 < len(others) <= MAX_ABSENT else {}


def _are_whole(texts: Counter[str]) -> bool:
    """Return whether no number is written with decimals: `999.0` is a float that may be 999.5
    tomorrow.
    """
    return all(
        (number := parse_number(text)) is None or (number.is_integer() and text.isdigit())
        for text in texts
    )


def unit_of_header(name: str) -> str | None:
    """Return the unit that a column's name ends with, of whatever kind.

    >>> [unit_of_header(name) for name in ("Weight (kg)", "width_cm", "made_in", "Height [in]")]
    ['kg', 'cm', None, 'in']
    """
    is_in_brackets = name.rstrip().endswith((")", "]"))
    for base in BASE_UNITS:
        found = unit_of_name(name, base)
        if found is None or not is_unit(found):
            continue
        bare = found.casefold()
        if is_in_brackets or (len(bare) > 1 and bare not in _MOSTLY_WORDS):
            return found if found in ("W", "V", "GB", "Wh", "Hz") else found.casefold()
    return None


def _unit_of_amounts(some: Sequence[str]) -> str | None:
    """Return the unit of texts such as "1.5 kg"; of several units of a kind the usual one."""
    units = Counter(found[1].strip() for text in some if (found := _AMOUNT.match(text)))
    for unit, _ in units.most_common(3):
        if not is_unit(unit):
            continue
        alike = [other for other in units if is_unit(other) and same_kind(other, unit)]
        base = next((base for base in BASE_UNITS if same_kind(base, unit)), unit)
        chosen = unit if len({other.casefold() for other in alike}) == 1 else base
        if sum(parse_quantity(text, chosen) is not None for text in some) >= 0.9 * len(some):
            return chosen
    return None


def _date(some: Sequence[str]) -> tuple[dict[str, Any], str] | None:
    are_years = all(text.isdigit() for text in some)
    if not are_years and _share(some, lambda text: bool(date_readings(text))) >= MIN_SHARE:
        return {"type": "date"}, "dates"
    return None


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


def _share(texts: Sequence[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, texts)) / max(1, len(texts))

"""Closed lists that nobody has to type: names of languages, countries and colours as choices of a
template.

(vocabulary, locales, choices of the template) → choices. Names of languages and countries are those
of the Unicode CLDR through babel, the lists themselves are ISO 639-1 and ISO 3166-1. Colours
stand in `schemas/colors.yaml`, for words and pictures; what they are called, in the lexicons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Literal

from schemas.choices import Choice
from schemas.lexicons import Names, every, lexicons
from schemas.strict_yaml import decode
from schemas.texts import fold

if TYPE_CHECKING:
    from babel import Locale

Vocabulary = Literal["languages", "countries", "colors"]
Rgb = tuple[int, int, int]

# CLDR also names what ISO 3166-1 only reserves or leaves to users, and one language code that ISO
# 639 withdrew.
_RESERVED = frozenset(["AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN"])
_USER_ASSIGNED = re.compile(r"AA|Q[M-Z]|X[A-Z]|ZZ")
_WITHDRAWN = frozenset(["sh"])
# As a cell "NA" says that nothing is known, more often than Namibia.
_UNSAFE_CODES = frozenset(["NA"])


@dataclass(frozen=True, slots=True)
class Color:
    """A basic colour.

    anchors: name → sRGB values that pictures call so, 0 to 255; empty for names that no picture is
    given. What texts call it stands in the lexicons.
    """

    value: str
    anchors: dict[str, tuple[Rgb, ...]]


@cache
def basic_colors() -> tuple[Color, ...]:
    """Return the basic colours of `schemas/colors.yaml`, in the order of a list to choose from."""
    text = (resources.files("schemas") / "colors.yaml").read_text("utf-8")
    anchors = decode(text, "schemas/colors.yaml", dict[str, dict[str, tuple[Rgb, ...]]])
    return tuple(Color(value, named) for value, named in anchors.items())


def resolve(
    vocabulary: Vocabulary, locales: Sequence[str], given: Sequence[Choice]
) -> tuple[Choice, ...]:
    """Return the vocabulary's choices with those of the template worked in; the template's word
    counts.

    A choice of the template that names an entry's value, as its own value or a synonym, takes that
    entry's place and names. Other names that it gives, or keeps to cells, leave their entries. What
    names no entry comes last.
    given: no two of them have a name in common. Resolving what was resolved changes nothing.
    Raises ValueError for a language that CLDR knows no names in.

    >>> given = (Choice(value="Navy"), Choice(value="Sky", synonyms=("blue",)))
    >>> [choice.value for choice in resolve("colors", ("en",), given)][8:]
    ['Sky', 'Purple', 'Pink', 'Brown', 'Beige', 'Gold', 'Silver', 'Navy']
    """
    entries = list(_entries(vocabulary, tuple(dict.fromkeys(locales))))
    added: list[Choice] = []
    for choice in given:
        own = {_key(name) for name in choice.names}
        met = [i for i, entry in enumerate(entries) if _key(entry.value) in own]
        if met:
            merged = _merge(choice, [entries[i] for i in met])
            entries[met[0]] = merged
            entries = [
                e if i == met[0] else _without(e, own)
                for i, e in enumerate(entries)
                if i not in met[1:]
            ]
        else:
            entries = [_without(entry, own) for entry in entries]
            added.append(choice)
    return (*entries, *added)


def check_locale(locale: str) -> None:
    """Raise ValueError when CLDR has no names in that language."""
    _locale(locale)


@lru_cache(maxsize=64)
def _entries(vocabulary: Vocabulary, locales: tuple[str, ...]) -> tuple[Choice, ...]:
    makers = {"languages": _languages, "countries": _countries, "colors": _colors}
    return tuple(_unshared(list(makers[vocabulary](locales))))


def _languages(locales: tuple[str, ...]) -> Iterator[Choice]:
    """ISO 639-1 codes with the languages' names; three-letter codes (ISO 639-2) count in cells."""
    from babel.core import get_global

    codes = sorted(
        code for code in _names("en", "languages") if len(code) == 2 and code not in _WITHDRAWN
    )
    longer: dict[str, list[str]] = {}
    for alias, code in get_global("language_aliases").items():
        if len(alias) == 3:
            longer.setdefault(code, []).append(alias)
    for code in codes:
        names = [
            name
            for locale in locales
            for name in _spellings(_names(locale, "languages").get(code, ""))
        ]
        for more in _more_names(locales):
            names += more.languages.get(code, ())
        yield _choice(code, names, [code, *sorted(longer.get(code, ()))])


def _countries(locales: tuple[str, ...]) -> Iterator[Choice]:
    """CLDR's English short names of ISO 3166-1's countries, by the alphabet; codes count in
    cells.
    """
    from babel.core import get_global

    english = _names("en", "territories")
    codes = [
        c
        for c in english
        if re.fullmatch("[A-Z]{2}", c) and c not in _RESERVED and not _USER_ASSIGNED.match(c)
    ]
    longer: dict[str, list[str]] = {}
    for alias, (code, *more) in get_global("territory_aliases").items():
        if re.fullmatch("[A-Z]{3}", alias) and not more:
            longer.setdefault(code, []).append(alias)
    choices = []
    for code in codes:
        own, *rest = _spellings(english[code])
        for more in _more_names(locales):
            rest += more.countries.get(code, ())
        names = [
            name
            for locale in locales
            for name in _spellings(_names(locale, "territories").get(code, ""))
        ]
        cells = [c for c in (code, *sorted(longer.get(code, ()))) if c not in _UNSAFE_CODES]
        choices.append(_choice(own, [*rest, *names], cells))
    yield from sorted(choices, key=lambda choice: _key(choice.value))


def _colors(locales: tuple[str, ...]) -> Iterator[Choice]:
    languages = [_locale(locale).language for locale in locales]
    for color in basic_colors():
        spoken = [
            name for more in _more_names(languages) for name in more.colors.get(color.value, ())
        ]
        cells = [
            name for more in _more_names(locales) for name in more.color_cells.get(color.value, ())
        ]
        yield _choice(color.value, [*color.anchors, *spoken], cells)


def _more_names(locales: Sequence[str]) -> list[Names]:
    """Return the names that the lexicons have beside the Unicode CLDR, in the order of locales."""
    return [lexicons()[locale].names for locale in locales if locale in lexicons()]


def _spellings(name: str) -> list[str]:
    """Return a name as people write it: without an addition in brackets, which is a name too, and
    without its legal status.

    >>> _spellings("Myanmar (Burma)"), _spellings("Hong Kong SAR China"), _spellings("St. Lucia")
    (['Myanmar', 'Burma'], ['Hong Kong', 'Hong Kong SAR China'], ['St. Lucia', 'Saint Lucia'])
    """
    if not name:
        return []
    if match := re.fullmatch(r"(.+?) \((.+)\)", name):
        # An addition that is not a name, as in "(Dutch part)", is written small.
        return [match[1], match[2]] if match[2][0].isupper() else [match[1]]
    short = re.sub(r"[ ,]+(?:SAR|S\.A\.R\.)\b.*$", "", name)
    saint = re.sub(r"^St\. ", "Saint ", name)
    return list(dict.fromkeys([short, name, saint]))


def _choice(value: str, names: Iterable[str], cells: Sequence[str]) -> Choice:
    """Return a choice whose names are each written once; words that mean something else are kept to
    cells.
    """
    seen = {_key(value): value}
    for name in names:
        seen.setdefault(_key(name), name)
    words = [name for key, name in seen.items() if key in _other_meanings()]
    synonyms = [name for name in list(seen.values())[1:] if name not in words]
    codes = [code for code in cells if _key(code) not in seen or code == value]
    return Choice(
        value=value, synonyms=tuple(synonyms), cell_only=tuple(dict.fromkeys([*codes, *words]))
    )


@cache
def _other_meanings() -> frozenset[str]:
    return frozenset(every(lambda lexicon: lexicon.names.other_meanings))


def _unshared(entries: Sequence[Choice]) -> Iterator[Choice]:
    """Yield the entries without what several of them are called, in one language or another; a name
    goes before a code.
    """
    named: dict[str, set[str]] = {}
    called: dict[str, set[str]] = {}
    for entry in entries:
        for name in entry.names:
            called.setdefault(_key(name), set()).add(entry.value)
        for name in (entry.value, *entry.synonyms):
            named.setdefault(_key(name), set()).add(entry.value)
    values = {_key(entry.value): {entry.value} for entry in entries}
    owners = {
        key: values.get(key) or named.get(key, set())
        for key, shared in called.items()
        if len(shared) > 1
    }
    for entry in entries:
        yield _without(entry, {key for key, owner in owners.items() if owner != {entry.value}})


def _without(entry: Choice, keys: set[str]) -> Choice:
    if keys.isdisjoint(map(_key, entry.names)):
        return entry
    return entry.model_copy(
        update={
            "synonyms": tuple(name for name in entry.synonyms if _key(name) not in keys),
            "cell_only": tuple(name for name in entry.cell_only if _key(name) not in keys),
        }
    )


def _merge(choice: Choice, entries: Sequence[Choice]) -> Choice:
    """Return the template's choice with the names of the vocabulary's entries that it goes with."""
    inherited = [
        name
        for entry in entries
        for name in (entry.value, *entry.synonyms)
        if name not in entry.cell_only
    ]
    kept = [name for entry in entries for name in entry.cell_only]
    spoken, held = (
        {_key(name) for name in choice.synonyms},
        {_key(name) for name in choice.cell_only},
    )
    names = {_key(name): name for name in (*inherited, *choice.synonyms) if _key(name) not in held}
    names.pop(_key(choice.value), None)
    cells = {_key(name): name for name in (*kept, *choice.cell_only) if _key(name) not in spoken}
    return Choice(
        value=choice.value, synonyms=tuple(names.values()), cell_only=tuple(cells.values())
    )


@lru_cache(maxsize=256)
def _locale(locale: str) -> Locale:
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(locale.replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError) as error:
        raise ValueError(
            f"{locale!r} is not a language with names in CLDR; write for example en, sv or pt-BR"
        ) from error


@lru_cache(maxsize=256)
def _names(locale: str, kind: Literal["languages", "territories"]) -> dict[str, str]:
    return {str(code): str(name) for code, name in getattr(_locale(locale), kind).items()}


@lru_cache(maxsize=65536)
def _key(name: str) -> str:
    """Fold a name so that case, the composition of accents and punctuation make no difference."""
    folded = fold(name).replace("’", "'").replace("&", " and ")
    return " ".join(re.sub(r"[^\w]+", " ", folded.replace("'", "")).split()) or folded

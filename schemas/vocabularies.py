"""Closed lists that nobody types: names of languages, countries and colours as choices of a
template.

(vocabulary, locales, choices of the template) → choices. Names of languages and countries are those
of the Unicode CLDR through babel, the lists themselves are ISO 639-1 and ISO 3166-1; colours stand
here once, for words and pictures.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from schemas.choices import Choice

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

# English names beside CLDR's one.
_MORE_LANGUAGE_NAMES: dict[str, tuple[str, ...]] = {
    "bn": ("Bengali",),
    "es": ("Castilian",),
    "fa": ("Farsi",),
    "nb": ("Bokmål",),
    "nn": ("Nynorsk",),
    "or": ("Oriya",),
    "tw": ("Twi",),
}
_MORE_COUNTRY_NAMES: dict[str, tuple[str, ...]] = {
    "CD": ("Democratic Republic of the Congo", "DR Congo"),
    "CG": ("Republic of the Congo",),
    "CI": ("Ivory Coast",),
    "CN": ("People's Republic of China",),
    "CV": ("Cabo Verde",),
    "CZ": ("Czech Republic",),
    "GB": ("UK", "U.K.", "Great Britain"),
    "KR": ("Republic of Korea",),
    "MK": ("Macedonia",),
    "NL": ("The Netherlands", "Holland"),
    "PS": ("Palestine",),
    "RU": ("Russian Federation",),
    "SZ": ("Swaziland",),
    "TL": ("East Timor",),
    "TR": ("Turkey",),
    "US": ("USA", "U.S.A.", "United States of America"),
    "VA": ("Holy See",),
    "VN": ("Viet Nam",),
}
# Names that mean something else in a text more often than not: a fabric, a fowl, shorts, a given
# name, a state of the USA, an island, what nails are painted with, a sheep. As a whole cell they
# are what the column is about.
_WORDS = frozenset(
    [
        "afar",
        "bermuda",
        "chad",
        "ewe",
        "georgia",
        "guinea",
        "island",
        "jersey",
        "jordan",
        "maurice",
        "polish",
    ]
)


@dataclass(frozen=True, slots=True)
class Color:
    """A basic colour.

    anchors: name → sRGB values that pictures call so, 0 to 255; empty for names that no picture is
    given.
    names: of this colour in running text, by language; cells: those that are something else there
    (olive oil).
    """

    value: str
    anchors: dict[str, tuple[Rgb, ...]]
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cells: tuple[str, ...] = ()


# Most names need several anchors: people call light, full and dark shades by one name. Left out are
# names that are another word in a neighbouring language: "rosa" is pink in one and a rose in the
# next, "rot" red and decay. fmt: off
COLORS: tuple[Color, ...] = (
    Color(
        "Black",
        {"black": ((0, 0, 0), (28, 28, 30), (45, 45, 47))},
        {
            "en": ("jet black",),
            "de": ("schwarz",),
            "fr": ("noir",),
            "it": ("nero",),
            "ja": ("黒",),
            "pt": ("preto",),
            "ru": ("чёрный", "черный"),
            "sv": ("svart",),
            "zh": ("黑色",),
        },
        ("ebony", "jet"),
    ),
    Color(
        "Gray",
        {"gray": ((75, 76, 78), (110, 111, 113), (145, 146, 148), (180, 181, 183))},
        {
            "en": ("grey", "charcoal", "anthracite", "slate gray", "slate grey"),
            "de": ("grau",),
            "es": ("gris",),
            "fr": ("gris",),
            "it": ("grigio",),
            "pt": ("cinza",),
            "ru": ("серый",),
            "sv": ("grå",),
            "zh": ("灰色",),
        },
        ("graphite", "slate", "ash"),
    ),
    Color(
        "White",
        {"white": ((255, 255, 255), (235, 236, 238))},
        {
            "de": ("weiß",),
            "es": ("blanco",),
            "fr": ("blanc",),
            "it": ("bianco",),
            "ja": ("白い",),
            "pt": ("branco",),
            "ru": ("белый",),
            "zh": ("白色",),
        },
        ("snow",),
    ),
    Color(
        "Red",
        {
            "red": ((215, 25, 35), (170, 20, 30), (225, 65, 65)),
            "burgundy": ((105, 18, 38), (80, 15, 28), (128, 0, 20)),
        },
        {
            "en": ("maroon", "crimson", "scarlet", "wine red"),
            "de": ("rote", "roter", "rotes"),
            "es": ("rojo", "roja"),
            "fr": ("rouge",),
            "it": ("rosso", "rossa"),
            "ja": ("赤い",),
            "pt": ("vermelho", "vermelha"),
            "ru": ("красный",),
            "sv": ("röd", "rött"),
            "zh": ("紅色",),
        },
        ("ruby", "cherry", "wine", "bordeaux"),
    ),
    Color(
        "Orange",
        {"orange": ((250, 125, 15), (230, 95, 30), (250, 160, 70))},
        {},
        ("apricot", "tangerine", "rust"),
    ),
    Color(
        "Yellow",
        {"yellow": ((250, 225, 30), (235, 200, 50), (250, 238, 130))},
        {
            "en": ("mustard yellow", "lemon yellow"),
            "de": ("gelb", "gelbe", "gelber"),
            "es": ("amarillo", "amarilla"),
            "fr": ("jaune",),
            "it": ("giallo", "gialla"),
            "pt": ("amarelo", "amarela"),
            "ru": ("жёлтый", "желтый"),
            "sv": ("gul", "gult"),
            "zh": ("黄色", "黃色"),
        },
        ("mustard", "lemon", "amber"),
    ),
    Color(
        "Green",
        {
            "green": (
                (40, 150, 60),
                (25, 95, 45),
                (110, 185, 75),
                (150, 205, 120),
                (15, 60, 35),
                (120, 205, 160),
            ),
            "olive": ((110, 110, 40), (80, 82, 40), (140, 140, 80)),
        },
        {
            "en": (
                "olive green",
                "khaki green",
                "emerald green",
                "lime green",
                "mint green",
                "forest green",
            ),
            "de": ("grün", "grüne", "grüner"),
            "es": ("verde",),
            "fr": ("vert", "verte"),
            "it": ("verde",),
            "ja": ("緑",),
            "pt": ("verde",),
            "ru": ("зелёный", "зеленый"),
            "sv": ("grön", "grönt"),
            "zh": ("綠色",),
        },
        ("emerald", "lime", "mint", "sage", "khaki"),
    ),
    Color(
        "Turquoise",
        {
            "teal": ((0, 128, 128), (20, 95, 100), (60, 165, 160)),
            "turquoise": ((70, 205, 200), (140, 225, 215)),
        },
        {
            "en": ("aqua", "aquamarine"),
            "de": ("türkis",),
            "es": ("turquesa",),
            "it": ("turchese",),
            "pt": ("turquesa",),
            "sv": ("turkos",),
        },
        ("cyan",),
    ),
    Color(
        "Blue",
        {
            "blue": (
                (25, 90, 190),
                (60, 130, 210),
                (30, 60, 150),
                (115, 170, 220),
                (165, 200, 230),
                (90, 125, 165),
                (0, 0, 255),
                (60, 75, 185),
            ),
            "navy": ((18, 28, 70), (30, 42, 90), (35, 45, 70), (0, 0, 128), (25, 25, 112)),
        },
        {
            "en": ("navy blue", "royal blue", "light blue", "dark blue", "sky blue"),
            "de": ("blau", "blaue", "blauer"),
            "es": ("azul",),
            "fr": ("bleu", "bleue"),
            "it": ("blu",),
            "ja": ("青い",),
            "pt": ("azul",),
            "ru": ("синий",),
            "sv": ("blå", "blått"),
            "zh": ("藍色",),
        },
        ("azure", "cobalt", "indigo", "denim"),
    ),
    Color(
        "Purple",
        {
            "purple": (
                (110, 45, 140),
                (75, 30, 95),
                (150, 90, 180),
                (180, 145, 205),
                (95, 60, 105),
                (75, 50, 150),
                (155, 150, 215),
                (75, 0, 130),
            )
        },
        {
            "en": ("violet", "lilac", "lavender"),
            "de": ("violett",),
            "es": ("morado",),
            "fr": ("violet", "violette"),
            "pt": ("roxo",),
            "ru": ("фиолетовый",),
            "sv": ("violett",),
            "zh": ("紫色",),
        },
        ("plum", "mauve", "aubergine"),
    ),
    Color(
        "Pink",
        {"pink": ((245, 120, 170), (250, 185, 205), (225, 40, 130), (215, 110, 140))},
        {
            "en": ("fuchsia", "magenta", "hot pink"),
            "de": ("rosafarben",),
            "es": ("rosado",),
            "ja": ("ピンク",),
            "ru": ("розовый",),
            "zh": ("粉紅色",),
        },
        ("rose", "coral", "salmon", "blush"),
    ),
    Color(
        "Brown",
        {"brown": ((105, 65, 35), (75, 48, 32), (140, 92, 58), (60, 38, 28))},
        {
            "en": ("chocolate brown", "dark brown", "light brown"),
            "de": ("braun", "braune", "brauner"),
            "es": ("marrón",),
            "fr": ("marron", "brun"),
            "it": ("marrone",),
            "ja": ("茶色",),
            "pt": ("marrom",),
            "ru": ("коричневый",),
            "sv": ("brun", "brunt"),
            "zh": ("棕色",),
        },
        ("chocolate", "coffee", "cognac", "camel", "chestnut"),
    ),
    Color(
        "Beige",
        {"beige": ((225, 205, 170), (205, 180, 145), (238, 225, 203), (185, 160, 130))},
        {"en": ("ivory", "cream-colored", "cream-coloured", "off-white")},
        ("cream", "sand", "tan", "ecru", "nude", "taupe"),
    ),
    Color(
        "Gold",
        {},
        {
            "en": ("golden", "gold-tone"),
            "es": ("dorado",),
            "fr": ("doré",),
            "ru": ("золотой",),
            "zh": ("金色",),
        },
    ),
    Color(
        "Silver",
        {},
        {
            "en": ("silver-tone",),
            "de": ("silbern",),
            "es": ("plateado",),
            "fr": ("argenté",),
            "ru": ("серебряный",),
            "sv": ("silverfärgad",),
            "zh": ("銀色",),
        },
    ),
)
# fmt: on


def resolve(
    vocabulary: Vocabulary, locales: Sequence[str], given: Sequence[Choice]
) -> tuple[Choice, ...]:
    """The vocabulary's choices with those of the template worked in; the template's word counts.

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
    """Raises ValueError when CLDR has no names in that language."""
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
        if "en" in locales:
            names += _MORE_LANGUAGE_NAMES.get(code, ())
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
        if "en" in locales:
            rest += _MORE_COUNTRY_NAMES.get(code, ())
        names = [
            name
            for locale in locales
            for name in _spellings(_names(locale, "territories").get(code, ""))
        ]
        cells = [c for c in (code, *sorted(longer.get(code, ()))) if c not in _UNSAFE_CODES]
        choices.append(_choice(own, [*rest, *names], cells))
    yield from sorted(choices, key=lambda choice: _key(choice.value))


def _colors(locales: tuple[str, ...]) -> Iterator[Choice]:
    for color in COLORS:
        spoken = [
            name for locale in locales for name in color.names.get(_locale(locale).language, ())
        ]
        cells = color.cells if "en" in locales else ()
        yield _choice(color.value, [*color.anchors, *spoken], cells)


def _spellings(name: str) -> list[str]:
    """A name as people write it: without an addition in brackets, which is a name too, and without
    its legal status.

    >>> _spellings("Myanmar (Burma)"), _spellings("Hong Kong SAR China"), _spellings("St. Lucia")
    (['Myanmar', 'Burma'], ['Hong Kong', 'Hong Kong SAR China'], ['St. Lucia', 'Saint Lucia'])
    """
    if not name:
        return []
    if match := re.fullmatch(
        r"(.+?) \((.+)\)", name
    ):  # what is no name, as "(Dutch part)", is written small
        return [match[1], match[2]] if match[2][0].isupper() else [match[1]]
    short = re.sub(r"[ ,]+(?:SAR|S\.A\.R\.)\b.*$", "", name)
    saint = re.sub(r"^St\. ", "Saint ", name)
    return list(dict.fromkeys([short, name, saint]))


def _choice(value: str, names: Iterable[str], cells: Sequence[str]) -> Choice:
    """A choice whose names are each written once; words that mean something else are kept
    to cells.
    """
    seen = {_key(value): value}
    for name in names:
        seen.setdefault(_key(name), name)
    words = [name for key, name in seen.items() if key in _WORDS]
    synonyms = [name for name in list(seen.values())[1:] if name not in words]
    codes = [code for code in cells if _key(code) not in seen or code == value]
    return Choice(
        value=value, synonyms=tuple(synonyms), cell_only=tuple(dict.fromkeys([*codes, *words]))
    )


def _unshared(entries: Sequence[Choice]) -> Iterator[Choice]:
    """The entries without what several of them are called, in one language or another; a name goes
    before a code.
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
    """The template's choice with the names of the vocabulary's entries that it goes with."""
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
            f"{locale!r} is no language with names in CLDR; write for example en, sv or pt-BR"
        ) from error


@lru_cache(maxsize=256)
def _names(locale: str, kind: Literal["languages", "territories"]) -> dict[str, str]:
    return {str(code): str(name) for code, name in getattr(_locale(locale), kind).items()}


@lru_cache(maxsize=65536)
def _key(name: str) -> str:
    """What makes two spellings one name: case, accents' composition and punctuation aside."""
    folded = unicodedata.normalize("NFKC", name).casefold().replace("’", "'").replace("&", " and ")
    return " ".join(re.sub(r"[^\w]+", " ", folded.replace("'", "")).split()) or folded

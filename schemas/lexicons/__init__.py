"""Words that the rules know, by language: one file a language, `<ISO 639 code>.yaml`, beside this
module; `international.yaml` holds the signs that all languages share.

Which language a text is in is not asked: labels, captions and titles are too short to tell, and
shops mix them. So the words of all files count in every text, and a word that would mean one thing
in one language and another in the next belongs in no file. `tests/unit/schemas/test_lexicons.py`
holds the laws.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib import resources
from typing import Annotated, Literal

import msgspec

from schemas.strict_yaml import decode

# No blank entry, no space around it: such a word would match everywhere or nowhere.
Word = Annotated[str, msgspec.Meta(min_length=1, pattern=r"^\S(?:.*\S)?\Z")]
Words = tuple[Word, ...]
Side = Literal["width", "height", "depth", "length"]

INTERNATIONAL = "international"


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a lexicon; an unknown key is an error."""


class SideWords(Part, frozen=True):
    """Words for one side of a thing: nouns announce an amount ("width: 5 cm"), adjectives follow
    one ("5 cm wide").
    """

    nouns: Words = ()
    adjectives: Words = ()


class Packs(Part, frozen=True):
    """Words that tell how many pieces a pack holds."""

    containers: Words = ()
    container_links: Words = ()
    each: Words = ()
    words: Words = ()
    links: Words = ()
    behind_number: Words = ()
    number_endings: Words = ()
    per_pack: Words = ()
    counted: Words = ()
    counted_or_carats: Words = ()
    carats_before: Words = ()
    jewels: Words = ()


class Negation(Part, frozen=True):
    """Words that deny what stands beside them.

    cues: reach in words → cues. only_but_after: word → denials behind which it means "but".
    """

    cues: dict[Annotated[int, msgspec.Meta(ge=1, le=4)], Words] = {}
    carrying: Words = ()
    resuming: Words = ()
    with_: Words = msgspec.field(default=(), name="with")
    nor: Words = ()
    also_number: Words = ()
    only_but_after: dict[Word, Words] = {}
    free: Words = ()
    free_of: Words = ()
    free_behind: Words = ()
    free_not_before: Words = ()
    endings: Words = ()
    prefixes: Words = ()
    is_: Words = msgspec.field(default=(), name="is")
    absent: Words = ()
    added: Words = ()
    unspaced: Words = ()


class Dates(Part, frozen=True):
    """Words around dates; names of months are those of the Unicode CLDR for the file's language.

    regions: further CLDR locales whose months have other names. of: between day, month and year.
    not_months: words of this language that are months in another. connectors: between two dates,
    besides `and`, `or` and `to`. open_ends: behind a date that is the begin of a time. before_era:
    behind a year before our era.
    """

    regions: Words = ()
    of: Words = ()
    not_months: Words = ()
    connectors: Words = ()
    open_ends: Words = ()
    before_era: Words = ()


class Prices(Part, frozen=True):
    """Words around amounts of money. starts: before the lowest of several prices ("from 12.50");
    free: a whole cell that says that nothing is to be paid; taxed: behind an amount, says that it
    is the one to be paid.
    """

    starts: Words = ()
    free: Words = ()
    taxed: Words = ()


class Names(Part, frozen=True):
    """Names of closed lists beside those of the Unicode CLDR: ISO code or colour → names.

    color_cells, other_meanings: names that count as a whole cell only.
    """

    languages: dict[str, Words] = {}
    countries: dict[str, Words] = {}
    colors: dict[str, Words] = {}
    color_cells: dict[str, Words] = {}
    other_meanings: Words = ()


class ColumnNames(Part, frozen=True):
    """Words that columns of catalogs are called by.

    of_others: before such a word they make it the name of something else than the item ("brand
    name"). restless: of what changes every night. lists: of several in a cell.
    switches: of what a shop does with an item.
    """

    title: Words = ()
    text: Words = ()
    price: Words = ()
    category: Words = ()
    picture: Words = ()
    id: Words = ()
    changed: Words = ()
    of_others: Words = ()
    restless: Words = ()
    lists: Words = ()
    switches: Words = ()


class Lexicon(Part, frozen=True):
    """The words of one language; the comments in `en.yaml` say what each key is for.

    units: pint's name of a unit → its words, in any case; units_in_exact_case: in this case only;
    units_in_cells: only where a cell is one amount, since in a text they mean other things;
    units_of_own_attributes: only for an attribute in this very unit; units_in_pairs: only behind
    the larger unit ("2 h 30 m"); units_only_before: word → what has to follow it within a sentence.
    A dot at the end of a word may be left out in a text.
    """

    language: str
    units: dict[str, Words] = {}
    units_in_exact_case: dict[str, Words] = {}
    units_in_cells: dict[str, Words] = {}
    units_of_own_attributes: dict[str, Words] = {}
    units_in_pairs: dict[str, Words] = {}
    units_only_before: dict[str, Words] = {}
    numbers: dict[Annotated[int, msgspec.Meta(ge=2)], Words] = {}
    and_: Words = msgspec.field(default=(), name="and")
    or_: Words = msgspec.field(default=(), name="or")
    to: Words = ()
    by: Words = ()
    per: Words = ()
    approximately: Words = ()
    bounds: Words = ()
    before_amount: Words = ()
    after_amount: Words = ()
    packs: Packs = Packs()
    sides: dict[Side, SideWords] = {}
    depth_letter: Word | None = None
    labels: dict[str, Words] = {}
    identifier_labels: dict[Literal["gtin", "isbn", "issn", "orcid"], Words] = {}
    yes: Words = ()
    no: Words = ()
    negation: Negation = Negation()
    stop_words: Words = ()
    ampersand: Words = ()
    dates: Dates = Dates()
    prices: Prices = Prices()
    names: Names = Names()
    columns: ColumnNames = ColumnNames()


@cache
def lexicons() -> dict[str, Lexicon]:
    """Return all lexicons by their code, `international` first, then English, then the others.

    Raises schemas.strict_yaml.DataFileError for a file that cannot be used.
    """
    files = {
        entry.name.removesuffix(".yaml"): entry
        for entry in resources.files("schemas.lexicons").iterdir()
        if entry.name.endswith(".yaml")
    }
    codes = sorted(files, key=lambda code: (code != INTERNATIONAL, code != "en", code))
    return {code: parse_lexicon(files[code].read_text("utf-8"), code) for code in codes}


def parse_lexicon(text: str, code: str) -> Lexicon:
    """Return the lexicon written in `text`.

    code: of the language, names the file in errors. Raises schemas.strict_yaml.DataFileError.
    """
    return decode(text, f"schemas/lexicons/{code}.yaml", Lexicon)


def every(words: Callable[[Lexicon], Iterable[str]]) -> tuple[str, ...]:
    """Return what `words` takes from each lexicon, each word once.

    >>> every(lambda lexicon: lexicon.and_)[:2]
    ('and', 'und')
    """
    return tuple(dict.fromkeys(word for each in lexicons().values() for word in words(each)))


def one_of(words: Iterable[str], *, space: str = " ", dots: bool = True) -> str:
    r"""Return a regular expression for any of the words, the longest first.

    space: what stands for a space inside a word; dots: whether the dot of an abbreviation is part
    of it, though it may be left out. Without words the expression matches nothing.

    >>> one_of(["up to", "max."]), one_of([])
    ('(?:up to|max\\.?)', '(?!)')
    """
    longest_first = sorted(set(words), key=lambda word: (-len(word), word))
    if not longest_first:
        return "(?!)"
    dot = r"\.?" if dots else ""
    spelled = (
        re.escape(word.removesuffix(".")).replace(r"\ ", space) + (dot if word[-1] == "." else "")
        for word in longest_first
    )
    return f"(?:{'|'.join(spelled)})"

"""Numbers that stand together: (text, part) → the amounts of that part, of pack sizes and of
dimensions.

"6 x 330 ml" states a number of pieces, what each holds and the total; "30 x 20 cm (W x H)" states
two sides. Sides without a letter, word or legend say nothing about which is which, and are left
out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache

from schemas.attribute_types.number import AMOUNT_PARTS, Part
from schemas.lexicons import Lexicon, every, lexicons, one_of
from schemas.units import convert, same_kind
from transforms.extraction.decimal_marks import DecimalMark, mark_of_unit, reads_two_ways, text_mark
from transforms.extraction.number_places import NOT_INSIDE, matches_at, number_places
from transforms.extraction.quantities import (
    NUMBER,
    Quantity,
    to_float,
    unit_pattern,
)
from transforms.extraction.small_words import AND, APPROXIMATELY, BOUND, BY, OR, PER, TO
from transforms.extraction.tokens import tokenise

_TIMES = r"\s?[xX×*]\s?"
_WORD_END = r"(?![^\W_])"

# --- packs ---

_COUNT_WORDS = {
    word: float(count)
    for lexicon in lexicons().values()
    for count, words in lexicon.numbers.items()
    for word in words
}
_DIGITS = r"(?P<count>\d{1,3}(?:,\d{3})+|\d{1,4})"
_COUNT = rf"(?P<count>\d{{1,3}}(?:,\d{{3}})+|\d{{1,4}}|{one_of(_COUNT_WORDS)})"
_CONTAINERS = one_of(every(lambda words: words.packs.containers))
_CONTAINER_LINKS = one_of(every(lambda words: words.packs.container_links))
_EACH = one_of(every(lambda words: words.packs.each))
_BOXES = one_of(every(lambda words: words.packs.per_pack))


def _any_language(pattern: Callable[[Lexicon], str]) -> str:
    """Return an expression for any language's pattern; its parts come from one language each."""
    return f"(?:{'|'.join(pattern(lexicon) for lexicon in lexicons().values())})"


# A number of pieces, announced: "4er Pack", "24 ct", "10 pcs", "100/box", "10 pens per pack".
_BEHIND_DIGITS = (
    rf"{_DIGITS}[\s-]?"
    + _any_language(
        lambda words: rf"{one_of(words.packs.number_endings)}[\s-]?{one_of(words.packs.words)}"
    ),
    rf"{_DIGITS}[\s-]?{one_of(every(lambda words: words.packs.counted_or_carats))}\b\.?"
    rf"(?!\s?{one_of(every(lambda words: words.packs.carats_before))}\b)",
    rf"{_DIGITS}\s?{one_of(every(lambda words: words.packs.counted), dots=False)}\b\.?",
    rf"{_DIGITS}(?:\s?/\s?{_BOXES}|"
    + _any_language(
        lambda words: (
            rf"(?:\s[^\W\d_]{{3,12}})?\s{one_of(words.per)}\s{one_of(words.packs.per_pack)}"
        )
    )
    + ")",
)
# The same where the number may also be a word: "pack of 12", "twelve-pack".
_LINKS = one_of(every(lambda words: words.packs.links))
_BEHIND_LINK = (
    _any_language(lambda words: rf"{one_of(words.packs.words)}\s{one_of(words.packs.links)}")
    + rf"\s{_COUNT}"
)
_LINK_BEFORE = re.compile(rf"\s{_LINKS}\s$", re.IGNORECASE)
_LINK_CHARS = max(map(len, every(lambda words: words.packs.links))) + 2
_WORDS_BEHIND = every(lambda words: words.packs.behind_number)
_BEFORE_WORD = rf"{_COUNT}[\s-]?{one_of(_WORDS_BEHIND)}"
# "24 ct" counts pieces, but carats where a jewel is spoken of.
_JEWEL = re.compile(rf"\b{one_of(every(lambda words: words.packs.jewels))}\b", re.IGNORECASE)
_CARAT = re.compile(r"ct\b", re.IGNORECASE)
# What makes a number of pieces none: another factor, a bound, a range, an amount.
_NOT_A_COUNT_BEFORE = re.compile(
    rf"(?:[x×*]\s?|\d\s?|\d\s?[-–—]\s?|\b(?:{PER}|{BOUND}|\d[\s-]*{OR})\s)$",
    re.IGNORECASE,
)
_NOT_A_COUNT_AFTER = re.compile(
    rf"\s?(?:[-–—]\s?\d|[x×*]\s?\d|[.,/]\d)|\s(?:{TO}|{OR})\s\d", re.IGNORECASE
)


def _pack_size_sign() -> str:
    """Return an expression for what every pack size has before a number: a sign of multiplication,
    or a word such as "à", "je" or "of".

    It begins with the last letter of the words and looks back from there: to look for the space
    before them would mean to stop at every word of a text.
    """
    words = {*every(lambda w: w.packs.each), *every(lambda w: w.packs.container_links)}
    signs = "xX×*" + "".join(re.escape(word) for word in sorted(words) if len(word) == 1)
    longer = sorted(word for word in words if len(word) > 1)
    last = "".join(sorted({re.escape(word[-1]) for word in longer}))
    behind = "|".join(rf"(?<=\s{re.escape(word)})" for word in longer)
    return rf"[{signs}{last}](?:(?<=[{signs}])(?<![^\W\d_].)|{behind})\s?[\d.¼½¾⅐-⅞]"


_PACK_SIZE_SIGN = re.compile(_pack_size_sign())


@lru_cache(maxsize=64)
def may_state_a_pack_size(text: str) -> bool:
    """Tell whether a number of the text has before it what every pack size has."""
    places = number_places(text).begins
    return any(_PACK_SIZE_SIGN.search(text, max(0, at - 3), at + 1) for at in places)


def find_parts(
    text: str, part: Part, unit: str | None, mark: DecimalMark | None = None
) -> list[Quantity]:
    """Return the amounts of `part` that the text states in a pack size or in dimensions, in order,
    in `unit`.

    part: `pack_count` (unit: None), `each` and `total` (what a piece and what all of them hold), or
    the side of a thing. Sides that cannot be told apart are left out. mark: the decimal mark of the
    column that the text is a cell of.

    >>> [q.amount for q in find_parts("Cola 6 x 330 ml", "total", "ml")]
    [1980.0]
    >>> text = "Box (L x W x H): 30 x 20 x 10 cm, lid 31 x 21 cm"
    >>> [q.amount for q in find_parts(text, "width", "cm")]
    [20.0]
    """
    if part == "pack_count":
        found = [*_counts_of_products(text), *_counts_of_phrases(text)]
    elif part in AMOUNT_PARTS:
        found = list(_contents(text, part, str(unit), mark))
    else:
        found = list(_sides(text, part, str(unit), mark))
    return sorted(found, key=lambda quantity: (quantity.begin, quantity.end))


def states_a_pack(text: str) -> bool:
    """Return whether the text speaks of several pieces, so that an amount in it may be that of one
    or of all.

    >>> states_a_pack("Cola 330 ml, 6-pack"), states_a_pack("Cola 330 ml, pack of 1")
    (True, False)
    """
    return any(count.amount != 1 for count in find_parts(text, "pack_count", None)) or any(
        not _single(match) for match, _ in _products(text, None)
    )


def _single(match: re.Match[str]) -> bool:
    groups = match.groupdict()
    return _count(groups["count"]) == 1 and groups.get("inner") in (None, "1")


def _count(given: str) -> float:
    return _COUNT_WORDS.get(given.casefold()) or float(given.replace(",", ""))


@cache
def _product_patterns(unit: str | None) -> tuple[re.Pattern[str], ...]:
    """Pieces and what each holds: "6 x 330 ml", "330 ml x 6", "6 bottles of 330 ml".

    unit: None for any content.
    """
    kinds = "|".join(
        f"(?:{unit_pattern(kind)})" for kind in (("g", "ml") if unit is None else (unit,))
    )
    amount = rf"(?P<number>{NUMBER})[\s\u00a0-]?(?P<unit>{kinds})"
    digits = r"(?P<count>\d{1,4})"
    return (
        re.compile(rf"{NOT_INSIDE}{digits}(?:{_TIMES}(?P<inner>\d{{1,4}}))?{_TIMES}{amount}"),
        re.compile(rf"{NOT_INSIDE}{amount}{_TIMES}{digits}(?![\w.,]|\s?[x×*]|\s?(?:{kinds}))"),
        re.compile(
            rf"{NOT_INSIDE}{digits}[\s-]?(?i:{_CONTAINERS}\s{_CONTAINER_LINKS}|{_EACH})\s?{amount}",
        ),
    )


def _products(
    text: str, unit: str | None, mark: DecimalMark | None = None
) -> Iterator[tuple[re.Match[str], float | None]]:
    """Pack sizes with what one piece holds, in its own unit where `unit` is None."""
    # "2 x 20 cm" are sides.
    if not may_state_a_pack_size(text) or (unit is not None and same_kind(unit, "cm")):
        return
    mark = mark or text_mark(text)
    for pattern in _product_patterns(unit):
        for match in matches_at(pattern, text, number_places(text).free):
            if _NOT_A_COUNT_BEFORE.search(text, max(0, match.start() - 12), match.start()):
                continue
            own_mark = mark or mark_of_unit(match["unit"])
            # Pieces are counted whatever each of them holds.
            is_unclear = unit and own_mark is None and reads_two_ways(match["number"])
            number = None if is_unclear else to_float(match["number"], own_mark)
            amount = (
                number if number is None or unit is None else convert(number, match["unit"], unit)
            )
            if amount is not None and float(match["count"]) > 0:
                yield match, amount


def _contents(text: str, part: Part, unit: str, mark: DecimalMark | None) -> Iterator[Quantity]:
    for match, amount in _products(text, unit, mark):
        if amount is not None:
            pieces = float(match["count"]) * float(match.groupdict().get("inner") or 1)
            whole = round(pieces * amount, 9)
            yield Quantity(
                amount if part == "each" else whole, match.start(), match.end(), match.group()
            )


def _counts_of_products(text: str) -> Iterator[Quantity]:
    for match, _ in _products(text, None):
        # Of 4 x 6 pieces, either number may be the pack's.
        if match.groupdict().get("inner") is None:
            yield Quantity(float(match["count"]), match.start(), match.end(), match.group())


@cache
def _digit_phrases() -> tuple[re.Pattern[str], ...]:
    return tuple(map(_phrase, _BEHIND_DIGITS))


@cache
def _count_phrases() -> tuple[re.Pattern[str], re.Pattern[str]]:
    return _phrase(_BEHIND_LINK), _phrase(_BEFORE_WORD)


def _phrase(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.,/-]){pattern}{_WORD_END}", re.IGNORECASE)


def _phrases(text: str) -> Iterator[re.Match[str]]:
    for pattern in _digit_phrases():
        yield from matches_at(pattern, text, number_places(text).begins)
    # Signs that are quick to look for, as most texts have none.
    behind_link, before_word = _count_phrases()
    if _may_count_behind_link(text):
        yield from behind_link.finditer(text)
    folded = text.casefold()
    if any(word in folded for word in _WORDS_BEHIND):
        yield from before_word.finditer(text)


def _may_count_behind_link(text: str) -> bool:
    if text.isascii() and "'" not in text:
        has_count = not _COUNT_WORDS.keys().isdisjoint(tokenise(text).distinct)
    else:  # signs inside words may end a number
        has_count = any(map(text.casefold().__contains__, _COUNT_WORDS))
    if has_count:
        return True
    begins = number_places(text).begins
    return any(_LINK_BEFORE.search(text, max(0, at - _LINK_CHARS), at) for at in begins)


@cache
def _unit_after() -> re.Pattern[str]:
    return re.compile(rf"[\s\u00a0-]?{unit_pattern(None)}")


def _counts_of_phrases(text: str) -> Iterator[Quantity]:
    for match in _phrases(text):
        before = _NOT_A_COUNT_BEFORE.search(text, max(0, match.start() - 12), match.start())
        follows = text[match.end("count") : match.end()]
        # "a bag of 100 g", "90 kcal per bag"; "ct" is a unit too, of jewels
        measured = not _CARAT.match(follows.strip(" -")) and _unit_after().match(
            text, match.end("count")
        )
        if before or _NOT_A_COUNT_AFTER.match(text, match.end()) or measured:
            continue
        if _CARAT.search(match.group()) and _JEWEL.search(text):
            continue
        if (count := _count(match["count"])) > 0:
            yield Quantity(count, match.start(), match.end(), match.group())


# --- sides ---

_AXIS: dict[str, Part] = {
    word: side
    for lexicon in lexicons().values()
    for side, words in lexicon.sides.items()
    for word in (*words.nouns, *words.adjectives)
}
_ADJECTIVES = frozenset(
    every(lambda words: [word for side in words.sides.values() for word in side.adjectives])
)
_LETTERS: dict[str, Part] = {"h": "height", "w": "width", "b": "width", "l": "length"}


def _depth_letters() -> dict[str, tuple[Part, frozenset[str]]]:
    """Return each letter that stands for a depth only beside a width, with what says a width.

    "D" does so in all languages, other letters beside the words of their own ("T", of "Tiefe",
    beside a "B" or "Breite"); else they may be a diameter and a thickness.
    """
    widths = [word for word, side in _AXIS.items() if side == "width"]
    letters: dict[str, tuple[Part, frozenset[str]]] = {
        "d": ("depth", frozenset("wb").union(widths))
    }
    for lexicon in lexicons().values():
        if lexicon.depth_letter is not None and "width" in lexicon.sides:
            words = lexicon.sides["width"]
            own = frozenset("b").union(words.nouns, words.adjectives)
            letters[lexicon.depth_letter] = ("depth", own)
    return letters


_LETTER_WITH = _depth_letters()
_CAPITALS = "".join(letter.upper() for letter in (*_LETTERS, *_LETTER_WITH))
_WORDS = one_of(_AXIS)
_TOKEN = rf"(?:(?i:{_WORDS})|[{_CAPITALS}])"
_ANY_TOKEN = rf"(?i:{_WORDS}|[{_CAPITALS}])"
# What stands before a number whose letter or word is before it.
_AXIS_BEFORE = re.compile(rf"{_TOKEN}\.?\s?[:=]?\s?\.?$")
_AXIS_CHARS = max(map(len, _AXIS)) + 5
_LEGEND = re.compile(rf"(?<![^\W_]){_ANY_TOKEN}(?:\s?[x×*/]\s?{_ANY_TOKEN}){{1,2}}{_WORD_END}")
_AFTER_LEGEND = re.compile(rf"[\s):=\]]{{0,4}}(?:{APPROXIMATELY}\s?)?", re.IGNORECASE)
_BEFORE_LEGEND = re.compile(r"\s?[(\[]?\s?")
_FACTOR_GAP = re.compile(rf"\s?[x×*]\s?|\s?{BY}\s?", re.IGNORECASE)
_LIST_GAP = re.compile(rf"\s?[,;/|]\s?|\s{AND}\s|\n", re.IGNORECASE)
_BOUND_BEFORE = re.compile(rf"(?:\b{BOUND}\.?|[<>≤≥±–—x×-])\s*$", re.IGNORECASE)
_FIELD_END = re.compile(rf"\s*(?:$|[^\w\s'\"″”′]|\n|{AND}\b)", re.IGNORECASE)


def states_sides(text: str) -> bool:
    """Return whether the text tells a side of something, whichever.

    >>> states_sides("W 30 x H 40 cm"), states_sides("30 x 40 cm")
    (True, False)
    """
    return bool(_with_legend_or_letters(text))


def axis_nouns(part: Part) -> tuple[str, ...]:
    """Words that label an amount as this side; none for a part of a pack."""
    return every(lambda words: words.sides[part].nouns if part in words.sides else ())


@cache
def _length() -> str:
    # a letter may follow the unit at once: 8.5"W, 20cmH
    before_letter = rf"(?:cm|mm|[\"”″])(?=[{_CAPITALS}](?![^\W_]))"
    return rf"(?P<number>{NUMBER})(?:[\s\u00a0-]?(?P<unit>{unit_pattern('cm')}|{before_letter}))?"


@cache
def _any_length() -> re.Pattern[str]:
    return re.compile(rf"[\d¼½¾⅐-⅞][\s\u00a0-]?(?:{unit_pattern('cm')}|[\"”″cm])")


@cache
def _bare_sides() -> re.Pattern[str]:
    """Two or three numbers, joined: "30 x 20 x 10 cm"."""
    length = re.sub(r"\?P<\w+>", "?:", _length())
    return re.compile(
        rf"{NOT_INSIDE}{length}(?:(?:{_TIMES}|\s?{BY}\s?){length}){{1,2}}(?![^\W_]|[.,]\d|\s?[x×*]\s?\d)"
    )


@cache
def _one_length() -> re.Pattern[str]:
    return re.compile(_length())


@cache
def _lettered() -> tuple[re.Pattern[str], ...]:
    """Return a side with its letter or word before it, and behind it."""
    return (
        re.compile(
            rf"(?:(?<![^\W_])|(?<=[\dm]x))(?P<axis>{_TOKEN})\.?\s?[:=]?\s?{_length()}(?!(?!x[{_CAPITALS}])[^\W_]|[.,]\d)"
        ),
        re.compile(
            rf"{NOT_INSIDE}{_length()}(?P<bracket>\s?\()?(?(bracket)|[\s-]?)(?P<axis>{_TOKEN})(?(bracket)\)){_WORD_END}"
        ),
    )


def _sides(text: str, part: Part, unit: str, mark: DecimalMark | None) -> Iterator[Quantity]:
    mark = mark or text_mark(text)
    for terms, axes in _with_legend_or_letters(text):
        unit_at_end = terms[-1]["unit"]
        for term, axis in zip(terms, axes, strict=True):
            spelling = term["unit"] or unit_at_end
            own_mark = mark or mark_of_unit(spelling)
            number = to_float(term["number"], own_mark)
            if axis != part or number is None or spelling is None:
                continue
            if own_mark is None and reads_two_ways(term["number"]):
                continue
            amount = convert(number, spelling, unit)
            # a number whose unit stands with the last one is stated by all of them
            begin, end = term.span() if term["unit"] else (terms[0].start(), terms[-1].end())
            if amount is not None:
                yield Quantity(amount, begin, end, text[begin:end])


Terms = Sequence[re.Match[str]]


@lru_cache(maxsize=16)
def _with_legend_or_letters(text: str) -> tuple[tuple[Terms, Sequence[Part]], ...]:
    """Every side of the text; the last texts are kept, for every side's attribute asks for the same
    ones.
    """
    ends = (end for _, end in number_places(text).runs)
    if any(_any_length().match(text, end - 1) for end in ends):
        return (*_with_legend(text), *_with_letters(text))
    return ()


def _with_legend(text: str) -> Iterator[tuple[Terms, Sequence[Part]]]:
    """Numbers whose order a legend tells, before or behind them: "LxWxH: 30 x 20 x 10 cm"."""
    joined = list(matches_at(_bare_sides(), text, number_places(text).free))
    if not joined:
        return
    legends = list(_LEGEND.finditer(text))
    for sides in joined:
        for legend in legends:
            before = legend.end() <= sides.start() and _AFTER_LEGEND.fullmatch(
                text, legend.end(), sides.start()
            )
            behind = legend.start() >= sides.end() and _BEFORE_LEGEND.fullmatch(
                text, sides.end(), legend.start()
            )
            if not (before or behind):
                continue
            terms = list(_one_length().finditer(text, *sides.span()))
            axes = _axes(re.findall(_ANY_TOKEN, legend.group()))
            if len(axes) == len(terms):
                yield terms, axes


def _with_letters(text: str) -> Iterator[tuple[Terms, Sequence[Part]]]:
    """Numbers that carry their letters or words: `8.5" W x 11" H`, "Höhe 10 cm, Breite 5 cm"."""
    letter_before, letter_behind = _lettered()
    places = number_places(text)
    reach = _AXIS_CHARS
    may_be_before = any(_AXIS_BEFORE.search(text, max(0, at - reach), at) for at in places.begins)
    for terms in (
        letter_before.finditer(text) if may_be_before else (),
        matches_at(letter_behind, text, places.free),
    ):
        group: list[re.Match[str]] = []
        joined = False
        for term in terms:
            gap = (group[-1].end(), term.start()) if group else (0, 0)
            factors = bool(group) and _FACTOR_GAP.fullmatch(text, *gap) is not None
            listed = (
                bool(group)
                and group[-1]["unit"] is not None
                and _LIST_GAP.fullmatch(text, *gap) is not None
            )
            if not (factors or listed):
                yield from _group(text, group, joined=joined)
                group, joined = [], False
            group.append(term)
            joined = joined or factors
        yield from _group(text, group, joined=joined)


def _group(text: str, group: Terms, *, joined: bool) -> Iterator[tuple[Terms, Sequence[Part]]]:
    """Yield the group with its axes, if it says enough: several sides, one that is the whole text,
    or one with an adjective.

    A number without unit has that of the last one where they are factors ("W 30 x H 40 cm").
    """
    if (
        not group
        or group[-1]["unit"] is None
        or (not joined and any(term["unit"] is None for term in group))
    ):
        return
    if (
        len(group) == 1
        and group[0].group() != text.strip()
        and not _stands_for_itself(text, group[0])
    ):
        return
    if axes := _axes([term["axis"] for term in group]):
        yield group, axes


def _stands_for_itself(text: str, term: re.Match[str]) -> bool:
    """Return whether a side is said in words, behind its number, and of the thing: not "long 30
    cm", "a 5 cm wide strap".
    """
    spoken = term["axis"].casefold() in _ADJECTIVES and term.start("number") < term.start("axis")
    bound = _BOUND_BEFORE.search(text, max(0, term.start() - 16), term.start())
    return spoken and not bound and _FIELD_END.match(text, term.end()) is not None


def _axes(tokens: Sequence[str]) -> Sequence[Part]:
    """Return the axis of each token, or nothing when one of them is not certain or two are the
    same.
    """
    folded = [token.casefold() for token in tokens]
    axes: list[Part] = []
    for token in folded:
        axis = _AXIS.get(token) or _LETTERS.get(token)
        if axis is None:
            meant, company = _LETTER_WITH[token]
            if company.isdisjoint(folded):
                return ()
            axis = meant
        axes.append(axis)
    return axes if len(set(axes)) == len(axes) else ()

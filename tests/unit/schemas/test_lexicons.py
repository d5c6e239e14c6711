"""schemas.lexicons: the laws that hold over the words of all languages, and the errors of a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

from schemas.choices import Choice
from schemas.lexicons import Lexicon, lexicons, one_of, parse_lexicon
from schemas.strict_yaml import DataFileError
from schemas.units import convert, is_unit
from schemas.vocabularies import basic_colors
from transforms.extraction.compounds import find_parts
from transforms.extraction.gazetteer import Gazetteer
from transforms.extraction.quantities import find_quantities, parse_quantity
from transforms.extraction.tokens import token_key

LANGUAGES = sorted(lexicons())


def words_of(mapping: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(word, key) for key, words in mapping.items() for word in words]


def meanings(pairs: Iterable[tuple[str, object]]) -> dict[str, set[object]]:
    """Word, casefolded and without the dot of an abbreviation → what it stands for."""
    found: dict[str, set[object]] = defaultdict(set)
    for word, meaning in pairs:
        found[word.casefold().removesuffix(".")].add(meaning)
    return found


def contradictions(pairs: Iterable[tuple[str, object]]) -> dict[str, set[object]]:
    return {word: stands_for for word, stands_for in meanings(pairs).items() if len(stands_for) > 1}


def roles(lexicon: Lexicon) -> list[tuple[str, str]]:
    """(word, role) of the small words whose roles exclude each other."""
    denials = [cue for cues in lexicon.negation.cues.values() for cue in cues]
    named = {
        "denial": denials,
        "with": lexicon.negation.with_,
        "resuming": [w for w in lexicon.negation.resuming if w not in lexicon.and_],
        "and": lexicon.and_,
        "or": lexicon.or_,
        "to": lexicon.to,
        "by": lexicon.by,
        "per": lexicon.per,
    }
    return [(word, role) for role, words in named.items() for word in words]


def test_no_word_names_two_units() -> None:
    """A spelling is one unit in all languages together, whatever its case."""
    assert not contradictions(
        (word, unit) for each in lexicons().values() for word, unit in words_of(each.units)
    )
    exact = [pair for each in lexicons().values() for pair in words_of(each.units_in_exact_case)]
    assert len(dict(exact)) == len(set(exact))


def test_no_word_is_two_numbers() -> None:
    """A number word is one number in all languages together."""
    assert not contradictions(
        (word, number)
        for each in lexicons().values()
        for number, words in each.numbers.items()
        for word in words
    )


def test_no_word_is_two_sides() -> None:
    """A word for a side of a thing means this side in all languages together."""
    assert not contradictions(
        (word, side)
        for each in lexicons().values()
        for side, words in each.sides.items()
        for word in (*words.nouns, *words.adjectives)
    )


def test_no_word_is_yes_and_no() -> None:
    """An answer is a yes or a no in all languages together."""
    assert not contradictions(
        (word, answer)
        for each in lexicons().values()
        for answer, words in (("yes", each.yes), ("no", each.no))
        for word in words
    )


def test_a_denial_reaches_equally_far_in_all_languages() -> None:
    """A cue has one reach: which language a text is in is not asked."""
    assert not contradictions(
        (token_key(cue), reach)
        for each in lexicons().values()
        for reach, cues in each.negation.cues.items()
        for cue in cues
    )


def test_small_words_have_one_role() -> None:
    """No language joins with a word that denies or measures out in another one."""
    assert not contradictions(pair for each in lexicons().values() for pair in roles(each))


def test_stop_words_deny_nothing() -> None:
    """A word that denies in one language is no filler of another: "sin" is "its" in Swedish."""
    denials = {
        word for each in lexicons().values() for word, role in roles(each) if role == "denial"
    }
    assert denials.isdisjoint(word for each in lexicons().values() for word in each.stop_words)


def test_labels_name_one_attribute_in_each_language() -> None:
    """A label stands for one attribute in all languages together."""
    assert not contradictions(
        (word, name) for each in lexicons().values() for word, name in words_of(each.labels)
    )


def test_colors_are_those_of_the_list() -> None:
    """Lexicons name the basic colours and no others."""
    basic = {color.value for color in basic_colors()}
    for each in lexicons().values():
        assert basic.issuperset(each.names.colors)
        assert basic.issuperset(each.names.color_cells)


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_unit_is_known_to_pint(code: str) -> None:
    """A key under units is the name of a unit that can be converted."""
    lexicon = lexicons()[code]
    for units in (
        lexicon.units,
        lexicon.units_in_exact_case,
        lexicon.units_of_own_attributes,
        lexicon.units_in_pairs,
    ):
        assert [unit for unit in units if convert(1, unit, unit) is None] == []


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_unit_word_is_found(code: str) -> None:
    """Each word of a unit states its amount, in a cell and in a sentence, in that unit."""
    lexicon = lexicons()[code]
    for word, unit in [*words_of(lexicon.units), *words_of(lexicon.units_in_exact_case)]:
        spelled = word.removesuffix(".")
        assert is_unit(spelled)
        assert parse_quantity(f"3 {spelled}", unit) == 3.0, word
        found = find_quantities(f"Ding, 3 {spelled}, x", unit)
        assert [quantity.amount for quantity in found] == [3.0], word


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_number_word_counts_a_pack(code: str) -> None:
    """Each number word is read in "six-pack"."""
    for number, words in lexicons()[code].numbers.items():
        for word in words:
            found = find_parts(f"Ding, {word}-pack", "pack_count", None)
            assert [quantity.amount for quantity in found] == [float(number)], word


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_pack_word_is_found(code: str) -> None:
    """A pack with its number is read with each word and each link of a language."""
    packs = lexicons()[code].packs
    texts = [f"Ding, {word} {link} 6" for word in packs.words for link in packs.links]
    texts += [f"Ding 6{end}-{word}" for end in packs.number_endings for word in packs.words]
    texts += [f"Ding, 6 {word.removesuffix('.')}" for word in packs.counted]
    texts += [f"Ding, 6 {word}" for word in packs.counted_or_carats]
    texts += [f"Ding, 6-{word}" for word in packs.behind_number]
    for text in texts:
        found = find_parts(text, "pack_count", None)
        assert [quantity.amount for quantity in found] == [6.0], text


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_container_is_found(code: str) -> None:
    """Pieces and what each of them holds are read with each container of a language."""
    packs = lexicons()[code].packs
    for container in packs.containers:
        for link in packs.container_links:
            text = f"Ding, 6 {container.removesuffix('.')} {link} 330 ml"
            assert [q.amount for q in find_parts(text, "total", "ml")] == [1980.0], text


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_side_word_is_found(code: str) -> None:
    """A side is read behind its noun, and before its adjective."""
    for side, words in lexicons()[code].sides.items():
        for text in (
            *(f"{noun}: 7 cm" for noun in words.nouns),
            *(f"7 cm {adjective}" for adjective in words.adjectives),
        ):
            assert [q.amount for q in find_parts(text, side, "cm")] == [7.0], text


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_denial_denies(code: str) -> None:
    """A name behind a denial, or before what says that it is missing, does not hold."""
    gazetteer = Gazetteer.build([Choice(value="Zyx")], leaf_only=False)
    negation = lexicons()[code].negation
    texts = [f"Ding {cue} Zyx" for cues in negation.cues.values() for cue in cues]
    texts += [f"Ding, Zyx {absent}" for absent in negation.absent]
    texts += [f"Ding, Zyx {verb} {absent}" for verb in negation.is_ for absent in negation.absent]
    texts += [f"Ding {free} {of} Zyx" for free in negation.free for of in negation.free_of]
    texts += [f"Zyx-{ending} Ding" for ending in negation.endings]
    texts += [f"{prefix}-Zyx Ding" for prefix in negation.prefixes]
    for text in texts:
        assert [mention.negated for mention in gazetteer.find(text)] == [True], text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file: needs the key 'language'; add it"),
        (
            "language: X\nunit: {}",
            "the file: 'unit' is not a known key; did you mean 'units'? allowed: language, units,",
        ),
        (
            "language: X\npacks: {word: [a]}",
            "packs: 'word' is not a known key; did you mean 'words'? allowed: containers,",
        ),
        ("language: X\nand: und", "and: needs a list, for example [one, two], not 'und'"),
        ("language: X\nunits: {day: d}", "units.day: needs a list, for example [one, two]"),
        ("language: X\nunits: [a]", "units: needs entries of the form `key: value`, indented"),
        ("language: X\nnumbers: {two: [a]}", "numbers.two: 'two' does not fit: expected `int`"),
        ("language: X\nand: [und, '  ']", "and[1]: '  ' does not fit: expected `str` matching"),
        ("language: X\nnegation: {cues: {9: [a]}}", "negation.cues.9: '9' does not fit: expected"),
        (
            "language: X\nsides: {breadth: {nouns: [a]}}",
            "sides.breadth: 'breadth' is not a known key; allowed: width, height, depth, length",
        ),
        (
            "language: X\nand: [a]\nor: [b]\nand: [c]",
            "line 4: and: this key is given twice; put both together",
        ),
        ("language: X\nand: [", "is not valid YAML:"),
    ],
)
def test_errors_name_file_key_and_what_is_allowed(text: str, message: str) -> None:
    """A file that cannot be used is refused with its name, the key, and what belongs there."""
    with pytest.raises(DataFileError) as error:
        parse_lexicon(text, "xx")
    assert str(error.value).startswith(f"schemas/lexicons/xx.yaml: {message}")


def test_words_that_are_truth_values_in_yaml_stay_words() -> None:
    """An unquoted no, on or y is the word that it is."""
    assert parse_lexicon("language: X\nno: [no, on, y, 1]", "xx").no == ("no", "on", "y", "1")


def test_no_words_match_nothing() -> None:
    """A list without words finds nothing, rather than the empty text everywhere."""
    assert one_of(()) == "(?!)"

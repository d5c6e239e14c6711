"""Statements of one text about one attribute: attribute → finder, text → statements with
their spans. Each attribute type picks its finder (transforms.attribute_types).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.attribute_types.number import AMOUNT_PARTS, Part
from schemas.attributes import Attribute
from schemas.choices import Choice
from schemas.elements import Value
from schemas.lexicons import every, one_of
from schemas.units import is_unit, same_kind
from transforms.extraction.compounds import (
    axis_nouns,
    find_parts,
    may_state_a_pack_size,
    states_a_pack,
)
from transforms.extraction.gazetteer import Gazetteer, Mention
from transforms.extraction.identifiers import find_identifiers
from transforms.extraction.money.amounts import Money
from transforms.extraction.money.mentions import find_money
from transforms.extraction.number_places import number_places
from transforms.extraction.quantities import Quantity, find_numbers, find_quantities
from transforms.extraction.small_words import AND, APPROXIMATELY, OR

Kind = Literal[
    "term", "synonym", "labelled-term", "content", "quantity", "labelled-quantity", "identifier"
]

# Answers to a question, not statements about a product.
_ANSWERS = frozenset(every(lambda words: (*words.yes, *words.no)))
_FIELD_START = re.compile(r"(?:^|[.;,|/\n•·(\[]|\s[-–—*])\s?\Z")
_LABEL_THEN_VALUE = re.compile(r"\s?[:=]\s?")
_ENUMERATION = re.compile(rf"\s?(?:[,/&+]\s?)?(?:(?:{AND}|{OR})\s)?")
_LABEL_THEN_AMOUNT = re.compile(rf"\s?[:=]\s?(?:{APPROXIMATELY})?\s?")
_BEFORE_AMOUNT = one_of(every(lambda words: words.before_amount))
_LABEL_NEAR_AMOUNT = re.compile(rf"[\s(]{{1,2}}(?:(?:{_BEFORE_AMOUNT}\b\.?|{APPROXIMATELY})\s)?")
_AMOUNT_THEN_LABEL = re.compile(rf"[\s-]?(?:{one_of(every(lambda words: words.after_amount))}\s)?")
_AMOUNT_BEFORE = re.compile(r"\d\s?[^\s\d.,;]{0,6}[\s-]?$")
_SIDE_START = re.compile(r"(?:^|[.;:,|/\n•·(\[]|\s[-–—*])\s?\Z")
_SIDE_END = re.compile(r"\s?(?:$|[^\w\s])")
_LABEL_THEN_PRICE = re.compile(r"\s?[:=]?\s?")
_ANOTHER_AMOUNT = re.compile(r"\s?[:=]|\s{1,2}\(?\d")


@dataclass(frozen=True, slots=True)
class Statement:
    """A value that a text states.

    begin, end: code point offsets, end exclusive; kind: how it is stated.
    """

    value: Value
    begin: int
    end: int
    kind: Kind


Finder = Callable[[str], list[Statement]]


def closed_list_finder(attribute: Attribute) -> Finder:
    """Find names of the attribute's list; those behind its label outrank all others."""
    gazetteer = Gazetteer.build(attribute.values, leaf_only=attribute.spec.is_taxonomy)
    labels = labels_of(attribute)

    def find(text: str) -> list[Statement]:
        stated = [mention for mention in gazetteer.find(text) if not mention.negated]
        labelled = _behind_labels(text, stated, labels) if stated else []
        if labelled:
            return [
                Statement(mention.value, mention.begin, mention.end, "labelled-term")
                for mention in labelled
            ]
        return [
            Statement(
                mention.value, mention.begin, mention.end, "synonym" if mention.synonym else "term"
            )
            for mention in stated
        ]

    return find


def _behind_labels(text: str, stated: Sequence[Mention], labels: Gazetteer) -> list[Mention]:
    """Return the mentions behind a label ("Colour:"), and those of the list that follows."""
    ends = label_ends(text, labels)
    behind: list[Mention] = []
    for mention in stated:
        follows = any(
            _LABEL_THEN_VALUE.fullmatch(text, end, mention.begin)
            for end in ends
            if end <= mention.begin
        )
        if follows or (behind and _ENUMERATION.fullmatch(text, behind[-1].end, mention.begin)):
            behind.append(mention)
    return behind


def label_ends(text: str, labels: Gazetteer) -> list[int]:
    """Return where labels end that begin a field.

    "Applicable material:" is another label than "Material:".
    """
    return [
        label.end
        for label in labels.find(text)
        if _FIELD_START.search(text, max(0, label.begin - 3), label.begin)
    ]


def term_finder(attribute: Attribute) -> Finder:
    """Find the true and false terms of a boolean."""
    meaning = dict.fromkeys(attribute.true_terms, True) | dict.fromkeys(
        attribute.false_terms, False
    )
    stated = {term: value for term, value in meaning.items() if term.casefold() not in _ANSWERS}
    gazetteer = Gazetteer.build([Choice(value=term) for term in stated], leaf_only=False)

    def find(text: str) -> list[Statement]:
        # only a true term's denial is a statement: "not for children" says little about adults
        return [
            Statement(
                stated[mention.value] and not mention.negated, mention.begin, mention.end, "term"
            )
            for mention in gazetteer.find(text)
            if stated[mention.value] or not mention.negated
        ]

    return find


def amount_finder(attribute: Attribute, *, alone: bool) -> Finder:
    """Find amounts of the attribute's unit, or of its part of a compound.

    alone: no other attribute takes quantities of this kind, so that one without a label can only be
    this one's.
    """
    if attribute.part is None:
        return _plain_amounts(attribute, labels_of(attribute), alone=alone)
    if attribute.part in AMOUNT_PARTS:
        return _contents(
            attribute, attribute.part, _plain_amounts(attribute, labels_of(attribute), alone=alone)
        )
    is_side = attribute.part != "pack_count"
    labels = labels_of(attribute, axis_nouns(attribute.part))
    labelled = _plain_amounts(attribute, labels, alone=False, apart=is_side)
    part, unit = attribute.part, attribute.unit

    def find(text: str) -> list[Statement]:
        found = [*_in_compounds(attribute, find_parts(text, part, unit)), *labelled(text)]
        return sorted(found, key=lambda statement: statement.begin)

    return find


def _contents(attribute: Attribute, part: Part, plain: Finder) -> Finder:
    """Return what a piece or a pack holds: a plain amount is both, where nothing speaks of several
    pieces.
    """

    def find(text: str) -> list[Statement]:
        if may_state_a_pack_size(text) and (
            found := _in_compounds(attribute, find_parts(text, part, attribute.unit))
        ):
            return found
        found = plain(text)
        return [] if found and states_a_pack(text) else found

    return find


def _in_compounds(attribute: Attribute, found: Sequence[Quantity]) -> list[Statement]:
    return [
        Statement(q.amount, q.begin, q.end, "labelled-quantity")
        for q in found
        if _in_range(attribute, q.amount)
    ]


def _plain_amounts(
    attribute: Attribute, labels: Gazetteer, *, alone: bool, apart: bool = False
) -> Finder:
    """Return the finder of amounts that stand alone or beside a label.

    apart: a label counts only where it begins or ends a field: the "handle length" is not the
    length.
    """
    unit = attribute.unit
    # a mass or a volume in a title is the product's own; a length or a power may be any part's
    kind: Kind = (
        "content" if unit and any(same_kind(unit, base) for base in ("g", "ml")) else "quantity"
    )
    needs_label = unit is None or not alone

    def has_label(text: str, quantity: Quantity, places: Sequence[tuple[int, int]]) -> bool:
        return any(
            _belong(text, quantity, place) and (not apart or _is_apart(text, quantity, place))
            for place in places
        )

    def find(text: str) -> list[Statement]:
        places = [(mention.begin, mention.end) for mention in labels.find(text)]
        if (needs_label and not places) or not number_places(text).runs:
            return []
        found = find_numbers(text) if unit is None else find_quantities(text, unit)
        fitting = [quantity for quantity in found if _in_range(attribute, quantity.amount)]
        labelled = [quantity for quantity in fitting if has_label(text, quantity, places)]
        if labelled or needs_label:
            return [Statement(q.amount, q.begin, q.end, "labelled-quantity") for q in labelled]
        return [Statement(q.amount, q.begin, q.end, kind) for q in fitting]

    return find


def _is_apart(text: str, quantity: Quantity, label: tuple[int, int]) -> bool:
    begin, end = label
    if end <= quantity.begin:
        return _SIDE_START.search(text, max(0, begin - 3), begin) is not None
    return _SIDE_END.match(text, end) is not None


def price_finder(attribute: Attribute, value_of: Callable[[Money], Value | None]) -> Finder:
    """Find prices with their currency right behind the attribute's name; any other may be of
    anything.

    value_of: returns None for a price that is none of the attribute's.
    """
    labels = labels_of(attribute)

    def find(text: str) -> list[Statement]:
        found = []
        for end in label_ends(text, labels):
            between = _LABEL_THEN_PRICE.match(text, end)
            mention = find_money(text, between.end() if between else end)
            value = None if mention is None else value_of(mention.money)
            if mention is None or value is None:
                continue
            if _in_range(attribute, float(mention.money.amount)):
                span = mention.begin, mention.end
                found.append(Statement(value, *span, "labelled-quantity"))
        return found

    return find


def identifier_finder(attribute: Attribute) -> Finder:
    """Find identifiers of the attribute's scheme."""
    scheme = attribute.scheme
    # Without a check digit nothing tells an identifier from any other word.
    if scheme is None or scheme == "any":
        return lambda _text: []
    return lambda text: [
        Statement(m.value, m.begin, m.end, "identifier") for m in find_identifiers(scheme, text)
    ]


def labels_of(attribute: Attribute, more: Sequence[str] = ()) -> Gazetteer:
    """Return the attribute's names in words, without a unit at the end (`weight_g` is called
    weight), and what other languages label it with.

    more: other labels.
    """
    words = attribute.name.split("_")
    bare = " ".join(
        words[:-1] if len(words) > 1 and attribute.unit and is_unit(words[-1]) else words
    )
    translated = every(lambda lexicon: lexicon.labels.get(bare, ()))
    names = {label.casefold(): label for label in (*more, *translated, bare, attribute.title)}
    return Gazetteer.build([Choice(value=label) for label in names.values()], leaf_only=False)


def _in_range(attribute: Attribute, amount: float) -> bool:
    low = attribute.min is None or amount >= attribute.min
    high = attribute.max is None or amount <= attribute.max
    return low and high and (not attribute.integer or amount.is_integer())


def _belong(text: str, quantity: Quantity, label: tuple[int, int]) -> bool:
    """Return whether the label stands beside the amount, and not nearer to another one."""
    begin, end = label
    if end <= quantity.begin:
        if _LABEL_THEN_AMOUNT.fullmatch(text, end, quantity.begin):
            return True
        taken = _AMOUNT_BEFORE.search(text, max(0, begin - 10), begin)
        return taken is None and _LABEL_NEAR_AMOUNT.fullmatch(text, end, quantity.begin) is not None
    if begin < quantity.end or _ANOTHER_AMOUNT.match(text, end):
        return False
    return _AMOUNT_THEN_LABEL.fullmatch(text, quantity.end, begin) is not None

"""Compare an item with itself: its texts, its pictures and what is written on them with the values
that the source gave.

PCollection[Bucket] → PCollection[KV[item bucket, Finding]]. The source's value stays; the flag
names both sides.

Every comparison is reported, also where both sides agree, because a contradiction is only worth a
flag where such comparisons usually agree: plots name years that are not the film's, and shop
photographs seldom show titles. Comparisons that a catalog contradicts in more than MAX_CONTRADICTED
of the cases say nothing in that catalog, and no flag comes of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from schemas.attributes import Attribute
from schemas.choices import Choice
from schemas.elements import EvidenceText, Flag, Item, Value
from schemas.template import Template
from schemas.texts import fold, one_line
from transforms.attribute_types.registry import operations_of
from transforms.consistency.reliability import Tally
from transforms.consistency.text_similarity import (
    MAX_DETAIL_CHARS,
    SHOWN_CHARS,
    WORD,
    latin_words,
    resemblance,
)
from transforms.extraction.colors import PALETTE, srgb_to_lab
from transforms.extraction.gazetteer import Gazetteer
from transforms.extraction.statements import Statement
from transforms.items.evidence import (
    CONFIDENCE,
    Place,
    evidence_texts,
    find_statements,
)
from transforms.items.text import format_value

STAGE = "contradict"
# Statements as sure as those that fill a value by themselves: names in titles, whatever stands
# behind a label, identifiers with their check digit.
MIN_CONFIDENCE = 0.9
_SAME_AMOUNT = 0.02  # relative, as for two amounts of one text
# ΔE*ab. Palette names that people mix up (navy and black, beige and white) have anchors nearer than
# that.
CLEAR_DELTA_E = 30.0
MIN_SHOWN_SHARE = 0.5  # of a picture that named colours must cover
MIN_READ_CHARS = 12  # of longer words on the pictures, before their text is compared at all
MIN_WORD_MATCH = 0.5  # likeness by which a word of the title is on the picture, misread or not
# Comparing takes time with the product of both lengths.
_MAX_READ_CHARS, _MAX_TITLE_WORDS, _MAX_SPAN_CHARS = 400, 12, 100


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison that was made on an item.

    flag: for the item, when the two sides disagree; None: they agree.
    """

    reason: str
    field: str
    flag: Flag | None = None


def check_item(template: Template, item: Item) -> list[Check]:
    """Return every comparison that the item allows."""
    checks = [*check_texts(template, item), *check_colors(template, item)]
    on_picture = check_picture_text(template, item)
    return checks if on_picture is None else [*checks, on_picture]


def check_texts(template: Template, item: Item) -> Iterator[Check]:
    """Compare what titles and texts surely state of an attribute with what the source gave for it.

    A value that any of the texts states, however weakly, is not contradicted by the others. Lists
    with several answers are left out: a text need not name all of them. So is text on pictures,
    which is misread too often.
    """
    texts = [text for text in evidence_texts(template, item) if text.source == "text"]
    for attribute in template.attributes:
        given = item.record.values.get(attribute.name)
        if given is None or not operations_of(attribute).is_checked_against_texts:
            continue
        stated = [
            (text, s) for text in texts for s in find_statements(template, attribute, text.text)
        ]
        sure = [
            (t, s) for t, s in stated if CONFIDENCE[s.kind][_place(template, t)] >= MIN_CONFIDENCE
        ]
        if not sure:
            continue
        agree = operations_of(attribute).agree
        if any(agree(given, statement.value) for _, statement in stated):
            yield Check("text-contradicts-value", attribute.name)
        else:
            yield Check(
                "text-contradicts-value", attribute.name, _text_flag(attribute, given, *sure[0])
            )


def check_colors(template: Template, item: Item) -> Iterator[Check]:
    """Compare the main colours of the pictures with a colour that the source gave.

    Contradicted when no main colour of any picture is less than CLEAR_DELTA_E from what the value
    may look like. Pictures whose named colours cover less than half of what they show are left out.
    """
    pictures = [image.features for image in item.images if image.features is not None]
    shown = [p.colors for p in pictures if _named_share(p.colors) >= MIN_SHOWN_SHARE]
    if not shown:
        return
    for attribute in template.attributes:
        looks = colors_of_values(attribute).get(str(item.record.values.get(attribute.name)))
        if looks is None:
            continue
        distance = min(
            _color_distance(look, name) for look in looks for colors in shown for name, _ in colors
        )
        if distance < CLEAR_DELTA_E:
            yield Check("picture-contradicts-value", attribute.name)
            continue
        seen = ", ".join(f"{name} {share:.0%}" for name, share in shown[0])
        value = format_value(attribute, item.record.values[attribute.name])
        given = one_line(value, SHOWN_CHARS)
        detail = f"the source says {given!r}; the picture's main colours are {seen}"
        yield Check(
            "picture-contradicts-value",
            attribute.name,
            Flag("picture-contradicts-value", attribute.name, detail),
        )


def _named_share(colors: Iterable[tuple[str, float]]) -> float:
    """Return how much of what a picture shows its named colours cover, 0 to 1."""
    return sum(share for _, share in colors)


def check_picture_text(template: Template, item: Item) -> Check | None:
    """Compare the titles with what is written on the pictures; None where too little is written.

    Contradicted when no longer word of a title is on the pictures, not even half of it in a row of
    similar letters, and no longer word on the pictures is in any of the record's cells. Only
    letters of one alphabet can be compared.
    """
    # The same picture under two paths is read once.
    read = "\n".join(
        dict.fromkeys(
            i.features.text for i in item.images if i.features is not None and i.features.text
        )
    )
    if not read:
        return None
    titles = [
        text.text for text in evidence_texts(template, item) if text.attribute in template.titles
    ]
    wanted = sorted({word for title in titles for word in latin_words(title)})[:_MAX_TITLE_WORDS]
    written = latin_words(read[:_MAX_READ_CHARS])
    if not wanted or sum(map(len, written)) < MIN_READ_CHARS:
        return None
    # Without spaces: readers of text often split a word or join two.
    letters = "".join(WORD.findall(fold(read[:_MAX_READ_CHARS], marks=False)))
    # A picture with the brand or the author on it is the item's own, though it lacks the title.
    own = {word for cell in item.record.given.values() for word in latin_words(cell)}
    if own.intersection(written) or any(
        resemblance(word, letters) >= MIN_WORD_MATCH for word in wanted
    ):
        return Check("picture-text-other-title", "images")
    detail = (
        f"the title is {one_line(titles[0], SHOWN_CHARS)!r}; on the picture stands "
        f"{one_line(read.replace(chr(10), ' / '), SHOWN_CHARS)!r}"
    )
    return Check(
        "picture-text-other-title", "images", Flag("picture-text-other-title", "images", detail)
    )


def colors_of_values(attribute: Attribute) -> dict[str, tuple[str, ...]]:
    """Return value of the closed list → the palette's names of what it may look like; {} for lists
    that are not of colours.

    A list is one of colours when the palette has a name or a synonym of most of its values.
    """
    spec = attribute.spec
    if not spec.has_closed_list or spec.is_list or spec.is_taxonomy:
        return {}
    return _colors_of_choices(attribute.values)


@lru_cache(maxsize=256)
def _colors_of_choices(choices: tuple[Choice, ...]) -> dict[str, tuple[str, ...]]:
    palette = Gazetteer.build([Choice(value=name) for name in PALETTE], leaf_only=False)
    looks: dict[str, tuple[str, ...]] = {}
    for choice in choices:
        named = dict.fromkeys(filter(None, map(palette.exact, choice.names)))
        if named:
            looks[choice.value] = tuple(named)
    return looks if 2 * len(looks) > len(choices) else {}


@lru_cache(maxsize=1024)
def _color_distance(one: str, other: str) -> float:
    """Return the least ΔE*ab between anchors of two palette names."""
    first, second = (srgb_to_lab(np.array(PALETTE[name], dtype=np.uint8)) for name in (one, other))
    return float(np.sqrt(((first[:, None] - second[None]) ** 2).sum(axis=-1)).min())


def _place(template: Template, text: EvidenceText) -> Place:
    return "title" if text.attribute in template.titles else "text"


def _text_flag(
    attribute: Attribute, given: Value, text: EvidenceText, statement: Statement
) -> Flag:
    span = text.text[max(0, statement.begin - 30) : statement.end + 30]
    source, stated = (
        one_line(format_value(attribute, value), SHOWN_CHARS) for value in (given, statement.value)
    )
    detail = (
        f"the source says {source!r}; {text.field} says {stated!r}: "
        f"{one_line(span, _MAX_SPAN_CHARS)!r}"
    )
    return Flag("text-contradicts-value", attribute.name, detail[:MAX_DETAIL_CHARS])


def tally(checks: Iterable[Check]) -> Tally:
    """Return how often each (reason, field, contradicted) occurs."""
    return Counter((check.reason, check.field, check.flag is not None) for check in checks)

"""Find pictures and texts that several items share though they can belong to one of them only.

PCollection[Bucket] → PCollection[KV[item bucket, Finding]]. A small digest stands for an item with
one of its pictures or long texts. Digests are spooled in parts of all content keys. A part is read
twice: to see under which titles each content stands, and to flag each item that it concerns.

Equal pictures are those with the same bytes or the same perceptual hash, equal texts those with the
same words. Variants of one product share content by right, so titles are compared without what
tells variants apart.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property, lru_cache

from schemas.elements import Finding, Flag, Item, ItemDigest
from schemas.lexicons import every
from schemas.template import Template
from schemas.texts import one_line
from transforms.attribute_types.registry import operations_of
from transforms.consistency.reliability import Tally
from transforms.consistency.text_similarity import MAX_DETAIL_CHARS, SHOWN_CHARS
from transforms.extraction.tokens import bare_key, tokenise, words_of
from transforms.items.evidence import evidence_texts, find_statements
from transforms.items.text import format_value

# Content under two or three titles is a mix-up of records; under this many unrelated ones it is a
# placeholder.
PLACEHOLDER_TITLES = 8
# So many titles of one content, and so many items of each, are kept to compare with. This bounds
# the memory, whatever the number of items that share the content.
MAX_TITLES, MAX_ITEMS = 32, 64
MIN_TWINS = 5  # pairs of records with one title and content, before their values tell anything
MIN_TEXT_WORDS = (
    12  # shorter ones may well be said of two things: "Machine wash cold, tumble dry low"
)
MAX_COMMON_WORDS = 0.5  # of two titles' words, by which they may still be of different products
MIN_SAME_LETTERS = 0.8  # by which two titles are two spellings of one
MIN_SPELLED_CHARS = 8  # shorter titles have most letters in common by chance
# A perceptual hash sets about half of its bits; one with nearly all bits alike is that of an even
# surface, which pictures of different things may have in common.
MIN_HASH_BITS = 8
_MAX_TITLES_OF_ITEM, _MAX_TITLE_CHARS = 4, 200
_FILLERS = frozenset(every(lambda words: words.stop_words))
_PICTURE, _TEXT = "picture", "text"
_OTHER_VALUE, _TALLIES = "same-item-other-value", "tallies"

Words = tuple[tuple[str, ...], ...]  # of each title


def item_digests(template: Template, item: Item, item_bucket: int) -> list[ItemDigest]:
    """Return one digest for each distinct content that another item might hold too; none for an
    item without a title, which could not be told from others.
    """
    titles = titles_of(template, item)
    if not titles:
        return []
    words = tuple(core_words(template, item, title) for title in titles)
    values = tuple(
        (
            attribute.name,
            one_line(format_value(attribute, item.record.values[attribute.name]), 40),
        )
        for attribute in template.attributes
        if attribute.name in item.record.values
        and operations_of(attribute).is_compared_across_items
    )
    held = {}
    for content, place, text in [*_pictures(item), *_texts(template, item)]:
        if content not in held:
            stated = _stated(template, text) if text else ()
            held[content] = ItemDigest(
                content, item.item_id, item_bucket, place, titles, words, values, stated
            )
    # Sorted, so that the order of an item's pictures does not decide how the digests are spooled.
    return [held[content] for content in sorted(held)]


def titles_of(template: Template, item: Item) -> tuple[str, ...]:
    """Return the item's titles, cut, in the order of the template and of their languages."""
    titles = [
        text.text for text in evidence_texts(template, item) if text.attribute in template.titles
    ]
    return tuple(one_line(title, _MAX_TITLE_CHARS) for title in titles[:_MAX_TITLES_OF_ITEM])


def core_words(template: Template, item: Item, title: str) -> tuple[str, ...]:
    """Return the title's distinct words that say which product it is, sorted: no fillers, no bare
    numbers, none of the record's own values from closed lists, such as a variant's size and
    colour. All its words where none would be left.
    """
    spans = [
        span
        for attribute in template.attributes
        if attribute.name in item.record.values
        for span in _own_values(template, item, attribute.name, title)
    ]
    if not spans:  # so that it does not matter where the words stand
        every_word = set(map(bare_key, words_of(title)))
        core = {word for word in every_word if word not in _FILLERS and not word.isdigit()}
        return tuple(sorted(core or every_word))
    tokens = tokenise(title)
    words = [
        (bare_key(key), begin, end)
        for key, begin, end, is_word in zip(
            tokens.keys, tokens.begins, tokens.ends, tokens.is_word, strict=True
        )
        if is_word
    ]
    core = set()
    for word, begin, end in words:
        if word in _FILLERS or word.isdigit():
            continue
        if not any(first < end and begin < last for first, last in spans):
            core.add(word)
    return tuple(sorted(core or {word for word, _, _ in words}))


def _own_values(template: Template, item: Item, name: str, title: str) -> list[tuple[int, int]]:
    """Return (begin, end) where the title states the record's own value of a closed list.

    Taxonomies are left out: the category's name is often the very word that says what it is.
    """
    attribute, given = template.by_name[name], item.record.values.get(name)
    if given is None or not attribute.spec.has_closed_list or attribute.spec.is_taxonomy:
        return []
    own = set(given) if isinstance(given, list) else {given}
    return [(s.begin, s.end) for s in find_statements(template, attribute, title) if s.value in own]


def _stated(template: Template, text: str) -> tuple[tuple[str, str], ...]:
    """Return (attribute, value) of what the text states of attributes with a closed list and one
    value.
    """
    stated: list[tuple[str, str]] = []
    for attribute in template.attributes:
        spec = attribute.spec
        if spec.has_closed_list and not (spec.is_list or spec.is_taxonomy):
            found = find_statements(template, attribute, text)
            values = {one_line(str(statement.value), 40) for statement in found}
            stated += [(attribute.name, value) for value in sorted(values)]
    return tuple(stated)


def _pictures(item: Item) -> Iterator[tuple[str, str, str]]:
    """Yield (content, path, "") of each picture; the third is the text that a picture lacks."""
    for image in item.images:
        if image.features is None:
            continue
        bits = int(image.features.phash, 16).bit_count() if image.features.phash else 0
        if MIN_HASH_BITS <= bits <= 64 - MIN_HASH_BITS:
            yield f"{_PICTURE}:{image.features.phash}", image.path, ""
        else:  # its hash does not tell it apart, so only the same bytes count
            yield f"{_PICTURE}:{image.features.digest}", image.path, ""


def _texts(template: Template, item: Item) -> Iterator[tuple[str, str, str]]:
    """Yield (content, field, text) of each text that is long enough."""
    for text in evidence_texts(template, item):
        if text.source != "text" or text.attribute in template.titles:
            continue
        words = words_of(text.text)
        if not text.text.isascii():  # else there are no marks
            words = list(map(bare_key, words))
        if len(words) >= MIN_TEXT_WORDS:
            yield (
                f"{_TEXT}:{hashlib.blake2b(' '.join(words).encode(), digest_size=16).hexdigest()}",
                text.field,
                text.text,
            )


def titles_differ(one: ItemDigest, other: ItemDigest) -> bool:
    """Whether no title of the one could be a title of the other's product."""
    return all(words_differ(first, second) for first in one.words for second in other.words)


@lru_cache(maxsize=65536)
def words_differ(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Return whether two titles have at most half of their words in common (Dice), and are not two
    spellings of one title.

    A title that holds all words of the other only adds to it, and does not differ.

    >>> words_differ(("boy", "butcher"), ("boys", "les"))
    True
    >>> words_differ(("tote",), ("deluxe", "tote"))
    False
    """
    first, second = set(one), set(other)
    common = len(first & second)
    if common == min(len(first), len(second)) or 2 * common > MAX_COMMON_WORDS * (
        len(first) + len(second)
    ):
        return False
    # In a fixed order: SequenceMatcher's ratio depends on which text comes first.
    shorter, longer = sorted(
        ("".join(one), "".join(other)), key=lambda spelled: (len(spelled), spelled)
    )
    if len(shorter) < MIN_SPELLED_CHARS:
        return True
    return SequenceMatcher(None, shorter, longer, autojunk=False).ratio() < MIN_SAME_LETTERS


@dataclass
class Holders:
    """The items that hold one content, as far as they are kept: a bounded number, the same in
    whatever order they come.

    kept: core words → digests by item id. The titles with the smallest hashes are kept and of each
    the items with the smallest ids, so that what was dropped cannot come back.
    """

    kept: dict[Words, dict[str, ItemDigest]] = field(default_factory=dict)

    def add(self, digest: ItemDigest) -> None:
        """Keep the digest, and drop the last by rank when there are too many.

        All digests have to be added before a property is read, since properties are computed once.
        """
        same_title = self.kept.setdefault(digest.words, {})
        same_title[digest.item_id] = digest
        if len(same_title) > MAX_ITEMS:
            del same_title[max(same_title)]
        if len(self.kept) > MAX_TITLES:
            del self.kept[max(self.kept, key=_rank)]

    @cached_property
    def digests(self) -> list[ItemDigest]:
        """The digests that were kept, by item id."""
        return sorted(
            (d for same_title in self.kept.values() for d in same_title.values()),
            key=lambda d: d.item_id,
        )

    @cached_property
    def unrelated(self) -> list[ItemDigest]:
        """Digests of which each differs clearly in its titles from all before it."""
        chosen: list[ItemDigest] = []
        for digest in self.digests:
            if len(chosen) < PLACEHOLDER_TITLES and all(
                titles_differ(digest, other) for other in chosen
            ):
                chosen.append(digest)
        return chosen

    @cached_property
    def counts(self) -> Tally:
        """For each attribute, under how many titles that several items have those items agree on
        its value, and under how many they do not.
        """
        values: dict[tuple[tuple[str, ...], str], list[str]] = {}
        for digest in self.digests:
            for name, value in digest.values:
                values.setdefault((digest.titles, name), []).append(value)
        return Counter(
            (_OTHER_VALUE, name, len(set(given)) > 1)
            for (_, name), given in values.items()
            if len(given) > 1
        )

    def findings(self, digest: ItemDigest) -> Iterator[Finding]:
        """Yield the findings about one of the holders; they name the other with the smallest id."""
        if len(self.unrelated) >= PLACEHOLDER_TITLES:
            names = ", ".join(map(_named, self.unrelated[:2]))
            detail = f"stands under {PLACEHOLDER_TITLES} unrelated titles or more, such as {names}"
            yield _finding(digest, "placeholder-content", digest.field, detail)
            # A placeholder belongs to none of its holders, so none is mistaken for another.
            return
        kind = digest.content.partition(":")[0]
        stranger = next((other for other in self.digests if titles_differ(digest, other)), None)
        if stranger is not None:
            detail = f"{_title(digest)} shares this {kind} with {_named(stranger)}"
            yield _finding(digest, f"shared-{kind}-other-title", digest.field, detail)
        yield from self._of_siblings(digest)
        for name, value in digest.values:
            twins = (other for other in self.digests if other.titles == digest.titles)
            others = ((twin, dict(twin.values).get(name, value)) for twin in twins)
            twin, other = next(
                ((twin, other) for twin, other in others if other != value), (None, "")
            )
            if twin is not None:
                twin_id = one_line(twin.item_id, SHOWN_CHARS)
                detail = (
                    f"{value!r} here, {other!r} in {twin_id}, which has the same title and {kind}"
                )
                yield _finding(digest, _OTHER_VALUE, name, detail)

    def _of_siblings(self, digest: ItemDigest) -> Iterator[Finding]:
        """Yield a finding for each value that the shared text states and another holder has, but
        not this one: the text was probably written for the other.
        """
        for name, value in digest.values:
            stated = {of_text for attribute, of_text in digest.stated if attribute == name}
            if not stated or value in stated:
                continue
            owners = (other for other in self.digests if dict(other.values).get(name) in stated)
            owner = next(owners, None)
            if owner is not None:
                owned = dict(owner.values)[name]
                detail = (
                    f"the source says {value!r}; {digest.field} says {owned!r}, which is the value "
                    f"of {_named(owner)} with the same text"
                )
                yield _finding(digest, "text-contradicts-value", name, detail)


@lru_cache(maxsize=65536)
def _rank(words: Words) -> bytes:
    return hashlib.blake2b(repr(words).encode(), digest_size=8).digest()


def _title(digest: ItemDigest) -> str:
    return repr(one_line(digest.titles[0], SHOWN_CHARS))


def _named(digest: ItemDigest) -> str:
    return f"{one_line(digest.item_id, SHOWN_CHARS)} {_title(digest)}"


def _finding(digest: ItemDigest, reason: str, place: str, detail: str) -> Finding:
    return Finding(digest.item_id, Flag(reason, place, detail[:MAX_DETAIL_CHARS]))


def group_digests(digests: Iterable[ItemDigest]) -> dict[str, Holders]:
    """Return content → its holders, for contents that several items hold."""
    groups: dict[str, Holders] = {}
    for digest in digests:
        groups.setdefault(digest.content, Holders()).add(digest)
    return {content: group for content, group in groups.items() if len(group.digests) > 1}


def find_shared(
    digests: Iterable[ItemDigest], groups: dict[str, Holders]
) -> Iterator[tuple[int, Finding]]:
    """Yield (item bucket, finding) for each digest whose content is shared as it should not be."""
    for digest in digests:
        if digest.content in groups:
            for finding in groups[digest.content].findings(digest):
                yield digest.item_bucket, finding


def is_reliable(finding: Finding, reliable_kinds: frozenset[tuple[str, str]]) -> bool:
    """Return whether a finding is worth a flag in this catalog.

    Attributes in which items with one title and content often differ are those by which variants
    differ, and say nothing of a mistake.
    """
    return (
        finding.flag.reason != _OTHER_VALUE or (_OTHER_VALUE, finding.flag.field) in reliable_kinds
    )

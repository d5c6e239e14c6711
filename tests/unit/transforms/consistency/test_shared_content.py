"""transforms.consistency.shared_content: content that several items hold though it can belong to
one of them only.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Finding, Item, ItemDigest, Value, decoder, encode
from schemas.template import Template
from tests.items import item, picture
from transforms.consistency.reliability import add_tallies, reliable_checks
from transforms.consistency.shared_content import (
    MAX_ITEMS,
    MAX_TITLES,
    MIN_TWINS,
    PLACEHOLDER_TITLES,
    Holders,
    core_words,
    find_shared,
    group_digests,
    is_reliable,
    item_digests,
    words_differ,
)
from transforms.consistency.text_similarity import MAX_DETAIL_CHARS
from transforms.runtime.buckets import bucket_of

FILMS = Template.model_validate(
    {
        "name": "films",
        "version": "1.0.0",
        "record": {"id": "id"},
        "attributes": [
            {"name": "title", "type": "string", "role": "title"},
            {"name": "plot", "type": "string", "role": "text"},
            {"name": "year", "type": "number", "integer": True},
            {"name": "color", "type": "enum", "values": ["Red", "Blue", "Green"]},
        ],
    }
)
EVEREST = "Documentary filmmaker and climber David recreates the tragic circumstances that resulted in eight deaths"
TEE = "A tee for every day that keeps you dry. Red polyester tee. Crew neckline. Machine wash and tumble dry."


def digests_of(items: Iterable[Item]) -> list[ItemDigest]:
    return [
        digest for one in items for digest in item_digests(FILMS, one, bucket_of(one.item_id, 4))
    ]


def findings_of(items: Iterable[Item]) -> list[tuple[str, str, str, str]]:
    digests = digests_of(items)
    groups = group_digests(digests)
    kinds = reliable_checks(add_tallies(group.counts for group in groups.values()), MIN_TWINS)
    found = [finding for _, finding in find_shared(digests, groups) if is_reliable(finding, kinds)]
    return sorted((f.item_id, f.flag.reason, f.flag.field, f.flag.detail) for f in found)


def test_a_picture_under_two_titles() -> None:
    """Records with clearly different titles and one picture are flagged, each with the other's id
    and title.
    """
    quest = item({"title": "Quest, The"}, picture(digest="q"), item_id="1")
    fan = item({"title": "Fan, The"}, picture(digest="q"), item_id="2")
    assert findings_of([quest, fan]) == [
        (
            "1",
            "shared-picture-other-title",
            "q.jpg",
            "'Quest, The' shares this picture with 2 'Fan, The'",
        ),
        (
            "2",
            "shared-picture-other-title",
            "q.jpg",
            "'Fan, The' shares this picture with 1 'Quest, The'",
        ),
    ]


def test_a_text_under_two_titles() -> None:
    """So are records with one long text, whatever its case and marks; a short text may be said of
    two things.
    """
    both = [
        item({"title": "Quest, The", "plot": EVEREST}, item_id="1"),
        item({"title": "Fan, The", "plot": f"{EVEREST.upper()}!"}, item_id="2"),
        item({"title": "Pest, The", "plot": "Machine wash cold."}, item_id="3"),
        item({"title": "Mug", "plot": "Machine wash cold."}, item_id="4"),
    ]
    assert [(i, reason, place) for i, reason, place, _ in findings_of(both)] == [
        ("1", "shared-text-other-title", "plot"),
        ("2", "shared-text-other-title", "plot"),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"title": "Chaz Hoodie-XS-Red", "color": "Red"},
            {"title": "Chaz Hoodie-34-Blue", "color": "Blue"},
        ),
        (
            {"title": "Fusion Backpack"},
            {"title": "Fusion Backpack, the deluxe edition with straps"},
        ),
        ({"title": "Chaz Kangaroo Hoodie"}, {"title": "Chaz Kangeroo Hoody"}),
        ({"title": "The Mask"}, {"title": "Mask, The"}),
        ({"title": "Mug"}, {"color": "Red"}),
    ],
)
def test_titles_of_one_product(one: dict[str, Value], other: dict[str, Value]) -> None:
    """Variants, additions, spellings and articles make no other title, and an item without one is
    compared with none.
    """
    items = [
        item(one, picture(digest="p"), item_id="1"),
        item(other, picture(digest="p"), item_id="2"),
    ]
    assert findings_of(items) == []


def test_what_is_left_of_a_title() -> None:
    """Fillers, numbers and the record's own values are no part of what tells products apart, unless
    nothing is left.
    """
    hoodie = item({"title": "The Chaz Hoodie-34-Blue", "color": "Blue"})
    assert core_words(FILMS, hoodie, "The Chaz Hoodie-34-Blue") == ("chaz", "hoodie")
    assert core_words(FILMS, hoodie, "187") == ("187",)
    assert core_words(FILMS, hoodie, "Blue") == ("blue",)
    assert core_words(FILMS, item({"color": "Red"}), "Blue Velvet") == ("blue", "velvet")


@given(
    *[
        st.sets(
            st.sampled_from(["butcher", "boy", "boys", "les", "king", "thieves", "ali"]), min_size=1
        )
    ]
    * 2
)
def test_comparing_titles_has_no_direction(one: set[str], other: set[str]) -> None:
    """Whether titles differ does not depend on which comes first, and no title differs from itself."""
    first, second = tuple(sorted(one)), tuple(sorted(other))
    assert words_differ(first, second) == words_differ(second, first)
    assert not words_differ(first, first)


def test_even_pictures_are_compared_by_their_bytes() -> None:
    """The perceptual hash of a single-coloured picture says nothing, so only its bytes make it
    equal to another.
    """
    even = "8000000000000000"
    items = [
        item({"title": title}, picture(digest=digest, phash=even), item_id=title)
        for title, digest in (("Quest", "a"), ("Fan", "b"), ("Mug", "b"))
    ]
    assert [i for i, *_ in findings_of(items)] == ["Fan", "Mug"]


def test_other_copies_of_a_picture() -> None:
    """The same picture in other bytes is the same picture."""
    items = [item({"title": t}, picture(digest=t), item_id=t) for t in ("Quest", "Fan")]
    assert [i for i, *_ in findings_of(items)] == ["Fan", "Quest"]


def twins(differing: int, agreeing: int) -> list[Item]:
    """Pairs of records with one title and picture, of which some have two years."""
    return [
        item(
            {
                "title": f"Film {chr(97 + n) * 6}",
                "year": 1997.0 if half or n >= differing else 1965.0,
            },
            picture(digest=f"p{n}", phash=f"{0xF0F0F0F0F0F00000 + n:x}"),
            item_id=f"{n}-{half}",
        )
        for n in range(differing + agreeing)
        for half in (0, 1)
    ]


def test_one_item_with_two_values() -> None:
    """Records with one title and picture and two values are flagged where such records usually
    agree on it.
    """
    assert findings_of(twins(1, 9)) == [
        (
            "0-0",
            "same-item-other-value",
            "year",
            "'1965' here, '1997' in 0-1, which has the same title and picture",
        ),
        (
            "0-1",
            "same-item-other-value",
            "year",
            "'1997' here, '1965' in 0-0, which has the same title and picture",
        ),
    ]
    assert findings_of(twins(5, 5)) == []
    assert findings_of(twins(1, 0)) == []


def test_a_text_that_describes_a_sibling() -> None:
    """A text that variants share and that names the value of one is flagged at those that have
    another value.
    """
    tees = [
        item({"title": f"Atomic Tee-{color}", "color": color, "plot": TEE}, item_id=color)
        for color in ("Red", "Blue")
    ]
    detail = "the source says 'Blue'; plot says 'Red', which is the value of Red 'Atomic Tee-Red' with the same text"
    assert findings_of(tees) == [("Blue", "text-contradicts-value", "color", detail)]
    assert (
        findings_of([tees[1], replace(tees[1], record=replace(tees[1].record, item_id="2"))]) == []
    )


def test_a_placeholder() -> None:
    """One picture under many unrelated titles is a stand-in, and that is all that is said of it."""
    names = [chr(97 + n) * 9 for n in range(PLACEHOLDER_TITLES + 3)]
    found = findings_of(item({"title": n}, picture(digest="none"), item_id=n) for n in names)
    assert [(i, reason) for i, reason, *_ in found] == [(n, "placeholder-content") for n in names]
    assert (
        found[0][3]
        == "stands under 8 unrelated titles or more, such as aaaaaaaaa 'aaaaaaaaa', bbbbbbbbb 'bbbbbbbbb'"
    )


def test_memory_is_bounded() -> None:
    """However many items share a content, and under however many titles, a bounded number of them
    is kept.
    """
    holders = Holders()
    for n in range(5000):
        holders.add(
            ItemDigest("picture:x", f"{n:05}", 0, "p.jpg", (str(n % 100),), ((f"w{n % 100}",),))
        )
    assert len(holders.digests) <= MAX_TITLES * MAX_ITEMS
    assert len(holders.kept) == MAX_TITLES


def test_digests_can_be_spooled() -> None:
    """Digests and findings come back from their serial form as they were."""
    [digest, *_] = item_digests(FILMS, item({"title": "Quest", "plot": TEE, "year": 1996.0}), 3)
    assert digest.stated == (("color", "Red"),)
    assert decoder(ItemDigest).decode(encode(digest)) == digest
    finding = Finding("1", next(f for _, f in find_shared(*_two())).flag)
    assert decoder(Finding).decode(encode(finding)) == finding


def _two() -> tuple[list[ItemDigest], dict[str, Holders]]:
    digests = digests_of([item({"title": t}, picture(), item_id=t) for t in ("Quest", "Fan")])
    return digests, group_digests(digests)


TITLES = [
    "Quest, The",
    "Fan, The",
    "Pest",
    "Butcher Boy, The",
    "Boys, Les",
    "Tee-Red",
    "Tee-Blue",
    *map(str, range(9)),
]
ITEMS = st.lists(
    st.tuples(
        st.sampled_from(TITLES),
        st.sampled_from(["p", "q"]),
        st.sampled_from([EVEREST, TEE, ""]),
        st.sampled_from([1965.0, 1997.0]),
        st.sampled_from(["Red", "Blue"]),
    ),
    max_size=25,
)


@given(made=ITEMS, seed=st.integers(0, 99))
def test_order_does_not_matter(made: list[tuple[str, str, str, float, str]], seed: int) -> None:
    """The findings are the same in whatever order the items come, and their details stay short."""
    items = [
        item(
            {"title": t, "plot": plot, "year": y, "color": c}, picture(digest=p), item_id=f"{n:02}"
        )
        for n, (t, p, plot, y, c) in enumerate(made)
    ]
    found = findings_of(items)
    random.Random(seed).shuffle(items)
    assert findings_of(items) == found
    assert all(len(detail) <= MAX_DETAIL_CHARS for *_, detail in found)


@pytest.mark.parametrize("limits", [(MAX_TITLES, MAX_ITEMS), (3, 2)])
def test_what_is_kept_does_not_depend_on_order(limits: tuple[int, int]) -> None:
    """The items that are kept of a content held by very many are the same in whatever order they
    come.
    """
    digests = [
        ItemDigest("picture:x", f"{n:04}", 0, "p.jpg", (f"t{n % 90}",), ((f"w{n % 90}",),))
        for n in range(limits[0] * 99)
    ]
    kept = []
    for seed in range(4):
        random.Random(seed).shuffle(digests)
        holders = Holders()
        for digest in digests:
            holders.add(digest)
        kept.append(holders.digests)
    assert kept.count(kept[0]) == len(kept)

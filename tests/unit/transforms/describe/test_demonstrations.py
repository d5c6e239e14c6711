"""transforms.describe.demonstrations: which labelled items are shown, and that the choice is the
same everywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Demonstration, EvidenceText, Example
from transforms.describe.demonstrations import MAX_TITLE_CHARS, NEARNESS, Pool


def packed(vector: Sequence[float]) -> bytes:
    return np.asarray(vector, "<f4").tobytes()


def example(
    item_id: str,
    text: Sequence[float] = (),
    image: Sequence[float] = (),
    title: str | None = None,
    **known: str | tuple[str, ...],
) -> Example:
    """An example titled by its id; red unless said otherwise."""
    labels = {
        name: (value,) if isinstance(value, str) else value
        for name, value in (known or {"color": "Red"}).items()
    }
    shown = (EvidenceText("title", f"Item {item_id}" if title is None else title, "text"),)
    return Example(item_id, shown, labels, (), packed(text), packed(image))


def chosen(pool: Pool, item: Example, *attributes: str, count: int = 3) -> list[str]:
    """Titles of what is chosen."""
    return [d.title for d in pool.choose(item, attributes or ("color",), count, item.item_id)]


ASKING = example("asking", [1, 0], title="What is asked about", size="M")


def test_the_nearest_come_first_with_what_is_asked() -> None:
    """An example shows its title and its values of the attributes asked for, several of a list as
    one text.
    """
    near = example("near", [1, 0.1], color="Red", finish=("Matt", "Washed"), size="S")
    pool = Pool([example("far", [-1, 1], color="Blue"), near])
    assert pool.choose(ASKING, ("color", "finish"), 2, "asking") == (
        Demonstration("Item near", (("color", "Red"), ("finish", "Matt, Washed"))),
        Demonstration("Item far", (("color", "Blue"),)),
    )


def test_only_what_has_a_value_that_is_asked_for() -> None:
    """The nearest example is of no use where its value is as unknown."""
    pool = Pool(
        [
            example("a", [1, 0], size="S"),
            example("b", [0, 1], color="Red"),
            example("c", [1, 0], color=()),
        ]
    )
    assert chosen(pool, ASKING) == ["Item b"]
    assert chosen(pool, ASKING, "weight") == []


def test_an_item_is_not_shown_itself() -> None:
    """Neither the item nor another record of the same texts is shown: their value is the answer."""
    twin = example("twin", [1, 0], title="what  is ASKED about", color="Red")
    pool = Pool(
        [twin, example("asking", [1, 0], title="An earlier title"), example("other", [0, 1])]
    )
    assert chosen(pool, ASKING) == ["Item other"]


def test_a_text_is_shown_once() -> None:
    """Of examples with equal texts only one is shown, also where nothing else is left."""
    pool = Pool([example(name, [1, 0], title="The same") for name in "abc"])
    assert chosen(pool, ASKING) == ["The same"]


def test_what_is_chosen_differs() -> None:
    """A second variant of what is shown already gives way to something a little farther that is
    different.
    """
    pool = Pool(
        [
            example("a", [1, 0.3, 0]),
            example("a variant", [1, 0.31, 0]),
            example("b", [1, -0.35, 0]),
            example("unlike", [0, 0, 1]),
        ]
    )
    item = example("asking", [1, 0, 0], title="Asked")
    assert chosen(pool, item, count=2) == ["Item a", "Item b"]
    assert chosen(pool, item, count=9)[:3] == ["Item a", "Item b", "Item a variant"]


def test_text_and_picture_count_alike() -> None:
    """Vectors of any length count alike, and what is near in both is nearer than what is in one."""
    pool = Pool(
        [
            example("text", [9, 0], [0, 50]),
            example("picture", [0, 9], [50, 0]),
            example("both", [0.1, 0], [0.01, 0]),
            example("text alone", [1, 0]),
        ]
    )
    item = example("asking", [3, 0], [3, 0], title="Asked")
    assert chosen(pool, item, count=1) == ["Item both"]
    without_picture = example("asking", [3, 0], title="Asked")
    assert chosen(pool, without_picture, count=1) == ["Item text alone"]


@pytest.mark.parametrize(
    "vector", [b"", packed([0, 0]), packed([float("nan"), 1]), packed([1, 0, 0]), b"abc"], ids=str
)
def test_without_a_usable_vector_nothing_is_near(vector: bytes) -> None:
    """No vector, one without a direction or of another encoder: the item gets none, and as an
    example it is far.
    """
    odd = Example("odd", (EvidenceText("title", "Odd", "text"),), {"color": ("Red",)}, (), vector)
    pool = Pool([example("a", [1, 0]), example("b", [0, 1]), odd])
    assert pool.choose(odd, ("color",), 3, "odd") == ()
    assert chosen(pool, ASKING, count=1) == ["Item a"]


def test_what_cannot_be_told_is_left_out() -> None:
    """An example without a text of its own shows nothing; a long title is cut."""
    read = Example(
        "read",
        (EvidenceText("image_text", "SALE", "image"),),
        {"color": ("Red",)},
        (),
        packed([1, 0]),
    )
    pool = Pool([read, example("long", [1, 0], title="x" * 999)])
    assert chosen(pool, ASKING) == ["x" * MAX_TITLE_CHARS]


def test_an_empty_pool_gives_none() -> None:
    """Where nothing is known there is nothing to show, and no count means none."""
    assert chosen(Pool([]), ASKING) == []
    assert chosen(Pool([example("a", [1, 0])]), ASKING, count=0) == []


vectors = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=3, max_size=3)


@given(st.lists(st.tuples(vectors, vectors), min_size=1, max_size=9), st.randoms())
def test_the_order_of_the_pool_does_not_matter(pairs: list[Any], random: Any) -> None:
    """Equals are told apart by their id, so that every worker and every run chooses the same."""
    examples = [example(str(number), text, image) for number, (text, image) in enumerate(pairs)]
    item = example("asking", [1, 0.5, 0], [0, 1, 0], title="Asked")
    straight = chosen(Pool(examples), item)
    random.shuffle(examples)
    assert chosen(Pool(examples), item) == straight


@given(st.lists(st.tuples(vectors, vectors), min_size=1, max_size=9))
def test_each_choice_is_the_best_by_its_definition(pairs: list[Any]) -> None:
    """What is chosen has, at its turn, the greatest marginal relevance of all that is left,
    computed one by one.
    """
    item = example("asking", [1, 0.5, 0], [0, 1, 0], title="Asked")
    every = [unit(pair) for pair in pairs]
    target, taken = unit(([1, 0.5, 0], [0, 1, 0])), list[int]()
    pool = Pool([example(f"{number}", *pair) for number, pair in enumerate(pairs)])
    for title in chosen(pool, item):
        scores = {
            number: NEARNESS * float(vector @ target)
            - (1 - NEARNESS) * max((float(vector @ every[other]) for other in taken), default=0.0)
            for number, vector in enumerate(every)
            if number not in taken
        }
        number = int(title.removeprefix("Item "))
        assert scores[number] >= max(scores.values()) - 1e-5
        taken.append(number)
    assert len(taken) == min(3, len(pairs))


def unit(pair: Any) -> Any:
    halves = [np.asarray(half) / (np.linalg.norm(half) or 1.0) for half in pair]
    whole = np.concatenate(halves)
    return whole / (np.linalg.norm(whole) or 1.0)


def test_a_large_pool_is_chosen_from_as_a_small_one() -> None:
    """Among thousands of examples the two that are near are found."""
    rng = np.random.default_rng(0)
    crowd = [example(f"{n:05}", [0.0, *rng.normal(size=15)]) for n in range(3_000)]
    near = [
        example(f"near {n}", [3.0, *side]) for n, side in enumerate(itertools.islice(np.eye(15), 2))
    ]
    item = example("asking", [1.0, *[0.0] * 15], title="Asked")
    assert chosen(Pool([*crowd, *near]), item, count=2) == ["Item near 0", "Item near 1"]

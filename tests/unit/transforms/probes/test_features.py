"""transforms.probes.features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.elements import (
    EvidenceText,
    Example,
    ImageFeatures,
    ImageResult,
    Item,
    RawRecord,
    Record,
    Value,
)
from tests.support import example, learning_template, without
from transforms.probes.features import (
    MAX_KNOWN_CHARS,
    Features,
    example_of,
    featurise,
    hash_words,
    label_of,
    value_of,
)

SHOP = learning_template()
RAW = RawRecord(b"{}\n", "jsonl", "catalog.jsonl", 1)
KNOWN: dict[str, list[tuple[str, ...]]] = {
    "color": [("Red",), ("Blue",)],
    "tags": [("new",), ("eco", "sale")],
    "proof": [("yes",), ("no",)],
    "model": [("AB-1",), ("Straße 9",)],
    "weight": [("5.0",), ("7.0",)],
}
rows = st.builds(
    example,
    item_id=st.text(max_size=3),
    title=st.sampled_from(["", "scarlet shirt", "azure lamp lamp", "ärm 👕"])
    | st.text(max_size=20),
    about=st.sampled_from(["", "Keeps dry. dry"]) | st.text(max_size=20),
    known=st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in KNOWN.items()}
    ),
    pictures=st.dictionaries(
        st.sampled_from("pq"), st.just([("color=Red", 0.5), ("label=mug", 0.25)])
    ),
    vector=st.sampled_from([(), (1.0, 2.0, 3.0)]),
)


def said(count: int) -> list[str | None]:
    return [None] * count


def same(left: Features, right: Features) -> bool:
    """Whether the rows are equal, but for how long a vector of zeros is."""

    def vectors(one: np.ndarray, other: np.ndarray) -> bool:
        width = max(one.shape[1], other.shape[1])
        padded = [np.pad(each, ((0, 0), (0, width - each.shape[1]))) for each in (one, other)]
        return bool(np.array_equal(*padded))

    sparse = [(left.words, right.words), (left.pictures, right.pictures)]
    return (
        all((one != other).nnz == 0 for one, other in sparse)
        and vectors(left.text_vectors, right.text_vectors)
        and vectors(left.image_vectors, right.image_vectors)
    )


@settings(max_examples=40, deadline=None)
@given(row=rows, attribute=st.sampled_from(sorted(KNOWN)), which=st.integers(0, 1))
def test_the_own_value_is_no_feature(row: Example, attribute: str, which: int) -> None:
    """Whatever a row's value of the attribute is, or none, its features for that attribute are the
    same.
    """
    hidden = without(row, attribute)
    told = replace(row, known={**row.known, attribute: KNOWN[attribute][which]})
    assert same(
        featurise(SHOP, attribute, [hidden], said(1)), featurise(SHOP, attribute, [told], said(1))
    )


def test_other_values_and_rules_are_features() -> None:
    """Other attributes' values, and what the rules say, are seen; numbers and long texts are not."""
    plain = example("1", "shirt")

    def differs(known: dict[str, tuple[str, ...]], suggestion: str | None = None) -> bool:
        told = featurise(SHOP, "color", [replace(plain, known=known)], [suggestion])
        return not same(featurise(SHOP, "color", [plain], said(1)), told)

    assert all(differs({name: KNOWN[name][0]}) for name in ("tags", "proof", "model"))
    assert differs({}, "term|title|Red")
    assert not differs({"weight": ("5.0",)})
    assert not differs({"model": ("x" * (MAX_KNOWN_CHARS + 1),)})


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, min_size=1, max_size=5))
def test_rows_do_not_depend_on_each_other(many: list[Example]) -> None:
    """A row has the same features alone as among others."""
    together = featurise(SHOP, "color", many, said(len(many)))
    assert len(together) == len(many)
    for at, row in enumerate(many):
        assert same(together.rows([at]), featurise(SHOP, "color", [row], said(1)))


VALUES: list[tuple[str, Value, tuple[str, ...]]] = [
    ("color", "Red", ("Red",)),
    ("tags", ["new", "eco"], ("eco", "new")),
    ("tags", ["sale"], ("sale",)),
    ("proof", True, ("yes",)),
    ("proof", False, ("no",)),
    ("model", "Größe 5", ("Größe 5",)),
]


@pytest.mark.parametrize(("name", "value", "labels"), VALUES)
def test_labels_and_values(name: str, value: Value, labels: tuple[str, ...]) -> None:
    """A value becomes sorted labels, and labels the value again, in the order of the list."""
    assert label_of(value) == labels
    assert value_of(SHOP.by_name[name], labels) == value
    assert label_of(None) == ()


WORDS = st.text("abcXYZ019_éßñЖж東", min_size=1, max_size=12)


@settings(deadline=None)
@given(WORDS)
def test_words_are_found_again_by_their_column(word: str) -> None:
    """The column of a word, as evidence is looked for, is the one in which its features count it."""
    counted = featurise(SHOP, "color", [example("1", about=word)], said(1))
    assert counted.words.indices.tolist() == hash_words([word]).tolist()


def item(values: dict[str, Value], **record: Any) -> Item:
    return Item(Record("1", values, dict.fromkeys(values, "x"), (), (), RAW, **record))


def test_an_item_as_an_example() -> None:
    """Texts with a role are evidence and no labels; each distinct picture counts once; vectors are
    packed.
    """
    picture = ImageFeatures(
        "d1", "0" * 16, 9, 9, "png", 1, labels=(("mug", 0.6), ("cup", 0.01)), colors=(("Red", 0.5),)
    )
    picture = replace(picture, text="ACME tea")
    shown = (
        ImageResult("a.png", picture),
        ImageResult("b.png", picture),
        ImageResult("c.png", reason="image-missing"),
    )
    given_item = replace(
        item(
            {"title": "Mug", "color": "Red", "tags": ["sale", "eco"], "weight": 5.0},
            absent=("proof",),
        ),
        images=shown,
        text_vector=np.array([1, 2], np.float32),
    )
    made = example_of(SHOP, given_item)
    assert made.texts == (
        EvidenceText("title", "Mug", "text"),
        EvidenceText("image_text", "ACME tea", "image", "d1"),
    )
    assert made.known == {"color": ("Red",), "tags": ("eco", "sale"), "weight": ("5.0",)}
    assert (made.absent, made.pictures) == (("proof",), ("d1",))
    assert made.picture_tokens == (("color=Red", 0.5), ("label=mug", 0.6))
    assert np.frombuffer(made.text_vector, "<f4").tolist() == [1, 2]
    assert made.image_vector == b""


def test_pictures_are_apart_from_words() -> None:
    """What a picture shows is no word feature, and what the text says no picture feature."""
    row = example("1", "shirt", pictures={"p": [("color=Red", 0.5)]})
    bare = example("1", "shirt")
    seen, unseen = (featurise(SHOP, "color", [each], said(1)) for each in (row, bare))
    assert (seen.words != unseen.words).nnz == 0
    assert (seen.pictures.nnz, unseen.pictures.nnz) == (1, 0)

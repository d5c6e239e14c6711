"""Canaries: fixed contents that tell encoders apart whatever they are called."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from tests.support import encoder_card
from transforms.models.contract import Failure, ModelOptions, Picture, Vector
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import ImageEncoding, Role
from transforms.models.fake.script import FakeImageEncoder, FakeTextEncoder
from transforms.vectors.canaries import (
    CANARY_TEXTS,
    PICTURE_SIZE_PX,
    Canary,
    CanaryError,
    agreement,
    canary_keys,
    canary_picture,
    embed_canaries,
)


def text_encoder(**options: object) -> FakeTextEncoder:
    return FakeTextEncoder(EncoderOptions("fake", **options), ModelOptions())  # type: ignore[arg-type]


def embedded(encoder: FakeTextEncoder | FakeImageEncoder, modality: str) -> tuple[Canary, ...]:
    return embed_canaries(encoder, canary_keys(encoder.card, modality))


class _Broken:
    """An encoder of texts and pictures that answers everything with one vector."""

    model, requires, dimension = "broken", (), 3

    def __init__(self, vector: object) -> None:
        self._vector = np.asarray(vector, np.float32)
        self.card = replace(encoder_card("broken", modalities=("text", "image")), dimension=3)

    def load(self) -> None: ...

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [1] * len(texts)

    def encode_texts(self, texts: list[str], role: Role = "document") -> list[Vector | Failure]:
        return [self._vector for _ in texts]

    def encode_images(self, pictures: list[Picture]) -> list[ImageEncoding | Failure]:
        return [ImageEncoding(self._vector) for _ in pictures]


def test_the_texts_are_those_that_every_earlier_table_was_checked_with() -> None:
    """No canary text changes: the vectors kept beside earlier tables would prove nothing."""
    found = hashlib.sha256("\n".join(CANARY_TEXTS).encode()).hexdigest()
    assert found == "3c5cbd3130fe2545733f458a96dff60ccc476d485407e23e9b86b78ded5a06a1"


def test_the_picture_is_the_same_pixel_by_pixel_everywhere() -> None:
    """The canary picture has the pixels of all earlier tables, whatever draws it."""
    picture = canary_picture()
    assert picture.image.size == PICTURE_SIZE_PX
    assert picture.image.mode == "RGB"
    assert hashlib.sha256(picture.image.tobytes()).hexdigest() == picture.digest
    assert picture.digest == "a2c019a64ab27dca6c56595848269ab00b1f80d9cb3a031f70a02744a0fe85bb"


@pytest.mark.parametrize(
    ("modality", "options", "expected"),
    [
        ("text", {}, {("text", "document"): 5}),
        ("text", {"query_prompt": "query: "}, {("text", "document"): 5, ("text", "query"): 5}),
        ("image", {"modalities": ("image",)}, {("picture", "document"): 1}),
        (
            "image",
            {"modalities": ("text", "image")},
            {("picture", "document"): 1, ("text", "query"): 5},
        ),
    ],
    ids=["texts", "query prompt", "pictures", "texts find pictures"],
)
def test_a_table_has_the_canaries_that_may_be_put_to_it(
    modality: str, options: dict[str, object], expected: dict[tuple[str, str], int]
) -> None:
    """Documents are always embedded; queries where they have another prompt or another modality."""
    keys = canary_keys(encoder_card(**options), modality)
    counts: dict[tuple[str, str], int] = {}
    for kind, role, _ in keys:
        counts[kind, role] = counts.get((kind, role), 0) + 1
    assert counts == expected


def test_an_encoder_agrees_with_itself_and_with_no_other() -> None:
    """The same encoder fits; another model, prompt or dimension under the same name does not."""
    kept = embedded(text_encoder(model="a"), "text")
    same = agreement(kept, embedded(text_encoder(model="a"), "text"))
    assert same.fits
    assert same.compared == len(CANARY_TEXTS)
    assert same.lowest > 0.99999
    for other in ({"model": "b"}, {"model": "a", "prompt": "passage: "}):
        found = agreement(kept, embedded(text_encoder(**other), "text"))
        assert not found.fits
        assert "cosine" in found.problem
    longer = agreement(kept, embedded(text_encoder(model="a", dimension=96), "text"))
    assert longer.problem == "vectors have 96 numbers instead of 64"


def test_a_lost_query_prompt_is_found_by_the_queries_alone() -> None:
    """Documents agree and queries do not: the problem names a query."""
    kept = embedded(text_encoder(model="a", query_prompt="query: "), "text")
    keys = [canary.key for canary in kept]
    found = agreement(kept, embed_canaries(text_encoder(model="a"), keys))
    assert not found.fits
    assert "the query" in found.problem


def test_nothing_in_common_proves_nothing() -> None:
    """Canaries of a picture and of texts do not fit together, rather than agree vacuously."""
    pictures = embedded(FakeImageEncoder(EncoderOptions("fake"), ModelOptions()), "image")
    found = agreement(pictures, embedded(text_encoder(), "text"))
    assert not found.fits
    assert found.compared == 0


def test_a_picture_that_is_no_longer_drawn_is_left_out() -> None:
    """Canaries of another version's picture are not embedded as if they were today's."""
    encoder = FakeImageEncoder(EncoderOptions("fake"), ModelOptions())
    assert embed_canaries(encoder, [("picture", "document", "0" * 64)]) == ()


@pytest.mark.parametrize("modality", ["text", "image"])
@pytest.mark.parametrize(
    "vector", [[np.nan, 0, 0], [0, 0, 0], [1, 1, 1], [1, 0]], ids=["NaN", "zero", "long", "short"]
)
def test_a_vector_that_cannot_be_compared_is_refused(modality: str, vector: list[float]) -> None:
    """NaN, zeros, other lengths and dimensions raise one line that names encoder and canary."""
    encoder = _Broken(vector)
    keys = canary_keys(encoder_card(), modality)
    with pytest.raises(CanaryError, match="broken cannot embed the ") as raised:
        embed_canaries(encoder, keys)
    assert "\n" not in str(raised.value)

"""One bad answer of a model spoils one request, never the snapshot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from schemas.elements import Item, RawRecord, Record
from schemas.sections.vectors import DEFAULT_SPACES
from transforms.embed.documents import Document, embed_documents
from transforms.embed.text_vectors import with_vectors
from transforms.images.decode import DecodedPicture
from transforms.images.prepare import packed_style, tag_pictures
from transforms.models.contract import (
    Failure,
    ModelOptions,
    Picture,
    TagRequest,
    Vector,
    checked_vector,
)
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import ImageEncoding, Role
from transforms.models.fake.script import FakeImageEncoder, FakeTagger, FakeTextEncoder
from transforms.models.spaces import VectorSpace

UNIT = np.array([0.6, 0.8], np.float32)
FAULTY = {
    "other shape": np.array([0.6, 0.8, 0], np.float32),
    "matrix": UNIT.reshape(1, 2),
    "float64": UNIT.astype(np.float64),
    "NaN": np.array([np.nan, 1], np.float32),
    "infinity": np.array([np.inf, 0], np.float32),
    "not of length one": np.array([3, 4], np.float32),
    "zeros": np.zeros(2, np.float32),
    "no array": [0.6, 0.8],
}


def test_a_sound_vector_passes_as_it_is() -> None:
    """A float32 unit vector of the model's dimension, and an earlier Failure, come back unchanged."""
    failure = Failure("embed-failed", "before")
    assert checked_vector(UNIT, 2, "embed-failed") is UNIT
    assert checked_vector(failure, 2, "embed-failed") is failure


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_vector_is_a_failure(fault: str) -> None:
    """A vector of another type, shape or length, or one that is not finite, is a Failure that says
    so.
    """
    found = checked_vector(FAULTY[fault], 2, "embed-failed")  # type: ignore[arg-type]
    assert isinstance(found, Failure)
    assert found.reason == "embed-failed"
    assert "the model answered with" in found.message


class NanTexts(FakeTextEncoder):
    """Answers for one text with NaN."""

    def encode_texts(self, texts: Sequence[str], role: Role = "document") -> list[Vector | Failure]:
        answers = FakeTextEncoder.encode_texts(self, texts, role)
        return [
            np.full(self.dimension, np.nan, np.float32) if text == "bad" else answer
            for text, answer in zip(texts, answers, strict=True)
        ]


class ShortImages(FakeImageEncoder):
    """Answers for one picture with a vector that is too short."""

    def encode_images(self, pictures: Sequence[Picture]) -> list[ImageEncoding | Failure]:
        answers = FakeImageEncoder.encode_images(self, pictures)
        return [
            ImageEncoding(UNIT) if picture.digest == "bad" else answer
            for picture, answer in zip(pictures, answers, strict=True)
        ]


def test_one_bad_text_vector_flags_one_item() -> None:
    """An item whose vector is not finite goes on without it and is flagged; its neighbours keep
    theirs.
    """
    encoder = NanTexts(EncoderOptions("fake"), ModelOptions())
    encoder.load()
    raw = RawRecord(b"", "jsonl", "f", 1)
    items = [
        Item(Record(text, {}, {}, (), (), raw), text_enriched=text)
        for text in ("good", "bad", "fine")
    ]
    documents = [Document(item.text_enriched) for item in items]
    space = VectorSpace(DEFAULT_SPACES[0], EncoderOptions("fake"))
    found = embed_documents(documents, encoder, space.options)
    embedded = list(with_vectors(items, space, documents, found))
    assert ["text" in item.vectors for item in embedded] == [True, False, True]
    assert [[flag.reason for flag in item.flags] for item in embedded] == [[], ["embed-failed"], []]


def test_one_bad_image_vector_marks_one_picture() -> None:
    """A picture whose vector has a wrong shape keeps its description; descriptions carry their
    fingerprint.
    """
    options = ModelOptions()
    encoder, tagger = ShortImages(EncoderOptions("fake"), options), FakeTagger(options)
    encoder.load()
    tagger.load()
    pictures = [
        DecodedPicture(Picture(digest, Image.new("RGB", (4, 4))), 4, 4, "PNG", 1, "0" * 16)
        for digest in ("bad", "ok")
    ]
    bad, good = tag_pictures(pictures, encoder, tagger)
    assert (bad.vector, bad.failure) == (b"", "backend-failed")
    assert bad.description
    assert good.failure is None
    assert len(good.vector) == 4 * encoder.dimension
    request = TagRequest((pictures[1].picture,), good.labels)
    assert good.fingerprint == request.fingerprint(tagger) != bad.fingerprint


@pytest.mark.parametrize(
    ("style", "kept"), [(None, 0), ([0.5, 60_000], 2), ([0.5, 70_000], 0), ([0.5, float("nan")], 0)]
)
def test_a_style_that_is_no_number_is_left_out(style: list[float] | None, kept: int) -> None:
    """A style with an entry that is none, or beyond half precision, is not kept: it would spoil all
    it is compared with.
    """
    packed = packed_style(None if style is None else np.array(style, np.float32))
    assert len(packed) == 2 * kept


def test_a_style_of_another_kind_costs_no_picture() -> None:
    """What is no row of float32 is left out, and raises nothing."""
    for odd in (
        ["a"],
        "style",
        3,
        np.array([[1.0]], np.float32),
        np.array([1.0], np.float64),
        np.array([None]),
    ):
        assert packed_style(odd) == b""  # type: ignore[arg-type]

"""Documents encoded whole, cut, or in chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny_encoders import TinyEncoders
from transforms.embed.chunking import pooled
from transforms.embed.documents import Document, Embedded, embed_documents
from transforms.models import build_text_encoder
from transforms.models.contract import Failure, ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.fake.script import FakeTextEncoder

# The fake encoder counts words and reads 20 of them; a chunk has 16.
CUT = EncoderOptions("fake", max_tokens=20, chunk_tokens=16)
POOL, CHUNKS = replace(CUT, long_texts="pool"), replace(CUT, long_texts="chunks")
LONG = " ".join(f"Sentence {number} says it." for number in range(12))
MIDDLE = " ".join(f"word{number}" for number in range(18))
SHORT = "A mug of clay."

Choice = Literal["cut", "pool", "chunks"]


def encoded(
    options: EncoderOptions, *texts: str, context: str = "", script: Path | None = None
) -> tuple[list[Embedded | Failure], FakeTextEncoder]:
    """Return what each text was encoded to, and the encoder with its counted requests."""
    encoder = FakeTextEncoder(options, ModelOptions(fake_script=str(script) if script else None))
    documents = [Document(text, context) for text in texts]
    found = embed_documents(documents, encoder, options)
    return [found[document] for document in documents], encoder


def vector_of(text: str) -> np.ndarray:
    """Return the fake encoder's vector of a text that it reads whole."""
    (vector,) = FakeTextEncoder(EncoderOptions("fake"), ModelOptions()).encode_texts([text])
    assert isinstance(vector, np.ndarray)
    return vector


def one(options: EncoderOptions, text: str, context: str = "") -> Embedded:
    (found,), _ = encoded(options, text, context=context)
    assert isinstance(found, Embedded)
    return found


@pytest.mark.parametrize("choice", ["cut", "pool", "chunks"])
def test_what_is_read_whole_has_the_same_vector_whatever_the_choice(choice: Choice) -> None:
    """Only texts that are too long are treated otherwise."""
    for text in (SHORT, MIDDLE):
        found = one(replace(CUT, long_texts=choice), text)
        assert np.array_equal(found.vector, vector_of(text))
        assert not found.cut


def test_a_text_that_is_cut_says_how_long_it_is() -> None:
    """The vector is of the beginning, and nobody has to guess that it is."""
    found = one(CUT, LONG)
    assert np.array_equal(found.vector, vector_of(" ".join(LONG.split()[:20])))
    assert found.cut == "48 tokens, of which 20 were read"
    assert found.chunks == ()


def test_the_prompt_takes_its_place_in_what_is_read() -> None:
    """A text that fits alone is cut if it does not fit after the prompt."""
    text = " ".join(["word"] * 20)
    assert not one(CUT, text).cut
    prompted = one(replace(CUT, prompt="search document: "), text)
    assert prompted.cut == "20 tokens, of which 18 were read"


def test_an_encoder_of_unknown_length_cuts_nothing_that_is_known() -> None:
    """Nothing is said of an endpoint that does not tell how much it reads."""
    assert not one(replace(CUT, max_tokens=0), LONG).cut


def test_pool_and_chunks_give_a_long_text_the_same_vector() -> None:
    """`chunks` is `pool` that keeps the vectors: the choice between them moves nothing."""
    kept = one(CHUNKS, LONG)
    mean = pooled([c.vector for c in kept.chunks], [c.tokens for c in kept.chunks])
    assert np.array_equal(one(POOL, LONG).vector, kept.vector)
    assert mean is not None
    assert np.array_equal(kept.vector, mean)
    assert one(POOL, LONG).chunks == ()
    assert len(kept.chunks) == 3


def test_every_document_has_chunks_where_they_are_kept() -> None:
    """A table of chunks can be searched alone: a short text is one chunk, its vector the text's."""
    (chunk,) = one(CHUNKS, f" {SHORT}\n").chunks
    assert (chunk.begin, chunk.end, chunk.text, chunk.tokens) == (1, 15, SHORT, 4)
    assert np.array_equal(chunk.vector, vector_of(f" {SHORT}\n"))


def test_a_text_that_is_read_whole_has_chunks_beside_its_own_vector() -> None:
    """Chunks may be smaller than what the encoder reads at once."""
    found = one(CHUNKS, MIDDLE)
    assert len(found.chunks) == 2
    assert np.array_equal(found.vector, vector_of(MIDDLE))


def test_a_chunk_is_told_what_it_is_about() -> None:
    """The title goes before each chunk that does not say it, shortened to an eighth of a chunk."""
    chunks = one(CHUNKS, f"Blue mug. {LONG}", context="Blue mug of clay").chunks
    assert [chunk.context for chunk in chunks] == ["", *["Blue mug."] * (len(chunks) - 1)]
    assert np.array_equal(chunks[1].vector, vector_of(f"Blue mug. {chunks[1].text}"))
    assert all(chunk.tokens + 2 <= CHUNKS.chunk_tokens for chunk in chunks)


def test_equal_texts_are_encoded_once() -> None:
    """Also chunks of different documents that say the same."""
    _, encoder = encoded(CHUNKS, SHORT, SHORT, LONG, LONG)
    found = one(CHUNKS, LONG)
    assert encoder.requests == 1 + len(found.chunks)


def test_what_is_known_is_not_encoded() -> None:
    """A vector of before is taken as it is."""
    known = {Document(SHORT): Embedded(vector_of("another text"))}
    encoder = FakeTextEncoder(CUT, ModelOptions())
    assert embed_documents([Document(SHORT)], encoder, CUT, known) == known
    assert encoder.calls == 0


def test_a_chunk_that_fails_fails_its_document_only(tmp_path: Path) -> None:
    """A vector of half a text would pass for one of all of it."""
    script = tmp_path / "script.yaml"
    script.write_text("- {match: Sentence 7, model: text-encoder, failure: embed-failed}")
    (failed, fine), _ = encoded(POOL, LONG, SHORT, script=script)
    assert isinstance(failed, Failure)
    assert failed.reason == "embed-failed"
    assert isinstance(fine, Embedded)


@given(st.lists(st.sampled_from([SHORT, MIDDLE, LONG, "", "Other."]), max_size=8), st.randoms())
def test_items_are_told_once_each_and_their_order_changes_nothing(
    texts: list[str], random: Random
) -> None:
    """Progress adds up to all documents, and a shuffled catalog has the same vectors."""
    encoder, told = FakeTextEncoder(CHUNKS, ModelOptions()), []
    documents = [Document(text) for text in texts]
    found = embed_documents(documents, encoder, CHUNKS, count=told.append)
    assert sum(told) == len(texts)
    assert found.keys() == {Document(text) for text in texts if text}
    random.shuffle(documents)
    again = embed_documents(documents, encoder, CHUNKS)
    for document, embedded in found.items():
        other = again[document]
        assert isinstance(embedded, Embedded)
        assert isinstance(other, Embedded)
        assert np.array_equal(embedded.vector, other.vector)


def read_together(folder: Path, **settings: Any) -> tuple[Embedded, Any, str]:
    """Return what a long text becomes in an encoder with token vectors, the encoder, and the text."""
    options = EncoderOptions(
        "transformers",
        model=str(folder),
        long_texts="chunks",
        chunk_tokens=32,
        **{"pooling": "mean", **settings},
    )
    encoder = build_text_encoder(ModelOptions(), options)
    encoder.load()
    text = f"A wooden table. {LONG} Made in Sweden."
    document = Document(text, "A chair")
    found = embed_documents([document], encoder, options)[document]
    assert isinstance(found, Embedded), found
    assert len(found.chunks) > 3
    return found, encoder, text


def test_chunks_are_pooled_from_the_tokens_of_their_document(tiny_encoders: TinyEncoders) -> None:
    """ModernBERT reads the text at once: a chunk's vector knows its neighbours, and no title is
    put before it.
    """
    found, encoder, text = read_together(tiny_encoders["modernbert"])
    spans = [(chunk.begin, chunk.end) for chunk in found.chunks]
    for chunk, vector in zip(found.chunks, encoder.encode_spans(text, spans), strict=True):
        assert chunk.context == ""
        assert chunk.vector == pytest.approx(vector, abs=1e-5)
    (alone,) = encoder.encode_texts([found.chunks[-1].text])
    assert float(alone @ found.chunks[-1].vector) < 0.9999


def test_a_text_longer_than_the_window_is_read_in_windows(tiny_encoders: TinyEncoders) -> None:
    """Every chunk has a vector though the encoder reads 80 tokens at once; those of the first
    window are as if it were all.
    """
    found, encoder, text = read_together(tiny_encoders["modernbert"], max_tokens=80)
    assert encoder.count_tokens([text])[0] > 160
    (first,) = encoder.encode_spans(text, [(found.chunks[0].begin, found.chunks[0].end)])
    assert found.chunks[0].vector == pytest.approx(first, abs=0.05)
    assert {word for chunk in found.chunks for word in chunk.text.split()} == {*text.split()}
    mean = pooled([c.vector for c in found.chunks], [c.tokens for c in found.chunks])
    assert np.array_equal(found.vector, mean)


def test_an_encoder_with_a_class_token_encodes_each_chunk_alone(
    tiny_encoders: TinyEncoders,
) -> None:
    """A class token is one for all that is read, so that a chunk needs the title before it."""
    found, encoder, _ = read_together(tiny_encoders["modernbert"], pooling="cls")
    assert {chunk.context for chunk in found.chunks} == {"A chair."}
    (alone,) = encoder.encode_texts([f"A chair. {found.chunks[-1].text}"])
    assert found.chunks[-1].vector == pytest.approx(alone, abs=1e-4)

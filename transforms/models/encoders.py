"""The contract of encoders: texts or pictures in, one vector of length one or one Failure each out.

What a vector depends on is in the encoder's card. Nothing heavy is imported.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from schemas.hashing import digest
from schemas.sections.vectors import (
    Modality as Modality,  # encoders are written against this module
)
from transforms.models.contract import Failure, Model, Picture, Vector
from transforms.models.encoder_options import EncoderOptions

# What a text is to the encoder: part of what is searched, or what is searched for.
Role = Literal["document", "query"]
# Begins the names of a stage's counters of what an encoder behind an endpoint was asked.
ENCODER_PREFIX = "encoder_"
# Part of a character range: begin and end, as in text[begin:end].
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """What a vector depends on, in JSON values.

    id: hub id, or the folder's name; revision: of a hub id or package, empty where there is none.
    weights_sha256: digest of the files (transforms/models/identity.py), empty for an endpoint.
    library: what computes it, with its version. max_tokens: 0 for pictures, and where it is not
    known. dimension: of the vectors as they are written. dtype: of the computation.
    """

    id: str
    revision: str
    weights_sha256: str
    library: str
    modalities: tuple[Modality, ...]
    pooling: str
    max_tokens: int
    document_prompt: str
    query_prompt: str
    dimension: int
    dtype: str
    normalized: bool = True


@dataclass(frozen=True, slots=True)
class ImageEncoding:
    """vector: float32 array of shape (dimension,); labels: (label, probability), best first.

    style: float32 vector of any fixed length, how the image is drawn apart from what it shows; None
    where the model has no such measure.
    """

    vector: Vector
    labels: tuple[tuple[str, float], ...] = ()
    style: Vector | None = None


class Encoder(Model, Protocol):
    """What encoders of any modality share.

    dimension, card: known before `load`; they may read a configuration file or ask an endpoint
    once. Raise ValueError with one line that says what is wrong and how it is put right.
    """

    @property
    def dimension(self) -> int: ...

    @property
    def card(self) -> EncoderCard: ...


class TextEncoder(Encoder, Protocol):
    """Texts to float32 vectors of shape (dimension,) and length one."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has, uncut, without its prompt; after `load`."""
        ...

    def encode_texts(
        self, texts: Sequence[str], role: Role = "document"
    ) -> list[Vector | Failure]: ...


@runtime_checkable
class SpanEncoder(Protocol):
    """A text encoder that has token vectors, for parts of a text in its context (late chunking,
    Günther et al., arXiv:2409.04701).
    """

    def encode_spans(self, text: str, spans: Sequence[Span]) -> list[Vector]:
        """Return the pooled token vectors of each part of one text, of length one."""
        ...


class ImageEncoder(Encoder, Protocol):
    """Pictures to vectors of length one, and labels where it has any.

    One whose card names both modalities has `encode_texts` too.
    """

    def encode_images(self, pictures: Sequence[Picture]) -> list[ImageEncoding | Failure]: ...


@runtime_checkable
class ServedEncoder(Protocol):
    """An encoder that a server computes: it is asked over HTTP, at a price.

    address: what names the server and its model, for what was learnt of it before a run.
    batches_at_once: as many batches as the server is asked for at a time.
    """

    @property
    def address(self) -> str: ...

    @property
    def batches_at_once(self) -> int: ...

    def take_counts(self) -> Counter[str]:
        """Return what was counted since the last call: `calls`, `failures` (calls without an
        answer), `retries`, `prompt_tokens`, `request_msecs`, `cut` (texts that the server found too
        long), `lost_attempts` and `lost_tokens` (of requests without vectors that the server may
        have worked on), `estimated_tokens` (of all tokens, those that no server stated).
        """
        ...

    def beyond_budget(self) -> AbstractContextManager[None]:
        """Send what is asked in the body whatever is left of the budget; it counts all the same."""
        ...

    def close(self) -> None:
        """Release what `load` took: connections, threads, this process's share of a server."""
        ...


def beyond_budget(encoder: Encoder) -> AbstractContextManager[None]:
    """Ask an encoder, in the body, for what a run needs even when its budget is spent."""
    return encoder.beyond_budget() if isinstance(encoder, ServedEncoder) else nullcontext()


def batches_at_once(encoder: Encoder) -> int:
    """Return how many batches an encoder should be given at a time, so that it never waits."""
    return encoder.batches_at_once if isinstance(encoder, ServedEncoder) else 1


def count_requests(encoder: Encoder, count: Callable[[str, int], None]) -> None:
    """Tell `count` what an encoder behind an endpoint was asked since the last time."""
    if isinstance(encoder, ServedEncoder):
        for what, number in encoder.take_counts().items():
            count(f"{ENCODER_PREFIX}{what}", number)


def encoder_identity(encoder: Encoder, options: EncoderOptions) -> str:
    """Return what vectors that may stand in one table have in common: `model`, followed by a digest
    of the card where options shape the vectors too.

    The library's version is in the card and not in the digest: an update computes nothing again.
    Raises ValueError as `card` does.
    """
    if options == EncoderOptions(options.backend):
        return encoder.model  # as snapshots of earlier versions name it
    card = dataclasses.asdict(encoder.card)
    del card["library"]
    return f"{encoder.model} {digest(card, sort_keys=True)[:12]}"

"""Canaries: fixed texts and a picture whose vectors show whether two encoders are the same.

A name proves nothing: weights move under it, endpoints are given another model, prompts get lost.
Vectors of content that never changes do prove it, so they are kept beside every vector table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PIL import Image

from transforms.models.contract import Failure, Picture, Vector, call_each, checked_vector
from transforms.models.encoders import (
    Encoder,
    EncoderCard,
    ImageEncoder,
    ImageEncoding,
    Role,
    TextEncoder,
    beyond_budget,
)

# Each has fewer tokens than any encoder reads: several scripts, numbers with units, a long word.
# A change makes the canaries of every earlier table useless: add no text and alter none.
CANARY_TEXTS = (
    "A red ceramic mug with a white handle, 350 ml.",
    "Wasserdichte Wanderstiefel aus Leder, Größe 42, Sohle 3,5 cm.",
    "Chaussures légères pour l'été; coton biologique, lavable à 30 °C.",
    "抹茶 緑茶 100g 有機",
    "SKU 4006381333931 / 12 x 0.75 l / 2024-11-30",
)
PICTURE_SIZE_PX = (256, 192)
# Cosine from which two vectors of one canary count as the same: other hardware and batch sizes
# stay above it, other weights, prompts and poolings do not.
SAME_COSINE = 0.999
# Of the kept vectors: their cosines stay right to 1e-7.
_DECIMALS = 5


# Kind, role and content of a canary: what it is compared by.
CanaryKey = tuple[str, Role, str]


class CanaryError(ValueError):
    """An encoder gives no usable vector for a canary; the message says for which and why."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One fixed content with the vector that an encoder gave it.

    kind: `text`, or `picture` for the one that `canary_picture` draws; role: how it was embedded.
    content: the text, or SHA-256 of the picture's RGB pixels row by row, hexadecimal.
    vector: of length one, rounded to 5 decimals.
    """

    kind: str
    role: Role
    content: str
    vector: tuple[float, ...]

    @property
    def key(self) -> CanaryKey:
        """What it is compared by: the same content in the same role."""
        return self.kind, self.role, self.content

    @property
    def name(self) -> str:
        """What messages call it."""
        return "the picture" if self.kind == "picture" else f"the {self.role} {self.content!r}"


def canary_picture() -> Picture:
    """Draw the canary picture, 256 x 192 px: ramps of colour, a disc, a bar and a chequered field.

    Every pixel is computed with whole numbers, so it is the same with every version of Pillow.
    """
    width, height = PICTURE_SIZE_PX
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), 255 - x], axis=-1)
    pixels[(x - 84) ** 2 + (y - 96) ** 2 <= 56**2] = (208, 32, 48)
    pixels[(x >= 168) & (x < 192) & (y >= 24) & (y < 168)] = (24, 96, 40)
    field = (x >= 208) & (y >= 112)
    pixels[field] = np.where((((x // 8) + (y // 8)) % 2 == 0)[field][:, None], 250, 10)
    data = pixels.astype(np.uint8)
    return Picture(hashlib.sha256(data.tobytes()).hexdigest(), Image.fromarray(data, "RGB"))


def canary_keys(card: EncoderCard, modality: str) -> tuple[CanaryKey, ...]:
    """Return what is embedded for a vector table of `text` or `image`.

    Of texts both roles, if their prompts differ; of pictures the picture, and the texts that may
    search for it if the encoder reads texts too.
    """
    roles: tuple[Role, ...] = ("document",)
    pictures: tuple[CanaryKey, ...] = ()
    if modality == "image":
        pictures = (("picture", "document", canary_picture().digest),)
        roles = ("query",) if "text" in card.modalities else ()
    elif card.query_prompt != card.document_prompt:
        roles = ("document", "query")
    texts: list[CanaryKey] = [("text", role, text) for role in roles for text in CANARY_TEXTS]
    return (*pictures, *texts)


def embed_canaries(encoder: Encoder, keys: Sequence[CanaryKey]) -> tuple[Canary, ...]:
    """Embed canaries with a loaded encoder, in the order of their keys.

    Keys of pictures that this version does not draw are left out. Raises CanaryError for the first
    that has no finite vector of length one and of the encoder's dimension.
    """
    # A run whose budget is spent still has to tell which encoder made its vectors.
    with beyond_budget(encoder):
        vectors = _vectors(encoder, keys)
    return tuple(_canary(encoder, key, vectors[key]) for key in keys if key in vectors)


def _vectors(encoder: Encoder, keys: Sequence[CanaryKey]) -> dict[CanaryKey, Vector | Failure]:
    vectors: dict[CanaryKey, Vector | Failure] = {}
    for role in sorted({role for kind, role, _ in keys if kind == "text"}):
        own = [key for key in keys if key[:2] == ("text", role)]
        answers = _texts(cast(TextEncoder, encoder), [text for _, _, text in own], role)
        vectors |= dict(zip(own, answers, strict=True))
    picture = canary_picture()
    for key in keys:
        if key[0] == "picture" and key[2] == picture.digest:
            vectors[key] = _picture(cast(ImageEncoder, encoder), picture)
    return vectors


def _picture(encoder: ImageEncoder, picture: Picture) -> Vector | Failure:
    (answer,) = call_each(encoder.encode_images, [picture], "backend-failed")
    return answer.vector if isinstance(answer, ImageEncoding) else answer


def _texts(encoder: TextEncoder, texts: Sequence[str], role: Role) -> list[Vector | Failure]:
    return call_each(lambda batch: encoder.encode_texts(batch, role), texts, "embed-failed")


def _canary(encoder: Encoder, key: CanaryKey, answer: Vector | Failure) -> Canary:
    """Return the canary if the answer is a sound vector. Raises CanaryError."""
    vector = checked_vector(answer, encoder.dimension, "embed-failed")
    if isinstance(vector, Failure):
        named = Canary(*key, ()).name
        raise CanaryError(f"{encoder.card.id} cannot embed {named}: {vector.message}")
    rounded = np.round(vector.astype(np.float64), _DECIMALS)
    return Canary(*key, tuple(rounded.tolist()))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far canaries that were embedded again agree with those that were kept.

    lowest: cosine of the worst; -1 where vectors cannot be compared; compared: how many there were.
    problem: what does not fit, in words; empty where all agree.
    """

    lowest: float
    compared: int
    problem: str = ""

    @property
    def fits(self) -> bool:
        return not self.problem


def agreement(kept: Sequence[Canary], now: Sequence[Canary]) -> Agreement:
    """Compare canaries that both have, by content and role.

    Vectors of another length do not fit, and where no canary is in both nothing was proved.
    """
    again = {canary.key: canary for canary in now}
    pairs = [(canary, again[canary.key]) for canary in kept if canary.key in again]
    if not pairs:
        return Agreement(-1.0, 0, "none of the kept canaries can be embedded again")
    for before, after in pairs:
        if len(before.vector) != len(after.vector):
            lengths = f"{len(after.vector)} numbers instead of {len(before.vector)}"
            return Agreement(-1.0, len(pairs), f"vectors have {lengths}")
    cosines = [(_cosine(before.vector, after.vector), before) for before, after in pairs]
    lowest, worst = min(cosines, key=lambda each: each[0])
    if lowest >= SAME_COSINE:
        return Agreement(lowest, len(pairs))
    problem = f"{worst.name} has cosine {lowest:.4f} to the vector that was kept, {SAME_COSINE} is"
    return Agreement(lowest, len(pairs), f"{problem} the least")


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine; -1 where it is no number."""
    a, b = (np.asarray(each, np.float64) for each in (one, other))
    lengths: Any = np.linalg.norm(a) * np.linalg.norm(b)
    with np.errstate(all="ignore"):
        cosine = float(a @ b / lengths)
    return cosine if np.isfinite(cosine) else -1.0

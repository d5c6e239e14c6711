"""Labelled items that a language model is shown for how values are chosen: (item, attributes) →
Demonstrations. Pure.

The nearest by text and picture are taken, by maximal marginal relevance (Carbonell & Goldstein
1998, doi:10.1145/290941.291025): of ten variants of one product the second to tenth would say
nothing more.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.elements import Demonstration, Example

MAX_TITLE_CHARS = 200
MAX_VALUE_CHARS = 200
# How much nearness to the item counts; the rest is distance from what is chosen already.
NEARNESS = 0.7
SHORTLIST = 200  # nearest ones among which is chosen
_DECIMALS = 6  # what differs by less is equal: a sum's last digits depend on the machine

Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class _Row:
    """What is kept of an example. texts: digest of its own texts; vectors: of text and picture."""

    item_id: str
    title: str
    values: dict[str, str]
    texts: bytes
    vectors: tuple[bytes, bytes]


class Pool:
    """Examples to choose from, some ten thousand at most: every choice looks at all of them.

    An item's vector is the unit vector of its text beside the unit vector of its picture, zero
    where there is none. Examples without a text or any value are left out: they show nothing.
    """

    def __init__(self, examples: Iterable[Example]) -> None:
        by_id = {row.item_id: row for row in map(_row, examples) if row.title and row.values}
        # In the order of ids: the examples come in any order, and prompts must not depend on it.
        rows = [by_id[item_id] for item_id in sorted(by_id)]
        self._dimensions = (
            _dimension(row.vectors[0] for row in rows),
            _dimension(row.vectors[1] for row in rows),
        )
        self._matrix = _fused([row.vectors for row in rows], self._dimensions)
        self._numbers = {row.item_id: number for number, row in enumerate(rows)}
        self._shown = [(row.title, row.values) for row in rows]
        self._groups: dict[bytes, int] = {}
        self._group = np.array(
            [self._groups.setdefault(row.texts, len(self._groups)) for row in rows], np.int64
        )
        self._having: dict[str, np.ndarray[Any, np.dtype[np.bool_]]] = {}
        for number, row in enumerate(rows):
            for name in row.values:
                self._having.setdefault(name, np.zeros(len(rows), bool))[number] = True

    def choose(
        self, item: Example, attributes: Sequence[str], count: int, own_id: str
    ) -> tuple[Demonstration, ...]:
        """Up to `count` examples with a value of one of the attributes, best first; of equals the
        first by id.

        Never the one with `own_id`, nor one with the texts of the item or of another that is
        chosen. None for an item without a vector: nothing is near it.
        """
        vector = _fused([(item.text_vector, item.image_vector)], self._dimensions)[0]
        rows = self._eligible(
            attributes, self._groups.get(_digest(item), -1), self._numbers.get(own_id)
        )
        if not vector.any() or not len(rows):
            return ()
        nearness = np.round(self._matrix @ vector, _DECIMALS)
        # In the order of ids again, in which the first of equals is taken.
        nearest = np.sort(rows[np.argsort(-nearness[rows], kind="stable")[:SHORTLIST]])
        return tuple(
            self._demonstration(row, attributes)
            for row in self._diverse(nearest, nearness[nearest], count)
        )

    def _eligible(
        self, attributes: Sequence[str], group: int, own: int | None
    ) -> np.ndarray[Any, np.dtype[np.intp]]:
        eligible = np.zeros(len(self._shown), bool)
        for name in attributes:
            if name in self._having:
                eligible |= self._having[name]
        # An item with the same texts is the item itself under another id, or a variant of it: it
        # would give the answer away, or say nothing.
        eligible &= self._group != group
        if own is not None:
            eligible[own] = False
        return np.flatnonzero(eligible)

    def _diverse(
        self, rows: np.ndarray[Any, np.dtype[np.intp]], nearness: Floats, count: int
    ) -> Iterator[int]:
        """Yield up to `count` of the rows by maximal marginal relevance, one of each group."""
        vectors, groups = self._matrix[rows], self._group[rows]
        waiting, likeness = np.ones(len(rows), bool), np.zeros(len(rows), np.float32)
        for place in range(count):
            if not waiting.any():
                return
            scores = np.round(NEARNESS * nearness - (1 - NEARNESS) * likeness, _DECIMALS)
            best = int(np.argmax(np.where(waiting, scores, -np.inf)))
            yield int(rows[best])
            alike = vectors @ vectors[best]
            # The first replaces the zeros: likeness may be negative.
            likeness = np.maximum(likeness, alike) if place else alike
            waiting &= groups != groups[best]

    def _demonstration(self, row: int, attributes: Sequence[str]) -> Demonstration:
        title, values = self._shown[row]
        return Demonstration(
            title, tuple((name, values[name]) for name in attributes if name in values)
        )


def _row(example: Example) -> _Row:
    # Labels are written as the template writes them; several of a list as `format_value` joins
    # them.
    written = {name: ", ".join(labels)[:MAX_VALUE_CHARS] for name, labels in example.known.items()}
    title = next((text.text for text in example.texts if text.source == "text"), "")[
        :MAX_TITLE_CHARS
    ]
    values = {name: text for name, text in written.items() if text}
    return _Row(
        example.item_id,
        title,
        values,
        _digest(example),
        (example.text_vector, example.image_vector),
    )


def _digest(example: Example) -> bytes:
    """Return a digest of the example's own texts, whatever their case and spaces.

    Text on pictures is no part of it: it is read differently from each photograph.
    """
    texts = [
        " ".join(text.text.casefold().split()) for text in example.texts if text.source == "text"
    ]
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16).digest()


def _dimension(vectors: Iterable[bytes]) -> int:
    """Return the dimension of most float32 vectors; 0 without any."""
    sizes = Counter(len(vector) for vector in vectors if vector)
    return sizes.most_common(1)[0][0] // 4 if sizes else 0


def _fused(vectors: Sequence[tuple[bytes, bytes]], dimensions: Sequence[int]) -> Floats:
    """Return unit vectors side by side, as rows of unit length, float32 (rows, sum of dimensions).

    A vector of another dimension counts as none.
    """
    fused = np.zeros((len(vectors), sum(dimensions)), np.float32)
    begin = 0
    for part, dimension in enumerate(dimensions):
        block = fused[:, begin : begin + dimension]
        for row, parts in enumerate(vectors):
            if len(parts[part]) == 4 * dimension:
                block[row] = np.frombuffer(parts[part], "<f4")
        _make_unit(block)
        begin += dimension
    _make_unit(fused)
    return fused


def _make_unit(rows: Floats) -> None:
    """Bring rows to unit length, in place; what has no length, or no finite one, becomes zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    usable = np.isfinite(lengths) & (lengths > 0)
    np.divide(rows, lengths, out=rows, where=usable)
    rows[~usable[:, 0]] = 0

"""Closed lists that are too large for one question, level by level: (list, node, query) → at most
MAX_CHOICES choices.

A list of paths is a tree of which one level is asked at a time; a subtree that fits into one
question is offered whole. Of siblings that are still too many, those whose names are nearest to the
item's text are offered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.attributes import PATH_SEPARATOR, Attribute
from schemas.questions import MAX_CHOICES
from transforms.models.contract import Failure, Vector, call_each
from transforms.models.encoders import TextEncoder
from transforms.models.spaces import Shared

MAX_QUERY_CHARS = 1_000  # encoders read no more than some hundred tokens anyway
_CHUNK = 256  # names encoded per call, which bounds the memory of a list of many thousands

# (query, names) → the names nearest to the query, at most MAX_CHOICES, in their order.
Nearest = Callable[[str, Sequence[str]], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class TaxonomyLevel:
    """The choices offered next: choice → the value of the list that it stands for, or None where it
    leads deeper.
    """

    choices: dict[str, str | None]


def is_large(attribute: Attribute) -> bool:
    """Whether the attribute's list does not fit into one question."""
    return attribute.spec.has_closed_list and len(attribute.values) > MAX_CHOICES


def next_level(paths: Sequence[str], node: str, query: str, nearest: Nearest) -> TaxonomyLevel:
    """Return the choices below `node`, a path or "" for the root.

    >>> next_level(["A > B", "A > C", "D"], "A", "", lambda query, names: tuple(names)).choices
    {'A > B': 'A > B', 'A > C': 'A > C'}
    """
    prefix = f"{node}{PATH_SEPARATOR}" if node else ""
    below = [path for path in paths if path.startswith(prefix)]
    # The node itself may be a value of the list: the answer may stop there.
    own = [node] if node in paths else []
    if len(below) + len(own) <= MAX_CHOICES:
        return TaxonomyLevel({path: path for path in (*own, *below)})
    children: dict[str, list[str]] = {}
    for path in below:
        children.setdefault(prefix + path[len(prefix) :].split(PATH_SEPARATOR)[0], []).append(path)
    names = list(children)
    if len(names) + len(own) > MAX_CHOICES:
        names = list(nearest(query, names)[: MAX_CHOICES - len(own)])
    # A child that is a value without anything below it ends the descent; any other leads deeper.
    steps: dict[str, str | None] = {
        name: name if children[name] == [name] else None for name in names
    }
    return TaxonomyLevel({**dict.fromkeys(own, node), **steps})


@dataclass
class NearestByVector:
    """Chooses the nearest names by the run's own text encoder.

    Without a query, or when the encoder fails, the first names are taken: a descent through some of
    the list is better than none. The vectors of a list are made once per worker.
    """

    build: Callable[[], Shared[TextEncoder]]
    _encoder: Shared[TextEncoder] | None = None
    _vectors: dict[str, Vector] = field(default_factory=dict)

    def __call__(self, query: str, names: Sequence[str]) -> tuple[str, ...]:
        words = query[:MAX_QUERY_CHARS].strip()
        if not words:
            return tuple(names[:MAX_CHOICES])
        asked = self._encode([words])[0]
        if asked is None:
            return tuple(names[:MAX_CHOICES])
        self._learn(names)
        # A name that could not be encoded has a likeness of 0.
        matrix = np.stack([self._vectors.get(name, 0 * asked) for name in names])
        best = np.argsort(-(matrix @ asked), kind="stable")[:MAX_CHOICES]
        # In the order of the list again, which prompts show it in.
        return tuple(names[index] for index in sorted(best.tolist()))

    def _learn(self, names: Sequence[str]) -> None:
        unseen = [name for name in names if name not in self._vectors]
        for begin in range(0, len(unseen), _CHUNK):
            chunk = unseen[begin : begin + _CHUNK]
            # Encoders know words; they would read the separator as one.
            words = [name.replace(PATH_SEPARATOR, " ") for name in chunk]
            self._vectors |= {
                n: v for n, v in zip(chunk, self._encode(words), strict=True) if v is not None
            }

    def _encode(self, texts: list[str]) -> list[Vector | None]:
        if self._encoder is None:
            self._encoder = self.build()
        with self._encoder.loaded() as encoder:
            answers = call_each(encoder.encode_texts, texts, "embed-failed")
        return [None if isinstance(answer, Failure) else answer for answer in answers]

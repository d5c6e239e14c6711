"""Items, the buckets that hold them, and what other items are shown of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from schemas.elements.images import ImageResult
from schemas.elements.questions import Example, ItemAnswer, PreviousAnswer
from schemas.elements.records import Flag, RawRecord, Record, Reject, with_raws
from schemas.elements.values import AttributeValue


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A part of an item's text that has a vector of its own: text[begin:end] of the whole.

    context: what was put before `text` when it was encoded; empty where the encoder read it among
    its neighbours, or it names its document itself.
    """

    begin: int
    end: int
    tokens: int
    context: str
    text: str
    vector: np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Item:
    """A record on its way through the enrichment stages.

    text_vector, image_vector: of the run's own encoders, for probes and comparisons: float32 arrays
    of shape (dimension,), or None. vectors: space → float32 array, for the tables; chunks: space →
    the chunks of its text, where they are kept.
    repeated_image_rows: rows of image tables that name a picture which the item had already.
    answer: a language model's, when one was asked.
    """

    record: Record
    images: tuple[ImageResult, ...] = ()
    values: dict[str, AttributeValue] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    image_description: str | None = None
    text_source: str = ""
    text_enriched: str = ""
    text_vector: np.ndarray[Any, np.dtype[np.float32]] | None = None
    image_vector: np.ndarray[Any, np.dtype[np.float32]] | None = None
    vectors: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = field(default_factory=dict)
    chunks: dict[str, tuple[TextChunk, ...]] = field(default_factory=dict)
    repeated_image_rows: int = 0
    answer: ItemAnswer | None = None

    @property
    def item_id(self) -> str:
        return self.record.item_id

    def with_values(self, values: dict[str, AttributeValue]) -> Item:
        """Return the item with other values.

        In a third of the time of `dataclasses.replace`: every item comes by here.
        """
        return Item(
            self.record,
            self.images,
            values,
            self.flags,
            self.image_description,
            self.text_source,
            self.text_enriched,
            self.text_vector,
            self.image_vector,
            self.vectors,
            self.chunks,
            self.repeated_image_rows,
            self.answer,
        )


@dataclass(frozen=True, slots=True)
class Bucket:
    """All items whose id hashes to one bucket, sorted by id: the unit of state, memory and files.

    image_rows: item id → keys of the rows of image tables that came with it, also where the item is
    among the rejects.
    examples: item id → what probes and demonstrations see of the item, where they are wanted.
    previous_answers: item id → what a language model said of the item in earlier runs, which is
    still the same.
    """

    number: int
    items: tuple[Item, ...]
    rejects: tuple[Reject, ...] = ()
    image_rows: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    examples: dict[str, Example] = field(default_factory=dict)
    previous_answers: dict[str, PreviousAnswer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemDigest:
    """What other items with the same content are shown of an item; one for each content that it
    holds.

    content: key of the picture or text that may be shared; field: where the item holds it.
    titles: the item's own, cut; words: of each title, sorted, without what tells variants of one
    product apart.
    values: (attribute name, source value as a reader would say it) of attributes with a single
    value.
    stated: (attribute name, value) that the content itself states, of attributes with a closed
    list; of texts only.
    """

    content: str
    item_id: str
    item_bucket: int
    field: str
    titles: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    values: tuple[tuple[str, str], ...] = ()
    stated: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A flag on its way back to its item, raised where several items are compared."""

    item_id: str
    flag: Flag


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A flag for an item whose own parts disagree; it counts where such comparisons usually agree
    in the catalog.
    """

    item_id: str
    flag: Flag


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """Keys of the rows of image tables that came with an item: an entry of Bucket.image_rows."""

    item_id: str
    keys: tuple[bytes, ...]


def with_item_raws(item: Item, change: Callable[[RawRecord], RawRecord]) -> Item:
    """Return an item whose record has other raw records; itself where none changes."""
    record = with_raws(item.record, change)
    return item if record is item.record else replace(item, record=record)

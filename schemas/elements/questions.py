"""What probes and language models see of an item, and what a language model said of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.elements.values import AttributeValue, EvidenceText
from schemas.reasons import Effect, check_registered


@dataclass(frozen=True, slots=True)
class Example:
    """What a probe sees of an item, to learn from its known values or to answer for the missing
    ones.

    texts: that may state values, titles first; known: attribute name → the source's values as
    labels.
    absent: attributes of which the source says that there is none.
    text_vector, image_vector: float32 little-endian bytes, empty without one; pictures: digests.
    picture_tokens: (token, weight) such as (`color=Red`, share) and (`label=mug`, probability).
    """

    item_id: str
    texts: tuple[EvidenceText, ...] = ()
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    text_vector: bytes = b""
    image_vector: bytes = b""
    pictures: tuple[str, ...] = ()
    picture_tokens: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Demonstration:
    """An item whose values are known, as a language model is shown it; values: of attributes that
    are asked for.
    """

    title: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class DescribeJob:
    """What a language model is to be asked about one item; equal content is asked once, whatever
    the item.

    fields: (field name, text) that may state values, titles first, cut to what a prompt may hold.
    known: (attribute name, value as a reader would say it) of what needs no asking.
    pictures: digests of distinct usable pictures, in the item's order; attributes: names of those
    still open.
    describe: whether the pictures are to be described too.
    demonstrations: of other items, shown with the question; no part of the content, which is this
    item's alone.
    """

    item_id: str
    item_bucket: int
    fields: tuple[tuple[str, str], ...] = ()
    known: tuple[tuple[str, str], ...] = ()
    pictures: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    describe: bool = True
    demonstrations: tuple[Demonstration, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """What a language model said of one item, checked.

    values: attribute name → value, or unknown with the reason, for each attribute that was asked
    for.
    reason, message: why there is no answer, or not all of it; raw: the model's last answer, when it
    was unusable.
    repairs: of each answer that was read all the same, what was in the way.
    fingerprint: of the request whose answer holds the description; described: digests of the
    pictures it is of.
    """

    item_id: str
    description: str = ""
    alt_text: str = ""
    values: dict[str, AttributeValue] = field(default_factory=dict)
    method: str = ""
    model: str = ""
    prompt_hash: str = ""
    fingerprint: str = ""
    described: tuple[str, ...] = ()
    reason: str | None = None
    message: str = ""
    raw: str = ""
    repairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.reason is not None:
            check_registered(self.reason, Effect.FLAG)


@dataclass(frozen=True, slots=True)
class PreviousAnswer:
    """What a language model said of an item in an earlier run, to be used again if the item is
    still the same.

    fingerprint: of the item then; current: what was asked as it would be asked now; stale: what
    another model, prompt or template entry gave, to stand until there is something better.
    """

    item_id: str
    fingerprint: str
    current: ItemAnswer
    stale: ItemAnswer | None = None


@dataclass(frozen=True, slots=True)
class AskedAhead:
    """A request that was sent while pictures were still being prepared.

    fingerprint: empty where what follows holds for every further request too. reason, message: why
    there is no answer; None: it is kept. repairs: of the answer, which are not kept with it.
    """

    fingerprint: str
    reason: str | None = None
    message: str = ""
    repairs: tuple[str, ...] = ()

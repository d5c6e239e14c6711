"""Values of attributes, where they were seen, and texts that may state them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.reasons import Effect, check_registered, ids_with

# A normalised value, by the type of its attribute (transforms.attribute_types): a number is always
# a float, a closed list with several answers a list, a localized text a mapping from language to
# text, a date its ISO form.
Value = str | float | bool | list[str] | dict[str, str]


# There are values by the million, so what is right is seen at once.
_OF_UNKNOWNS = ids_with(Effect.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a value was seen.

    field: the attribute whose text holds the span, `image_text` for text read off a picture,
      or `column:<name>` for a value that the source gave.
    begin, end: code point offsets into that text, end exclusive; None where there is no span.
    """

    field: str
    begin: int | None = None
    end: int | None = None
    text: str = ""
    image: str | None = None


@dataclass(frozen=True, slots=True)
class EvidenceText:
    """A text that may state values.

    field: attribute name, `name.language` for a localized one, `image_text` for text read off a
    picture.
    image: digest of that picture.
    """

    field: str
    text: str
    source: Literal["text", "image"]
    image: str | None = None

    @property
    def attribute(self) -> str:
        """Name of the attribute, without its language; `image_text` names none."""
        return self.field.partition(".")[0]


@dataclass(frozen=True, slots=True)
class AttributeValue:
    """A value with its provenance; `value` is None exactly when `reason` says why it is unknown.

    An unknown has no source; its method, confidence, evidence and candidate say what was seen and
    did not suffice.

    source: record | text | image | neighbour | model.
    confidence: 0 to 1.
    candidate: of an unknown, the value that was considered.
    """

    value: Value | None
    source: str | None = None
    method: str | None = None
    confidence: float | None = None
    evidence: Evidence | None = None
    model: str | None = None
    prompt_hash: str | None = None
    fingerprint: str | None = None
    reason: str | None = None
    candidate: Value | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError(f"a value needs a source, an unknown a reason: {self!r}")
        if self.value is not None and self.candidate is not None:
            raise ValueError(f"only an unknown has a candidate: {self!r}")
        if self.reason is not None and self.reason not in _OF_UNKNOWNS:
            check_registered(self.reason, Effect.UNKNOWN)

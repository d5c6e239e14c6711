"""What is asked of a language model, and the JSON Schema that its answer has to obey; both follow
from the template.

Every attribute asked for has the key of its name, and `NAME.confidence` and `NAME.seen` beside it:
the schema is flat, its strings and lists are bounded, and `unknown` is always allowed, or an empty
list where a list is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from schemas.attributes import Attribute

NOWHERE = "nowhere"
# No attribute has a dot in its name, and a template may well have a `description` of its own.
DESCRIPTION, ALT_TEXT = "image.description", "image.alt_text"
CONFIDENCE_KEY, SEEN_KEY = ".confidence", ".seen"

MAX_DESCRIPTION_CHARS = 600
MAX_ALT_TEXT_CHARS = 160
# More choices than these go level by level (transforms.describe.taxonomy), at a call each. A list
# in the prompt is cheaper.
MAX_CHOICES = 256

# The words that a model may use for its confidence, and what they count as: priors, not
# measurements. Where the server gives log-probabilities, the probability of the value's tokens
# bounds them from above.
CONFIDENCE_WORDS: dict[str, float] = {"certain": 0.95, "likely": 0.8, "guess": 0.4}


# Without slots, which have no room for what is derived once and needed for many items.
@dataclass(frozen=True)
class Question:
    """What one request asks for.

    attributes: in the template's order; choices: attribute → the values on offer, for closed lists.
    places: where the model may have seen a value: field names, and `image 1`, `image 2` ... for
    pictures.
    describe: whether the pictures are to be described; lean: only what is needed, no confidence,
    place or alt text.
    """

    attributes: tuple[Attribute, ...] = ()
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    describe: bool = False
    lean: bool = False

    def offered(self, attribute: Attribute) -> tuple[str, ...]:
        """Return the values on offer for an attribute with a closed list."""
        known = self._offered.get(attribute.name)
        return _offered(self.choices, attribute) if known is None else known

    @cached_property
    def _offered(self) -> dict[str, tuple[str, ...]]:
        return {each.name: _offered(self.choices, each) for each in self.attributes}

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the answer, see `answer_schema`; made once."""
        return answer_schema(self)

    def places_of(self, attribute: Attribute) -> tuple[str, ...]:
        """Return where the attribute's evidence may lie, of the places that there are."""
        return tuple(
            p for p in self.places if ("image" if is_picture(p) else "text") in attribute.evidence
        )


def _offered(choices: Mapping[str, tuple[str, ...]], attribute: Attribute) -> tuple[str, ...]:
    return choices.get(attribute.name) or tuple(choice.value for choice in attribute.values)


def picture_place(number: int) -> str:
    """Return the name of the picture with this 1-based number."""
    return f"image {number}"


def is_picture(place: str) -> bool:
    # No field has a space in its name.
    return place.startswith("image ")


def answer_schema(question: Question) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the answer to `question`: one flat object, every
    key required.
    """
    properties: dict[str, Any] = {}
    if question.describe:
        properties[DESCRIPTION] = {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_DESCRIPTION_CHARS,
        }
        if not question.lean:
            properties[ALT_TEXT] = {"type": "string", "maxLength": MAX_ALT_TEXT_CHARS}
    for attribute in question.attributes:
        offered = question.offered(attribute)
        properties[attribute.name] = attribute.spec.answer_schema(attribute, offered)
        if not question.lean:
            words = {"type": "string", "enum": list(CONFIDENCE_WORDS)}
            places = {"type": "string", "enum": [*question.places_of(attribute), NOWHERE]}
            properties |= {
                attribute.name + CONFIDENCE_KEY: words,
                attribute.name + SEEN_KEY: places,
            }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }

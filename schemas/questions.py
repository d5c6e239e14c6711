"""What is asked of a language model, and the JSON Schema that its answer has to obey; both follow
from the template.

Every attribute asked for has the key of its name, and `NAME.confidence` and `NAME.seen` beside it:
the schema is flat, its strings and lists are bounded, and `unknown` is always allowed, or an empty
list where a list is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.attributes import Attribute, AttributeType

UNKNOWN = "unknown"
NOWHERE = "nowhere"
# No attribute has a dot in its name, and a template may well have a `description` of its own.
DESCRIPTION, ALT_TEXT = "image.description", "image.alt_text"
CONFIDENCE_KEY, SEEN_KEY = ".confidence", ".seen"

MAX_DESCRIPTION_CHARS = 600
MAX_ALT_TEXT_CHARS = 160
MAX_TEXT_CHARS = 200
MAX_LIST_VALUES = 12
# More choices than these go level by level (transforms.describe.taxonomy), at a call each. A list
# in the prompt is cheaper.
MAX_CHOICES = 256

# The words that a model may use for its confidence, and what they count as: priors, not
# measurements. Where the server gives log-probabilities, the probability of the value's tokens
# bounds them from above.
CONFIDENCE_WORDS: dict[str, float] = {"certain": 0.95, "likely": 0.8, "guess": 0.4}

# A grammar that allowed any number would let digits run on.
_NUMBER = r"-?[0-9]{1,9}(\.[0-9]{1,4})?"
_WHOLE = r"-?[0-9]{1,9}"
_CODE = r"[0-9][0-9-]{6,16}[0-9Xx]"


@dataclass(frozen=True, slots=True)
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
        """The values on offer for an attribute with a closed list."""
        return self.choices.get(attribute.name) or tuple(
            choice.value for choice in attribute.values
        )

    def places_of(self, attribute: Attribute) -> tuple[str, ...]:
        """Where the attribute's evidence may lie, of the places that there are."""
        return tuple(
            p for p in self.places if ("image" if is_picture(p) else "text") in attribute.evidence
        )


def picture_place(number: int) -> str:
    """The name of the picture with this 1-based number."""
    return f"image {number}"


def is_picture(place: str) -> bool:
    # No field has a space in its name.
    return place.startswith("image ")


def answer_schema(question: Question) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the answer to `question`: one flat object, every key
    required.
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
        properties[attribute.name] = value_schema(attribute, question.offered(attribute))
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


def value_schema(attribute: Attribute, offered: tuple[str, ...]) -> dict[str, Any]:
    """The JSON Schema of one attribute's value."""
    match attribute.type:
        case AttributeType.ENUM | AttributeType.CATEGORY:
            return {"type": "string", "enum": [*dict.fromkeys([*offered, UNKNOWN])]}
        case AttributeType.MULTI_ENUM:
            entries = {"type": "string", "enum": list(offered)}
            return {
                "type": "array",
                "items": entries,
                "maxItems": min(len(offered), MAX_LIST_VALUES),
            }
        case AttributeType.BOOLEAN:
            return {"type": "string", "enum": ["yes", "no", UNKNOWN]}
        case AttributeType.NUMBER:
            return _matching(_WHOLE if attribute.integer else _NUMBER)
        case AttributeType.IDENTIFIER:
            return _matching(_CODE)
        case _:
            return {
                "type": "string",
                "minLength": 1,
                "maxLength": min(attribute.max_length, MAX_TEXT_CHARS),
            }


def _matching(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^({UNKNOWN}|{pattern})$"}

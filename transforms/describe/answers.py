"""A language model's answer → values with provenance, or why it cannot be used.

Nothing in an answer is trusted.

ChatAnswer → dict that obeys the question's schema | Problem; (attribute, dict) → AttributeValue.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jsonschema
import orjson

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Evidence, Value
from schemas.questions import (
    CONFIDENCE_KEY,
    CONFIDENCE_WORDS,
    NOWHERE,
    SEEN_KEY,
    Question,
    is_picture,
)
from schemas.reasons import Effect, check_registered
from schemas.template import Template
from schemas.texts import one_line, shorten
from transforms.attribute_types.registry import operations_of
from transforms.items.evidence import find_statements
from transforms.models.chat import ChatAnswer

# What an answer without a confidence of its own counts as, since the retry asks for none: where the
# probability of the value's tokens is known, that decides; elsewhere nothing speaks for it.
UNSTATED, UNSTATED_BUT_MEASURED = CONFIDENCE_WORDS["guess"], CONFIDENCE_WORDS["likely"]
MAX_SHOWN_CHARS = 200
METHOD = "mllm:"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an answer cannot be used: a registered reason id, a message, and the answer as it
    came.
    """

    reason: str
    message: str
    raw: str = ""

    def __post_init__(self) -> None:
        check_registered(self.reason, Effect.UNKNOWN)

    @property
    def of_answer(self) -> bool:
        """Whether the model did answer, so that asking otherwise may help; the client has retried
        the rest.
        """
        return self.reason.startswith("answer-")


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer came from, and what its places stand for.

    texts: field name → the text that the model was shown; pictures: digests, `image 1` is the
    first.
    caption: whether the pictures were shown as a description made before.
    """

    template: Template
    model: str
    prompt_hash: str
    fingerprint: str
    texts: Mapping[str, str]
    pictures: tuple[str, ...] = ()
    caption: bool = False


def method_of(model: str) -> str:
    """How the tables name a language model's way of finding a value."""
    return f"{METHOD}{model}"


def read_answer(answer: ChatAnswer, schema: Mapping[str, Any]) -> dict[str, Any] | Problem:
    """The answer as an object that obeys `schema`, or the Problem with it."""
    if not answer.content.strip():
        why = f"finish_reason {answer.finish_reason}, {answer.completion_tokens:,} tokens"
        return Problem(
            "answer-empty", f"the answer holds nothing but white space ({why})", answer.content
        )
    if answer.finish_reason == "content_filter":
        return Problem(
            "model-refused", "the server's content filter withheld the answer", answer.content
        )
    try:
        content = json.loads(answer.content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        shown = _shown(answer.content)
        if answer.finish_reason == "length":
            return Problem(
                "answer-truncated",
                f"cut off after {answer.completion_tokens:,} tokens: {shown}",
                answer.content,
            )
        return Problem("answer-malformed", f"no JSON ({error}): {shown}", answer.content)
    fault = _first_fault(content, schema)
    return content if fault is None else Problem("answer-off-schema", fault, answer.content)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _shown(text: str) -> str:
    # An answer may be megabytes long, and is cut first; four times, for spaces may go.
    line = one_line(text[: 4 * MAX_SHOWN_CHARS], invisible="dropped")
    return repr(shorten(line, MAX_SHOWN_CHARS, "...", counted=False))


def _first_fault(content: Any, schema: Mapping[str, Any]) -> str | None:
    fault = jsonschema.exceptions.best_match(_validator(orjson.dumps(schema)).iter_errors(content))
    if fault is None:
        return None
    place = ".".join(str(step) for step in fault.absolute_path)
    return f"{place or 'the answer'}: {_shown(fault.message)}"


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(orjson.loads(schema))


def judge(
    question: Question,
    attribute: Attribute,
    content: Mapping[str, Any],
    answer: ChatAnswer,
    source: Source,
) -> AttributeValue:
    """What a checked answer says of one attribute.

    Reasons of an unknown: `model-unknown`, `below-threshold`, and `answer-off-schema` for a value
    that the schema could not rule out (an identifier with a wrong check digit, a number outside its
    range).
    """
    known = AttributeValue(
        None,
        method=method_of(source.model),
        model=source.model,
        prompt_hash=source.prompt_hash,
        fingerprint=source.fingerprint,
        reason="model-unknown",
    )
    said = content[attribute.name]
    place = content.get(attribute.name + SEEN_KEY)
    operations = operations_of(attribute)
    if operations.is_unknown(said) or place == NOWHERE:
        return known
    value = operations.parse_answer(attribute, said)
    if value is None:
        evidence = Evidence(place or "", text=_shown(str(said)))
        return replace(known, evidence=evidence, reason="answer-off-schema")
    confidence = confidence_of(attribute, content, answer)
    known = replace(
        known, confidence=confidence, evidence=_evidence(question, attribute, value, place, source)
    )
    if confidence < attribute.min_confidence:
        return replace(known, reason="below-threshold")
    return replace(known, value=value, source="model", reason=None)


def confidence_of(attribute: Attribute, content: Mapping[str, Any], answer: ChatAnswer) -> float:
    """The prior of the model's confidence word, bounded by the probability of the value's tokens
    where it is known.
    """
    word = content.get(attribute.name + CONFIDENCE_KEY)
    measured = attribute.name in answer.probabilities
    prior = (
        (UNSTATED_BUT_MEASURED if measured else UNSTATED)
        if word is None
        else CONFIDENCE_WORDS[word]
    )
    # Rounded: a float32 column and a comparison with the threshold must agree.
    return round(min(prior, answer.probabilities.get(attribute.name, 1.0)), 4)


def _evidence(
    question: Question, attribute: Attribute, value: Value, place: str | None, source: Source
) -> Evidence:
    """Where the value was seen: a picture, the span that names it in the field, or the field as a
    whole.
    """
    if place is None:
        places = question.places_of(attribute)
        place = places[0] if len(places) == 1 else None
    if place is not None and is_picture(place):
        if source.caption:
            return Evidence(
                "image_description", image=source.pictures[0] if len(source.pictures) == 1 else None
            )
        return Evidence("images", image=source.pictures[int(place.removeprefix("image ")) - 1])
    if place is None:
        return Evidence("record", text="the model was not asked where")
    text = source.texts[place]
    for stated in find_statements(source.template, attribute, text):
        if stated.value == value or (isinstance(value, list) and stated.value in value):
            return Evidence(place, stated.begin, stated.end, text[stated.begin : stated.end])
    begin = text.find(value) if isinstance(value, str) else -1
    return (
        Evidence(place, begin, begin + len(value), value)
        if begin >= 0 and isinstance(value, str)
        else Evidence(place)
    )

"""Turn a language model's answer into values with provenance, or say why it cannot be used.

Nothing in an answer is trusted.

ChatAnswer → dict that obeys the question's schema | Problem; (attribute, dict) → AttributeValue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import jsonschema
import orjson

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Evidence, Value
from schemas.hashing import digest
from schemas.questions import (
    ALT_TEXT,
    CONFIDENCE_KEY,
    CONFIDENCE_WORDS,
    DESCRIPTION,
    NOWHERE,
    SEEN_KEY,
    Question,
    is_picture,
)
from schemas.reasons import Effect, check_registered
from schemas.template import Template
from schemas.texts import one_line, shorten
from transforms.attribute_types.registry import operations_of
from transforms.describe.fitting import fit, optional_keys
from transforms.items.evidence import find_statements
from transforms.models.answer_text import FoundObject, find_objects
from transforms.models.chat import REFUSED, TOO_LARGE, ChatAnswer

# The confidence of an answer that states none, since the retry asks for none: where the probability
# of the value's tokens is known, that decides; elsewhere nothing speaks for it.
UNSTATED, UNSTATED_BUT_MEASURED = CONFIDENCE_WORDS["guess"], CONFIDENCE_WORDS["likely"]
MAX_SHOWN_CHARS = 200  # of an answer, in a message
# finish_reason → what is said of an answer that was withheld; asking again would change nothing.
REFUSALS = {
    "content_filter": "the server's content filter withheld the answer",
    REFUSED: "the model refused to answer",
}
# Keywords of JSON Schema by type, of which it is quickly told whether an answer obeys.
_NONE = frozenset[str]()
_QUICK: Mapping[str, frozenset[str]] = {
    "object": frozenset({"type", "properties", "required", "additionalProperties"}),
    "array": frozenset({"type", "items", "maxItems"}),
    "string": frozenset({"type", "enum", "minLength", "maxLength", "pattern"}),
}
METHOD = "mllm:"  # what the column `method` of the tables begins with


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
        """Whether the model did answer, so that another way of asking may help. Other failures were
        retried by the client.
        """
        return self.reason.startswith("answer-")


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer came from, and what its places stand for.

    texts: field name → the text that the model was shown; pictures: digests, of which `image 1` is
    the first; caption: whether a description was shown in their place.
    """

    template: Template
    model: str
    prompt_hash: str
    fingerprint: str
    texts: Mapping[str, str]
    pictures: tuple[str, ...] = ()
    caption: bool = False


def method_of(model: str) -> str:
    """Return the method by which the tables say that a value is from this model."""
    return f"{METHOD}{model}"


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """An answer's content, which obeys the question's schema but that confidence and place may be
    missing, and what had to be repaired to read it, in words.

    faults: key of a value → what is wrong with it; such a value is not part of the content.
    """

    content: Mapping[str, Any]
    repairs: tuple[str, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)


def read_answer(answer: ChatAnswer, schema: Mapping[str, Any]) -> ReadAnswer | Problem:
    """Return the answer as an object that obeys `schema`, or the Problem with it.

    Wrapped answers are read (transforms.models.answer_text), and right ones in another form
    (transforms.describe.fitting), if exactly one object can be meant. Where single values are
    wrong, the others are read.
    """
    # Servers may ignore the schema that they are sent, so it is checked here whatever they promise.
    if answer.finish_reason in REFUSALS:
        said = f": {_shown(answer.content)}" if answer.content.strip() else ""
        return Problem("model-refused", REFUSALS[answer.finish_reason] + said, answer.content)
    if answer.finish_reason == TOO_LARGE:
        shown = _shown(answer.content)
        return Problem(
            "answer-too-large", f"longer than --max-answer-bytes: {shown}", answer.content
        )
    if not answer.content.strip():
        why = f"finish_reason {answer.finish_reason}, {answer.completion_tokens:,} tokens"
        return Problem(
            "answer-empty", f"the answer holds nothing but white space ({why})", answer.content
        )
    try:
        found = find_objects(answer.content)
    except (ValueError, RecursionError) as error:
        shown = _shown(answer.content)
        # Only an answer that is not JSON counts as cut off: one that was complete at its last token
        # may also have this finish reason.
        if answer.finish_reason == "length":
            return Problem(
                "answer-truncated",
                f"cut off after {answer.completion_tokens:,} tokens: {shown}",
                answer.content,
            )
        # Rows of earlier versions hold this text: another would make them differ.
        return Problem("answer-malformed", f"no JSON ({error}): {shown}", answer.content)
    return _only_one(answer, found, schema)


def _only_one(
    answer: ChatAnswer, found: Sequence[FoundObject], schema: Mapping[str, Any]
) -> ReadAnswer | Problem:
    """Return the object that obeys the schema, once it is brought into form; the Problem where none
    does, or several do that differ.
    """
    faults: list[str] = []
    obeying: dict[str, ReadAnswer] = {}
    partly: dict[str, ReadAnswer] = {}
    for each in found:
        content, repairs = each.value, (*answer.repairs, *each.repairs)
        fault = _first_fault(content, schema)
        if fault is not None:
            content, more = fit(content, schema)
            if _first_fault(content, optional_keys(schema)) is not None:
                # What is reported is the fault of what the model wrote.
                faults.append(fault)
                kept, wrong = _without_faults(content, schema)
                if kept:
                    partly.setdefault(digest(kept), ReadAnswer(kept, (*repairs, *more), wrong))
                continue
            repairs = (*repairs, *more)
        obeying.setdefault(digest(content), ReadAnswer(content, repairs))
    if len(obeying) == 1:
        return next(iter(obeying.values()))
    if obeying:
        problem = f"{len(obeying)} objects that differ: {_shown(answer.content)}"
        return Problem("answer-malformed", problem, answer.content)
    if len(partly) == 1:
        return next(iter(partly.values()))
    return Problem("answer-off-schema", faults[0], answer.content)


def _without_faults(
    content: Any, schema: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of an answer that are right, and what is wrong with the others; nothing
    where the answer as a whole is at fault, its description, or every value.
    """
    if not isinstance(content, dict):
        return {}, {}
    missing = [key for key in optional_keys(schema)["required"] if key not in content]
    wrong = dict.fromkeys(missing, "it is missing")
    for fault in _validator(orjson.dumps(optional_keys(schema))).iter_errors(content):
        if fault.absolute_path:
            # A value that is said to be seen where nothing was shown is as doubtful as a wrong one.
            wrong[_value_key(str(fault.absolute_path[0]))] = _shown(fault.message)
        elif fault.validator != "required":
            return {}, {}
    kept = {key: value for key, value in content.items() if _value_key(key) not in wrong}
    values = [key for key in kept if key == _value_key(key) != ALT_TEXT]
    # What misses more than it has is a piece of something.
    is_whole = bool(values) and len(missing) <= len(values) and DESCRIPTION not in wrong
    return (kept, wrong) if is_whole else ({}, {})


def _value_key(key: str) -> str:
    """Return the key of the value that a key of confidence or place belongs to, else the key."""
    return key.removesuffix(CONFIDENCE_KEY).removesuffix(SEEN_KEY)


def _shown(text: str) -> str:
    # An answer may be megabytes long, so it is cut first; to four times the length, because runs of
    # white space become shorter.
    line = one_line(text[: 4 * MAX_SHOWN_CHARS], invisible="dropped")
    return repr(shorten(line, MAX_SHOWN_CHARS, "...", counted=False))


def surely_obeys(said: Any, schema: Mapping[str, Any]) -> bool:
    """Tell quickly whether an answer obeys a schema of the kinds that questions have; False where
    it does not, or where only a whole validator can tell.

    >>> surely_obeys(["a"], {"type": "array", "items": {"type": "string", "maxLength": 1}})
    True
    """
    kind = schema.get("type")
    if not (isinstance(kind, str) and schema.keys() <= _QUICK.get(kind, _NONE)):
        return False
    if kind == "object":
        properties = schema.get("properties", {})
        return (
            isinstance(said, dict)
            and said.keys() <= properties.keys()
            and all(key in said for key in schema.get("required", ()))
            and all(surely_obeys(each, properties[key]) for key, each in said.items())
        )
    if kind == "array":
        most = schema.get("maxItems", len(said) if isinstance(said, list) else 0)
        return (
            isinstance(said, list)
            and len(said) <= most
            and all(surely_obeys(each, schema.get("items", {})) for each in said)
        )
    return (
        isinstance(said, str)
        and said in schema.get("enum", (said,))
        and schema.get("minLength", 0) <= len(said) <= schema.get("maxLength", len(said))
        and ("pattern" not in schema or re.fullmatch(schema["pattern"], said) is not None)
    )


def _first_fault(content: Any, schema: Mapping[str, Any]) -> str | None:
    if surely_obeys(content, schema):
        return None
    fault = jsonschema.exceptions.best_match(_validator(orjson.dumps(schema)).iter_errors(content))
    if fault is None:
        return None
    place = ".".join(str(step) for step in fault.absolute_path)
    return f"{place or 'the answer'}: {_shown(fault.message)}"


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    return _Validator(orjson.loads(schema))


def _off_pattern(
    _validator: Any, pattern: str, said: Any, _schema: Mapping[str, Any]
) -> Iterator[jsonschema.ValidationError]:
    # Patterns of questions are of whole texts, and `$` would let a line break through behind one.
    if isinstance(said, str) and not re.fullmatch(pattern, said):
        yield jsonschema.ValidationError(f"{said!r} does not match {pattern!r}")


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, {"pattern": _off_pattern}
)


def judge(
    question: Question,
    attribute: Attribute,
    content: Mapping[str, Any],
    answer: ChatAnswer,
    source: Source,
) -> AttributeValue:
    """Return the value of one attribute by an answer that obeys the schema.

    Reasons of an unknown: `model-unknown`, `below-threshold`, and `answer-off-schema` for a value
    that the schema could not rule out (an identifier with a wrong check digit, a number outside its
    range).
    """
    result = AttributeValue(
        None,
        method=method_of(source.model),
        model=source.model,
        prompt_hash=source.prompt_hash,
        fingerprint=source.fingerprint,
        reason="model-unknown",
    )
    answered = content[attribute.name]
    place = content.get(attribute.name + SEEN_KEY)
    operations = operations_of(attribute)
    # A value that the model saw nowhere is a guess from what such things usually are.
    if operations.is_unknown(answered) or place == NOWHERE:
        return result
    value = operations.parse_answer(attribute, answered)
    if value is None:
        evidence = Evidence(place or "", text=_shown(str(answered)))
        return replace(result, evidence=evidence, reason="answer-off-schema")
    confidence = confidence_of(attribute, content, answer)
    result = replace(
        result, confidence=confidence, evidence=_evidence(question, attribute, value, place, source)
    )
    if confidence < attribute.min_confidence:
        return replace(result, reason="below-threshold")
    return replace(result, value=value, source="model", reason=None)


def confidence_of(attribute: Attribute, content: Mapping[str, Any], answer: ChatAnswer) -> float:
    """Return the number that stands for the model's confidence word, but at most the probability of
    the value's tokens where that is known.
    """
    word = content.get(attribute.name + CONFIDENCE_KEY)
    measured = attribute.name in answer.probabilities
    prior = (
        (UNSTATED_BUT_MEASURED if measured else UNSTATED)
        if word is None
        else CONFIDENCE_WORDS[word]
    )
    # Rounded, because a float32 column and the comparison with the threshold must agree.
    return round(min(prior, answer.probabilities.get(attribute.name, 1.0)), 4)


def _evidence(
    question: Question, attribute: Attribute, value: Value, place: str | None, source: Source
) -> Evidence:
    """Return where the value was seen: a picture, the span that names it in the field, or the field
    as a whole.
    """
    # The retry does not ask for places; where there is only one, no other can be meant.
    if place is None:
        places = question.places_of(attribute)
        place = places[0] if len(places) == 1 else None
    if place is not None and is_picture(place):
        # A caption does not say which of several pictures it speaks of.
        if source.caption:
            return Evidence(
                "image_description", image=source.pictures[0] if len(source.pictures) == 1 else None
            )
        return Evidence("images", image=source.pictures[int(place.removeprefix("image ")) - 1])
    if place is None:
        return Evidence("record", text="the model was not asked where")
    text = source.texts[place]
    # The rules find a value also where the text has a synonym of it; a plain search comes after.
    for stated in find_statements(source.template, attribute, text):
        if stated.value == value or (isinstance(value, list) and stated.value in value):
            return Evidence(place, stated.begin, stated.end, text[stated.begin : stated.end])
    begin = text.find(value) if isinstance(value, str) else -1
    return (
        Evidence(place, begin, begin + len(value), value)
        if begin >= 0 and isinstance(value, str)
        else Evidence(place)
    )

"""transforms.describe.answers: nothing in an answer is trusted, everything filled says where it was
seen.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attribute_types.registry import AttributeType
from schemas.elements import AttributeValue, Evidence
from schemas.questions import Question, answer_schema, picture_place
from schemas.template import Template
from transforms.describe.answers import Problem, Source, judge, read_answer
from transforms.models.chat import ChatAnswer

SHOP = Template.model_validate(
    {
        "name": "shop",
        "version": "1.0.0",
        "record": {"id": "id"},
        "attributes": [
            {"name": "title", "type": "string", "role": "title"},
            {"name": "color", "type": "enum", "values": ["Red", {"value": "Blue", "synonyms": ["navy"]}], "fill": True, "evidence": ["text", "image"]},
            {"name": "tags", "type": "multi_enum", "values": ["new", "sale", "eco"], "fill": True},
            {"name": "weight", "type": "number", "unit": "g", "min": 1, "max": 500, "fill": True},
            {"name": "proof", "type": "boolean", "fill": True},
            {"name": "ean", "type": "identifier", "scheme": "gtin", "fill": True},
            {"name": "maker", "type": "string", "fill": True, "min_confidence": 0.5},
        ],
    }
)  # fmt: skip
OPEN = tuple(a for a in SHOP.attributes if a.fill)
QUESTION = Question(OPEN, places=("title", picture_place(1), picture_place(2)))
SCHEMA = answer_schema(QUESTION)
SOURCE = Source(SHOP, "m 1", "p" * 64, "f" * 64, {"title": "A navy jug by Acme"}, ("d1", "d2"))


def content(**said: Any) -> dict[str, Any]:
    """An answer that says unknown, but for what is given as NAME=(value, confidence word, place)."""
    whole: dict[str, Any] = {}
    for attribute in OPEN:
        unknown = [] if attribute.type is AttributeType.MULTI_ENUM else "unknown"
        value, word, place = said.get(attribute.name, (unknown, "guess", "nowhere"))
        whole |= {
            attribute.name: value,
            f"{attribute.name}.confidence": word,
            f"{attribute.name}.seen": place,
        }
    return whole


def answer(text: Any, finish_reason: str = "stop", **more: Any) -> ChatAnswer:
    return ChatAnswer(text if isinstance(text, str) else json.dumps(text), finish_reason, **more)


def judged(
    name: str, value: Any, word: str = "certain", place: str = "title", **more: Any
) -> AttributeValue:
    said = content(**{name: (value, word, place)})
    given_answer = answer(said, **more)
    checked = read_answer(given_answer, SCHEMA)
    assert isinstance(checked, dict), checked
    return judge(QUESTION, SHOP.by_name[name], checked, given_answer, SOURCE)


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ("", "stop", "answer-empty"),
        ("  \n\t " * 400, "length", "answer-empty"),
        ('{"color": "Re', "length", "answer-truncated"),
        ('{"color": "Re', "stop", "answer-malformed"),
        ("Sure! Here is the JSON:", "stop", "answer-malformed"),
        ("[" * 100_000, "stop", "answer-malformed"),
        ('{"weight": NaN}', "stop", "answer-malformed"),
        ("[]", "stop", "answer-off-schema"),
        ('"red"', "stop", "answer-off-schema"),
        ("{}", "stop", "answer-off-schema"),
        (json.dumps(content() | {"note": "x"}), "stop", "answer-off-schema"),
        (json.dumps(content() | {"color": "Crimson"}), "stop", "answer-off-schema"),
        (json.dumps(content() | {"color": 7}), "stop", "answer-off-schema"),
        (json.dumps(content() | {"color.seen": "image 3"}), "stop", "answer-off-schema"),
        (json.dumps(content()), "content_filter", "model-refused"),
    ],
)
def test_an_answer_that_cannot_be_used_has_its_reason(
    text: str, finish_reason: str, reason: str
) -> None:
    """Every kind of unusable answer is told apart, with a short message and the answer as it came."""
    problem = read_answer(answer(text, finish_reason), SCHEMA)
    assert isinstance(problem, Problem)
    assert problem.reason == reason
    assert problem.raw == text
    assert len(problem.message) < 500
    assert "\n" not in problem.message


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda c: st.lists(c) | st.dictionaries(st.text(), c),
        max_leaves=6,
    ).map(json.dumps)
)
def test_no_answer_raises(text: str) -> None:
    """Whatever a model says is an object that obeys the schema, or a Problem."""
    read = read_answer(answer(text), SCHEMA)
    assert isinstance(read, Problem) or read.keys() == SCHEMA["properties"].keys()


def test_a_value_in_a_text_has_its_span() -> None:
    """What the model saw in a field points at the words that say so, synonyms included."""
    value = judged("color", "Blue")
    assert (value.value, value.source, value.method) == ("Blue", "model", "mllm:m 1")
    assert value.evidence == Evidence("title", 2, 6, "navy")
    assert judged("maker", "Acme").evidence == Evidence("title", 14, 18, "Acme")


def test_a_value_in_a_picture_names_the_picture() -> None:
    """What the model saw in the second picture points at that picture's content."""
    assert judged("color", "Red", place="image 2").evidence == Evidence("images", image="d2")


def test_unknown_is_no_value() -> None:
    """`unknown`, an empty list, and a value seen nowhere leave the attribute unknown."""
    for name, value, place in (
        ("color", "unknown", "title"),
        ("tags", [], "title"),
        ("color", "Red", "nowhere"),
    ):
        unknown = judged(name, value, place=place)
        assert (unknown.value, unknown.source, unknown.reason) == (None, None, "model-unknown")


def test_confidence_is_bounded_by_the_tokens() -> None:
    """The word's prior holds only as far as the probability of the value's own tokens."""
    assert judged("color", "Blue").confidence == 0.95
    assert judged("color", "Blue", probabilities={"color": 0.9}).confidence == 0.9
    unsure = judged("color", "Blue", probabilities={"color": 0.31})
    assert (unsure.value, unsure.reason, unsure.confidence) == (None, "below-threshold", 0.31)
    assert unsure.evidence is not None
    assert judged("color", "Blue", "guess").reason == "below-threshold"


@pytest.mark.parametrize(
    ("name", "said", "value"),
    [
        ("weight", "12.5", 12.5),
        ("weight", "501", None),
        ("proof", "no", False),
        ("tags", ["eco", "new"], ["new", "eco"]),
        ("ean", "4006381333931", "4006381333931"),
        ("ean", "4006381333932", None),
    ],
)
def test_values_are_held_against_the_template(name: str, said: Any, value: Any) -> None:
    """Ranges, check digits and the list's order are the template's; what breaks them stays unknown,
    with what was said.
    """
    found = judged(name, said)
    assert found.value == value
    if value is None:
        assert found.reason == "answer-off-schema"
        assert found.evidence is not None
        assert said in found.evidence.text


def test_a_retry_without_words_lives_by_its_tokens() -> None:
    """A lean answer fills a value only where the probability of its tokens is known and high."""
    lean = Question((SHOP.by_name["color"],), places=("title",), lean=True)
    found = {}
    for known in ({}, {"color": 0.99}, {"color": 0.5}):
        given_answer = answer({"color": "Blue"}, probabilities=known)
        value = judge(lean, SHOP.by_name["color"], {"color": "Blue"}, given_answer, SOURCE)
        found[known.get("color")] = (value.value, value.confidence)
        assert value.evidence == Evidence("title", 2, 6, "navy")
    assert found == {None: (None, 0.4), 0.99: ("Blue", 0.8), 0.5: (None, 0.5)}

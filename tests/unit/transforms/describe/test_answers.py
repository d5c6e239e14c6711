"""transforms.describe.answers: nothing in an answer is trusted, everything filled says where it was
seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.attribute_types.registry import AttributeType
from schemas.elements import AttributeValue, Evidence
from schemas.questions import Question, answer_schema, picture_place
from schemas.template import Template
from transforms.describe.answers import (
    Problem,
    ReadAnswer,
    Source,
    judge,
    read_answer,
    surely_obeys,
)
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
    assert isinstance(checked, ReadAnswer), checked
    assert not checked.repairs
    return judge(QUESTION, SHOP.by_name[name], checked.content, given_answer, SOURCE)


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ("", "stop", "answer-empty"),
        ("  \n\t " * 400, "length", "answer-empty"),
        ('{"color": "Re', "length", "answer-truncated"),
        ('{"color": "Re', "stop", "answer-malformed"),
        ("Sure! Here is the JSON:", "stop", "answer-malformed"),
        ("[" * 100_000, "stop", "answer-malformed"),
        ('{"weight": NaN}', "stop", "answer-off-schema"),
        (json.dumps({"weight": "heavy", "size": 3}), "stop", "answer-off-schema"),
        (
            f"{json.dumps(content(color=('Red', 'likely', 'title')))} or {json.dumps(content())}",
            "stop",
            "answer-malformed",
        ),
        ("I cannot help with that.", "refusal", "model-refused"),
        ("[]", "stop", "answer-off-schema"),
        ('"red"', "stop", "answer-off-schema"),
        ("{}", "stop", "answer-off-schema"),
        (json.dumps({"color": "Red"}), "stop", "answer-off-schema"),
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
    assert isinstance(read, Problem) or read.content.keys() <= SCHEMA["properties"].keys()


# Ways in which models and servers wrap an answer, and what is said of each.
WRAPPED: dict[str, tuple[Callable[[str], str], str]] = {
    "a fence": (lambda text: f"```json\n{text}\n```", "fence"),
    "a fence without a language": (lambda text: f"```\n{text}\n```\n", "fence"),
    "tildes": (lambda text: f"~~~JSON\n{text}\n~~~", "fence"),
    "thoughts": (lambda text: f"<think>\nIs it {{red}}?\n</think>\n\n{text}", "thinking"),
    "thoughts that hold an object": (lambda t: f'<think>{{"color": "x"}}</think>{t}', "thinking"),
    "thoughts begun in the prompt": (lambda text: f"It may be red.\n</think>\n{text}", "thinking"),
    "thoughts in brackets": (lambda text: f"[THINK]hm[/THINK]{text}", "thinking"),
    "channels": (
        lambda t: f"<|channel|>analysis<|message|>hm<|end|><|channel|>final<|message|>{t}",
        "thinking",
    ),
    "prose": (lambda text: f"Sure! Here is the JSON:\n\n{text}\n\nMore?", "prose"),
    "an end-of-turn token": (lambda text: f"{text}<|im_end|>", "prose"),
    "a byte order mark": (lambda text: f"\ufeff{text}", "invisible marks"),
    "a trailing comma": (lambda text: f"{text[:-1]},}}", "a comma before a closing bracket"),
    "Python": (lambda text: repr(json.loads(text)), "Python's repr"),
    "a list": (lambda text: f"[{text}]", "list"),
    "a key": (lambda text: f'{{"answer": {text}}}', "wrapper"),
    "a key more": (lambda text: f'{text[:-1]}, "explanation": "because"}}', "extra keys"),
    "itself again": (lambda text: f"{text}\n{text}", ""),
}


@pytest.mark.parametrize("how", WRAPPED)
@settings(max_examples=12)
@given(
    color=st.sampled_from(["Red", "Blue", "unknown"]),
    maker=st.text(min_size=1, max_size=20).filter(str.strip),
)
def test_a_wrapped_answer_is_read(how: str, color: str, maker: str) -> None:
    """Whatever a model or server puts around an answer, its content is the same, and what was in
    the way is named.
    """
    wrap, repair = WRAPPED[how]
    said = content(color=(color, "likely", "title"), maker=(maker, "certain", "title"))
    read = read_answer(answer(wrap(json.dumps(said))), SCHEMA)
    assert isinstance(read, ReadAnswer), read
    assert read.content == said
    assert repair in read.repairs or not repair


@pytest.mark.parametrize(
    ("given_as", "meant"),
    [
        ({"color": "red"}, {"color": "Red"}),
        ({"color": " BLUE "}, {"color": "Blue"}),
        ({"color": None}, {"color": "unknown"}),
        ({"color": ""}, {"color": "unknown"}),
        ({"color": "N/A"}, {"color": "unknown"}),
        ({"color": ["Blue"]}, {"color": "Blue"}),
        ({"weight": 12}, {"weight": "12"}),
        ({"weight": 1.5}, {"weight": "1.5"}),
        ({"weight": " 12 "}, {"weight": "12"}),
        ({"weight": None}, {"weight": "unknown"}),
        ({"proof": True}, {"proof": "yes"}),
        ({"proof": "No"}, {"proof": "no"}),
        ({"tags": "eco"}, {"tags": ["eco"]}),
        ({"tags": ["Eco", "NEW"]}, {"tags": ["eco", "new"]}),
        ({"tags": None}, {"tags": []}),
        ({"tags": ["unknown"]}, {"tags": []}),
        ({"maker": None}, {"maker": "unknown"}),
        ({"ean": 4006381333931}, {"ean": "4006381333931"}),
        ({"color.confidence": "Certain"}, {"color.confidence": "certain"}),
    ],
)
def test_a_right_answer_in_another_form_is_read(
    given_as: dict[str, Any], meant: dict[str, Any]
) -> None:
    """Case of choices, null for unknown, numbers and truth values for their texts, a list for its
    only entry: each is read where one thing only can be meant.
    """
    read = read_answer(answer(content() | given_as), SCHEMA)
    assert isinstance(read, ReadAnswer), read
    assert read.content == content() | meant
    assert read.repairs


@pytest.mark.parametrize(
    "given_as",
    [
        {"color": "Crimson"},
        {"color": ["Red", "Blue"]},
        {"weight": "12 g"},
        {"weight": [1, 2]},
        {"proof": "maybe"},
        {"tags": ["eco", "rare"]},
        {"maker": {"name": "Acme"}},
        {"color": "Red", "color.seen": "image 9"},
    ],
)
def test_a_wrong_value_is_never_made_right(given_as: dict[str, Any]) -> None:
    """A value that is not allowed, or of which two things could be meant, is not used, however the
    answer is wrapped.
    """
    name = next(iter(given_as))
    for wrap, _ in WRAPPED.values():
        read = read_answer(answer(wrap(json.dumps(content() | given_as))), SCHEMA)
        if isinstance(read, Problem):
            assert read.reason in ("answer-off-schema", "answer-malformed")
            continue
        assert set(read.faults) == {name}
        assert not [key for key in read.content if key.partition(".")[0] == name]


WRONG: dict[str, Any] = {
    "an object": {"value": 1},
    "what is not listed": "Crimson 12 g",
    "two values": ["Red", "7", "eco", "no"],
    "too long": "x" * 5_000,
    "missing": None,
}


@given(
    st.dictionaries(
        st.sampled_from([attribute.name for attribute in OPEN]),
        st.sampled_from(["an object", "two values", "missing"]),
        min_size=1,
    )
)
def test_one_wrong_value_costs_one_value(wrong: dict[str, str]) -> None:
    """Whichever values of an answer are wrong or missing, the others are read as if all were right,
    and each that is wrong is named; where none is right, or more are missing than right, the answer
    is unusable.
    """
    right = content(color=("Blue", "certain", "title"), maker=("Acme", "likely", "title"))
    said = {key: value for key, value in right.items() if wrong.get(key) != "missing"}
    said |= {name: WRONG[how] for name, how in wrong.items() if how != "missing"}
    # Two tags are no fault.
    faulty = {name for name, how in wrong.items() if (name, how) != ("tags", "two values")}
    if "tags" in wrong and wrong["tags"] == "two values":
        said["tags"] = ["eco", "sale"]
    read = read_answer(answer(said), SCHEMA)
    missing, kept = list(wrong.values()).count("missing"), len(OPEN) - len(faulty)
    if not kept or missing > kept:
        assert isinstance(read, Problem)
        return
    assert isinstance(read, ReadAnswer)
    assert set(read.faults) == faulty
    assert read.content == {key: said[key] for key in right if key.partition(".")[0] not in faulty}


@pytest.mark.parametrize(
    ("name", "how"),
    [("color", "what is not listed"), ("weight", "what is not listed"), ("maker", "too long")],
)
def test_what_is_wrong_with_a_value_is_told(name: str, how: str) -> None:
    """A value that is not listed, no number or too long is the only one that is lost."""
    read = read_answer(answer(content() | {name: WRONG[how]}), SCHEMA)
    assert isinstance(read, ReadAnswer)
    assert set(read.faults) == {name}
    assert len(read.faults[name]) < 500


def test_thoughts_are_no_answer() -> None:
    """An object that a model only thought of is not read, also where the thought never ended."""
    for text in (f"<think>{json.dumps(content())}", f"<think>{json.dumps(content())}</think>hm"):
        assert isinstance(read_answer(answer(text), SCHEMA), Problem)


def test_an_answer_without_confidence_is_a_guess() -> None:
    """A value whose confidence was not stated is read and counts as a guess, without being asked
    for again.
    """
    said = {attribute.name: content()[attribute.name] for attribute in OPEN} | {"maker": "Acme"}
    given_answer = answer(said)
    read = read_answer(given_answer, SCHEMA)
    assert isinstance(read, ReadAnswer)
    value = judge(QUESTION, SHOP.by_name["maker"], read.content, given_answer, SOURCE)
    assert (value.value, value.confidence, value.reason) == (None, 0.4, "below-threshold")


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


@pytest.mark.parametrize("behind", ["\n", "\r\n", " \n", "\u2028", "\n\n"])
@pytest.mark.parametrize("attribute", OPEN, ids=lambda attribute: attribute.name)
def test_a_line_break_behind_a_value_is_no_part_of_it(attribute: Any, behind: str) -> None:
    """`unknown` is unknown with white space behind it as well, and a value is that value."""
    if attribute.type is AttributeType.MULTI_ENUM:
        said = {"unknown": ["new"], "value": ["new"]}
    else:
        values = {"color": "Red", "weight": "20", "proof": "yes", "ean": "4006381333931"}
        said = {"unknown": "unknown", "value": values.get(attribute.name, "Acme")}
    for word in said.values():
        spoilt = [each + behind for each in word] if isinstance(word, list) else word + behind
        seen = []
        for each in (word, spoilt):
            given_answer = answer(content(**{attribute.name: (each, "certain", "title")}))
            read = read_answer(given_answer, SCHEMA)
            assert isinstance(read, ReadAnswer), read
            result = judge(QUESTION, attribute, read.content, given_answer, SOURCE)
            seen.append((result.value, result.reason))
        assert seen[0] == seen[1]


def test_a_key_that_comes_twice_is_no_answer() -> None:
    """Which of two values was meant nobody knows: neither is taken, wherever the object stands; the
    same value twice is one.
    """
    whole = json.dumps(content(color=("Blue", "certain", "title")))
    twice = whole[:-1] + ', "color": "Red"}'
    for text in (twice, f"```json\n{twice}\n```", json.dumps(twice), f"Here: {twice}"):
        problem = read_answer(answer(text), SCHEMA)
        assert isinstance(problem, Problem), text
        assert problem.reason == "answer-malformed"
        assert "'color' comes twice" in problem.message
    same = read_answer(answer(whole[:-1] + ', "color": "Blue"}'), SCHEMA)
    assert isinstance(same, ReadAnswer)


def test_an_answer_in_a_json_text_is_read() -> None:
    """A server that writes the object as a text has answered; that it did is said."""
    said = content(color=("Blue", "certain", "title"))
    read = read_answer(answer(json.dumps(json.dumps(said))), SCHEMA)
    assert isinstance(read, ReadAnswer)
    assert read.content == said
    assert read.repairs == ("text",)


@pytest.mark.parametrize(
    ("finish", "words"), [("refusal", "refused"), ("content_filter", "filter")]
)
def test_a_refusal_is_quoted(finish: str, words: str) -> None:
    """People read why there is no answer in the model's own words."""
    problem = read_answer(answer("I can't tell who made this.", finish), SCHEMA)
    assert isinstance(problem, Problem)
    assert problem.reason == "model-refused"
    assert words in problem.message
    assert "I can't tell who made this." in problem.message


SAID = st.recursive(
    st.sampled_from(["unknown", "Red", "certain", "title", "nowhere", "12", "12.5", "", "x" * 300])
    | st.none()
    | st.booleans()
    | st.integers(-1, 2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@given(changed=st.dictionaries(st.sampled_from([*content(), "surprise"]), SAID, max_size=3))
def test_what_surely_obeys_does(changed: dict[str, Any]) -> None:
    """Whatever is told quickly to obey the schema does so by a whole validator."""
    said = content() | changed
    whole = jsonschema.Draft202012Validator(SCHEMA)
    assert surely_obeys(content(), SCHEMA)
    assert not surely_obeys(said, SCHEMA) or whole.is_valid(said)


@pytest.mark.parametrize(
    ("said", "schema"),
    [
        ("a", {"type": ["string", "null"]}),
        ("a", {"const": "a"}),
        ({"a": "b"}, {"type": "object", "properties": {"a": {"type": "string", "format": "x"}}}),
        ({"a": "b"}, {"type": "object"}),
        ("ab\n", {"type": "string", "pattern": "^ab$"}),
        ([], {"type": "array", "minItems": 1}),
        (True, {"type": "string", "enum": [1]}),
    ],
)
def test_what_is_not_sure_is_left_to_the_validator(said: Any, schema: dict[str, Any]) -> None:
    """Keywords that are not looked at, and whatever disobeys, are never told to obey."""
    assert not surely_obeys(said, schema)

"""transforms.describe.conversation and transforms.describe.taxonomy: what is asked in which order,
and what comes of each answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Demonstration, DescribeJob, ItemAnswer
from schemas.questions import MAX_CHOICES
from schemas.template import Template
from transforms.describe.conversation import RequestBroker, run_dialogue
from transforms.describe.prompts import AskOptions
from transforms.describe.taxonomy import NearestByVector, next_level
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.contract import Failure, ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.fake.chat import FakeChatModel
from transforms.models.spaces import shared_text_encoder

TREE = [f"Level {a} > Part {b} > Leaf {c}" for a in range(5) for b in range(20) for c in range(10)]
SHOP = Template.model_validate(
    {
        "name": "shop",
        "version": "1.0.0",
        "record": {"id": "id"},
        "attributes": [
            {"name": "title", "type": "string", "role": "title"},
            {
                "name": "color",
                "type": "enum",
                "values": ["Red", "Blue"],
                "fill": True,
                "evidence": ["text", "image"],
            },
            {
                "name": "category",
                "type": "category",
                "values": TREE,
                "fill": True,
                "evidence": ["text", "image"],
            },
            {
                "name": "brand",
                "type": "enum",
                "values": [f"Brand {n}" for n in range(500)],
                "fill": True,
            },
        ],
    }
)
Answers = Callable[[ChatRequest], ChatAnswer | Failure]


def broker(**options: Any) -> RequestBroker:
    nearest = NearestByVector(
        lambda: shared_text_encoder(ModelOptions(text=EncoderOptions("fake")))
    )
    return RequestBroker(
        SHOP, AskOptions(**options), FakeChatModel(ModelOptions()), "pictures", nearest
    )


def job(
    *attributes: str, pictures: tuple[str, ...] = ("d1",), text: str = "A red mug"
) -> DescribeJob:
    return DescribeJob("1", 0, (("title", text),), (), pictures, attributes)


def run(
    who: RequestBroker, what: DescribeJob, answers: Answers
) -> tuple[ItemAnswer, list[ChatRequest]]:
    """The result of a conversation, and every request of it."""
    talk, requests = run_dialogue(who, what), []
    request = next(talk)
    while True:
        requests.append(request)
        try:
            request = talk.send(answers(request))
        except StopIteration as done:
            return done.value, requests


def well(request: ChatRequest, **said: Any) -> ChatAnswer:
    """A well-formed answer: what is said, else the first choice, surely and where the schema lets
    it.
    """
    content = {}
    for key, schema in request.schema["properties"].items():
        first = schema["enum"][0] if "enum" in schema else f"some {key.rpartition('.')[2]}"
        content[key] = said.get(key, first)
    return ChatAnswer(json.dumps(content))


def test_one_call_answers_for_everything_small() -> None:
    """By default one call describes the pictures and fills what is open."""
    result, requests = run(broker(), job("color"), well)
    assert len(requests) == 1
    assert [p.digest for p in requests[0].pictures] == ["d1"]
    assert (result.description, result.alt_text) == ("some description", "some alt_text")
    assert result.values["color"].value == "Red"
    assert result.reason is None


TWO = Template.model_validate(
    {
        **SHOP.model_dump(),
        "attributes": [
            {"name": "title", "type": "string", "role": "title"},
            {"name": "color", "type": "enum", "values": ["Red", "Blue"], "fill": True},
            {"name": "size", "type": "enum", "values": ["S", "M"], "fill": True},
        ],
    }
)


@pytest.mark.parametrize("second", ["right", "wrong again", "refused"])
def test_only_the_wrong_value_is_asked_for_again(second: str) -> None:
    """What was right is kept, the second question names the wrong value only and shows no more than
    it needs; what is wrong again is unknown, and the item has no fault for it.
    """

    def answers(request: ChatRequest) -> ChatAnswer | Failure:
        if "size" in request.schema["properties"] and "color" in request.schema["properties"]:
            return well(request, size="XL")
        if second == "refused":
            return Failure("model-refused", "no")
        return well(request, size="XXL" if second == "wrong again" else "M")

    who = replace(broker(temperature=0.7), template=TWO)
    result, (first, again) = run(who, job("color", "size"), answers)
    assert list(again.schema["properties"]) == ["size"]
    assert (again.temperature, again.max_tokens) == (0.0, 2 * first.max_tokens)
    assert result.values["color"].value == "Red"
    assert result.description == "some description"
    size = result.values["size"]
    expected = {"right": None, "wrong again": "answer-off-schema", "refused": "model-refused"}
    assert size.reason in (expected[second], "below-threshold")
    assert (size.reason == "below-threshold") == (second == "right")
    assert result.reason is None
    assert "single values" in result.repairs


def test_a_wrong_alternative_text_is_not_asked_for_again() -> None:
    """What stands beside the values costs no second call, and no value."""
    result, requests = run(broker(), job("color"), lambda r: well(r, **{"image.alt_text": 7 * [1]}))
    assert len(requests) == 1
    assert (result.alt_text, result.values["color"].value) == ("", "Red")


def test_two_passes_describe_first() -> None:
    """In two passes the first call has the pictures and no text, the second the texts and the
    description.
    """
    result, (first, second) = run(broker(two_pass=True), job("color"), well)
    assert "A red mug" not in first.text
    assert (len(first.pictures), len(second.pictures)) == (1, 0)
    assert "some description" in second.text
    assert "A red mug" in second.text
    assert result.values["color"].value == "Red"
    other, (same_first, _) = run(broker(two_pass=True), job("color", text="Another text"), well)
    assert same_first == first, "items that share pictures share the first call"
    assert other.description == result.description


@pytest.mark.parametrize("bad", ["", '{"descr', "[]", "x"])
def test_an_unusable_answer_is_asked_for_once_more(bad: str) -> None:
    """The second try has a longer limit, no warmth and only what is needed; its answer counts."""
    answers = iter([lambda _: ChatAnswer(bad), well])
    result, (first, second) = run(
        broker(temperature=0.7), job("color"), lambda request: next(answers)(request)
    )
    assert second.max_tokens == 2 * first.max_tokens
    assert (first.temperature, second.temperature) == (0.7, 0.0)
    assert list(second.schema["properties"]) == ["image.description", "color"]
    assert result.description == "some description"
    assert result.reason is None


def test_two_unusable_answers_are_a_failure_with_the_raw_answer() -> None:
    """After the second unusable answer every attribute says why it is unknown, and the answer is
    kept as it came.
    """
    result, requests = run(broker(), job("color"), lambda _: ChatAnswer('{"cut', "length"))
    assert len(requests) == 2
    assert result.reason == "answer-truncated"
    assert result.raw == '{"cut'
    assert result.values["color"].reason == "answer-truncated"
    assert result.description == ""


def test_a_failure_of_the_backend_is_not_asked_again() -> None:
    """The client has retried already: a timeout is the item's reason at once."""
    result, requests = run(broker(), job("color"), lambda _: Failure("model-timeout", "30 s"))
    assert len(requests) == 1
    assert (result.reason, result.message) == ("model-timeout", "30 s")
    assert result.values["color"].reason == "model-timeout"


def test_a_failure_of_the_second_pass_keeps_the_description() -> None:
    """What was answered before stays, with its own provenance."""
    answers = iter([well, lambda _: Failure("model-error", "500")])
    result, _ = run(broker(two_pass=True), job("color"), lambda request: next(answers)(request))
    assert result.description == "some description"
    assert result.values["color"].reason == "model-error"


def test_a_large_tree_is_answered_level_by_level() -> None:
    """1,000 categories are reached in two small questions, and the value is one of the list."""
    wanted = TREE[377]

    def choose(request: ChatRequest) -> ChatAnswer:
        offered = request.schema["properties"]["category"]["enum"]
        assert len(offered) <= MAX_CHOICES + 1
        return well(request, category=max((o for o in offered if wanted.startswith(o)), key=len))

    result, requests = run(broker(), job("category", pictures=()), choose)
    assert result.values["category"].value == wanted
    assert len(requests) == 2


def test_an_unknown_level_leaves_the_attribute_unknown() -> None:
    """A model that does not know which branch to take is not pushed further."""
    result, requests = run(
        broker(), job("category", pictures=()), lambda r: well(r, category="unknown")
    )
    assert len(requests) == 1
    assert result.values["category"].reason == "model-unknown"


def test_a_large_flat_list_goes_by_its_nearest_names() -> None:
    """Of 500 brands the nearest to the text are offered in one question; the others are not."""
    result, requests = run(broker(), job("brand", pictures=(), text="Brand 123"), well)
    assert len(requests) == 1
    offered = requests[0].schema["properties"]["brand"]["enum"]
    assert "Brand 123" in offered, "the fake encoder puts equal texts next to each other"
    assert len(offered) == MAX_CHOICES + 1
    assert result.values["brand"].value == offered[0]


def test_only_what_fills_is_shown_other_items() -> None:
    """In two passes the description is made without demonstrations; in one pass, retries and levels
    have them.
    """
    neighbour = Demonstration("Teal cup", (("color", "Blue"), ("category", TREE[0])))
    shown = replace(job("color", "category"), demonstrations=(neighbour,))
    _, (described, *filled) = run(broker(two_pass=True), shown, well)
    assert "Teal cup" not in described.text
    assert len(filled) > 1
    assert all("Teal cup" in request.text for request in filled)
    assert TREE[0] not in filled[0].text
    _, (first, second) = run(
        broker(), replace(job("color"), demonstrations=(neighbour,)), lambda _: ChatAnswer("x")
    )
    assert "Teal cup" in first.text
    assert "Teal cup" in second.text


def test_an_answer_stands_beside_the_same_address_whatever_was_shown() -> None:
    """A value's provenance names the question without other items, so that it can be found again."""
    alone, (request,) = run(broker(), job("color"), well)
    shown = replace(job("color"), demonstrations=(Demonstration("Teal cup", (("color", "Blue"),)),))
    beside, (other,) = run(broker(), shown, well)
    assert other.text != request.text
    assert beside == alone


paths = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4).map(" > ".join)


@given(st.sets(paths, min_size=1, max_size=200), st.data())
def test_every_path_can_be_reached(values: set[str], data: st.DataObject) -> None:
    """Going down by the offered choices ends at any wanted value of the list, in a bounded number
    of steps.
    """
    wanted = data.draw(st.sampled_from(sorted(values)))
    node = ""
    for _ in range(6):
        step = next_level(sorted(values), node, "", lambda _, names: tuple(names))
        if step.choices.get(wanted) == wanted:
            return
        node = max(
            (c for c, value in step.choices.items() if value is None and wanted.startswith(c)),
            key=len,
        )
    raise AssertionError(f"{wanted} was not reached")

"""The stand-in for a language model: its identity, answers that its schema takes, tokens by rates,
nothing sent.
"""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import orjson
import pytest

from schemas.attribute_types.contract import UNKNOWN
from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from schemas.choices import Choice
from schemas.questions import Question, answer_schema
from transforms.models import build_chat_model
from transforms.models.chat import ChatAnswer, ChatRequest, PreparedPicture
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelOptions
from transforms.models.fake.dry_run import DryRunChatModel, Rates
from transforms.models.tokens import estimate_tokens

IMAGE_PX, USUAL = 672, Rates()
# Nobody listens on port 9: whatever would send a request fails.
OPENAI = ModelOptions(
    describe_backend="openai", chat=ChatOptions(model="M", endpoint="http://127.0.0.1:9/v1")
)
QUESTION = Question(
    (
        Attribute(
            name="color",
            type=AttributeType.ENUM,
            values=(Choice(value="Red"), Choice(value="Blue")),
        ),
        Attribute(name="tags", type=AttributeType.MULTI_ENUM, values=(Choice(value="new"),)),
        Attribute(name="weight", type=AttributeType.NUMBER, unit="g"),
        Attribute(name="about", type=AttributeType.STRING),
    ),
    places=("title", "image 1"),
    describe=True,
)
REQUEST = ChatRequest(
    "s" * 300, "t" * 900, answer_schema(QUESTION), (PreparedPicture("ab" * 32, "nowhere.jpg"),)
)


def answer(rates: Rates = USUAL) -> ChatAnswer:
    [(index, said)] = DryRunChatModel(build_chat_model(OPENAI), rates, IMAGE_PX).answer([REQUEST])
    assert index == 0
    assert isinstance(said, ChatAnswer)
    return said


def test_it_has_the_models_identity() -> None:
    """Requests have the address that they will have, so that kept answers are found."""
    real = build_chat_model(OPENAI)
    assert REQUEST.fingerprint(DryRunChatModel(real, Rates(), IMAGE_PX)) == REQUEST.fingerprint(
        real
    )


def test_answers_obey_the_schema_and_decide() -> None:
    """An answer is one that the real model might give, and has a value for each list."""
    content = json.loads(answer().content)
    jsonschema.validate(content, dict(REQUEST.schema))
    assert content["color"] == "Red" != UNKNOWN


def test_tokens_follow_the_rates() -> None:
    """Tokens are the reckoned ones times the share that was taken before; answers take the mean of
    before.
    """
    reckoned = estimate_tokens(REQUEST, IMAGE_PX)
    said = answer(Rates(prompt_share=0.5, image_share=0.25, completion_tokens=70.4))
    assert said.prompt_tokens == round(reckoned.prompt_tokens * 0.5)
    assert said.image_tokens == round(said.prompt_tokens * 0.25)
    assert said.completion_tokens == 70


def test_without_rates_tokens_are_below_the_most_that_a_budget_reckons_with() -> None:
    """By rules of thumb a prompt takes less than its upper bound, and pictures their part of it."""
    reckoned, said = estimate_tokens(REQUEST, IMAGE_PX), answer()
    assert 0 < said.image_tokens < said.prompt_tokens < reckoned.prompt_tokens
    assert said.image_tokens / said.prompt_tokens == pytest.approx(
        reckoned.image_tokens / reckoned.prompt_tokens, rel=0.01
    )


def test_the_schema_is_planned_too() -> None:
    """A schema counts as part of the prompt, as services count it: by rules of thumb a token for
    four of its bytes.
    """
    bare = replace(REQUEST, schema={"type": "object", "properties": {}})
    [(_, without)] = DryRunChatModel(build_chat_model(OPENAI), USUAL, IMAGE_PX).answer([bare])
    assert isinstance(without, ChatAnswer)
    more_bytes = len(orjson.dumps(REQUEST.schema)) - len(orjson.dumps(bare.schema))
    assert answer().prompt_tokens - without.prompt_tokens == pytest.approx(more_bytes / 4, abs=1)


def test_the_fake_backend_answers_for_itself() -> None:
    """Of the fake backend, which costs nothing, answers and tokens are its own."""
    fake = build_chat_model(ModelOptions(describe_backend="fake"))
    [(_, rehearsed)] = DryRunChatModel(fake, Rates(prompt_share=9), IMAGE_PX).answer([REQUEST])
    [(_, real)] = build_chat_model(ModelOptions(describe_backend="fake")).answer([REQUEST])
    assert rehearsed == real

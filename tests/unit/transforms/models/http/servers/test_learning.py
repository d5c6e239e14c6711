"""transforms.models.http.servers: what is learnt of a server, what is not, and where it is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.models.chat import ChatRequest
from transforms.models.http.forms import sent_schema, write_request
from transforms.models.http.servers.capabilities import (
    VALUES,
    Capabilities,
    in_words,
    parse_capabilities,
    parse_capability,
)
from transforms.models.http.servers.kept import KeptCapabilities
from transforms.models.http.servers.learning import Form, Learner
from transforms.models.http.servers.table import find_server, known_servers

SCHEMA = {
    "type": "object",
    "properties": {
        "seed": {"type": "string", "minLength": 1, "maxLength": 9},
        "color": {"type": "string", "enum": ["red", "unknown"]},
        "minimum": {"type": "array", "maxItems": 3, "items": {"enum": ["a", "b", "c"]}},
    },
    "required": ["seed", "color", "minimum"],
    "additionalProperties": False,
}
ASKED = ChatRequest("Answer.", "a shirt", SCHEMA)
ANSWER = {"seed": "x", "color": "red", "minimum": []}
GOOD = json.dumps(
    {"choices": [{"message": {"content": json.dumps(ANSWER)}, "finish_reason": "stop"}]}
).encode()
# Words that refusals are made of, names of parameters among them.
WORDS = st.sampled_from(
    [
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "seed",
        "logprobs",
        "response_format",
        "system",
        "role",
        "maxLength",
        "minItems",
        "enum",
        "strict",
        "json_object",
        "is",
        "not",
        "supported",
        "with",
        "this",
        "model",
        "unknown",
        "use",
        "instead",
        "image",
        "schema",
        "value",
        "8",
        "at",
        "most",
        "500",
        "enum",
        "values",
    ]
)
MESSAGES = st.lists(WORDS, max_size=12).map(" ".join)


def written(learner: Learner) -> tuple[dict[str, Any], Form]:
    """The body of the next request, and its form."""
    body, form = write_request(ASKED, "tiny", learner.takes)
    return json.loads(body), form


def refusal(message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


@given(st.lists(st.tuples(st.sampled_from([400, 403, 404, 422, 500]), MESSAGES), max_size=6))
def test_nothing_is_unlearnt_of_what_was_answered(refusals: list[tuple[int, str]]) -> None:
    """Once a request was answered, no refusal changes what it was made of: such a refusal is about
    its own request, whatever its words.
    """
    learner = Learner(Capabilities())
    body, form = written(learner)
    learner.heard(form, 200, GOOD)
    for status, message in refusals:
        learner.heard(form, status, refusal(message))
    after, _ = written(learner)
    assert {**after, "response_format": None} == {**body, "response_format": None}
    sent = after["response_format"]["json_schema"]["schema"]
    # A limit of listed values is a limit of this request, and no other keyword is left out.
    assert sent["properties"].keys() == SCHEMA["properties"].keys()
    assert sent["properties"]["seed"] == SCHEMA["properties"]["seed"]


@given(st.lists(st.tuples(st.sampled_from([400, 403, 404, 422, 500]), MESSAGES), max_size=40))
def test_learning_ends(refusals: list[tuple[int, str]]) -> None:
    """A server that refuses whatever is sent is sent few forms, and each still limits the answer and
    says what is asked.
    """
    learner, again = Learner(Capabilities()), 0
    for status, message in refusals * 3:
        body, form = written(learner)
        again += learner.heard(form, status, refusal(message))
        assert ("max_tokens" in body) != ("max_completion_tokens" in body)
        assert "a shirt" in json.dumps(body["messages"])
        assert "Answer." in json.dumps(body["messages"])
    assert again <= 16


@pytest.mark.parametrize(
    ("status", "answer", "learnt"),
    [
        (400, refusal("Unsupported parameter", param="max_tokens"), {"length_field": "max_completion_tokens"}),
        (400, refusal("Unrecognized request argument supplied: seed"), {"seed_field": "none"}),
        (422, refusal("Unknown field seed; it is called random_seed"), {"seed_field": "random_seed"}),
        (403, refusal("You are not allowed to request logprobs from this model"), {"logprobs": False}),
        (400, b'[{"error": {"message": "Unknown name \\"seed\\""}}]', {"seed_field": "none"}),
        (400, b'{"error": "\'temperature\' is not supported"}', {"temperature": False}),
        (422, b'{"detail": [{"loc": ["body", "logprobs"], "msg": "extra"}]}', {"logprobs": False}),
        (422, b"Failed: response_format: missing field `value`", {"response_format": "value"}),
        (400, refusal("strict is not supported for response_format"), {"response_format": "schema"}),
        (400, refusal("response_format type json_schema is unavailable"), {"response_format": "json_object"}),
        (400, refusal("The system role is not supported by this model"), {"system_role": "user"}),
        (400, refusal("schema: 'maxLength' is not permitted"), {"schema_without": ("maxLength", "minLength")}),
        (400, refusal("Expected at most 2 enum values in total within a schema"), {"max_values": 2}),
        (200, b'{"choices": null}', {"response_format": "json_object"}),
        (500, refusal("provider returned 'choices' that is not a list (NoneType)"), {"response_format": "json_object"}),
        (200, refusal("logprobs are not supported", code=400), {"logprobs": False}),
        # What it says is of this request, or of no request at all.
        (400, refusal("max_tokens is too large: 1024. The context length is 512"), {}),
        (400, refusal("This model's maximum context length is 512 tokens"), {}),
        (400, refusal("Your prompt was flagged by the content_filter"), {}),
        (400, refusal("Incorrect API key provided"), {}),
        (400, refusal("Invalid model name passed in model=tiny"), {}),
        (401, refusal("seed"), {}),
        (429, refusal("logprobs"), {}),
        (200, b'{"choices": []}', {}),
        (200, b'{"object": "list", "data": []}', {}),
        (503, refusal("temperature"), {}),
        # Of a server that names nothing: what can be spared is spared.
        (400, refusal("Request contains an invalid argument."), {
            "seed_field": "none",
            "logprobs": False,
            "schema_without": ("maxItems", "maxLength", "minLength"),
        }),
    ],
)  # fmt: skip
def test_what_is_learnt_of_a_response(status: int, answer: bytes, learnt: dict[str, Any]) -> None:
    """A response that names a parameter changes that one, and others change nothing."""
    learner = Learner(Capabilities())
    _, form = written(learner)
    assert learner.heard(form, status, answer) == bool(learnt)
    assert Capabilities().differences(learner.takes) == learnt


@pytest.mark.parametrize(
    ("message", "sees_nothing"),
    [
        ("image input is not supported - hint: you may need to provide the mmproj", True),
        ("At most 0 image(s) may be provided in one prompt.", True),
        ("tiny is not a multimodal model", True),
        ("This model does not support image inputs", True),
        ("Invalid content type. image_url is not supported by this model.", True),
        ("messages.1.content: Input should be a valid string", True),
        ("unknown variant `image_url`, expected `text`", True),
        ("You uploaded an unsupported image. Please make sure it is below 20 MB", False),
        ("The image format WEBP is not supported", False),
        ("Invalid image: could not decode it", False),
        ("At most 1 image(s) may be provided in one prompt.", False),
    ],
)
def test_a_model_that_sees_nothing_is_told_from_a_picture_that_is_not_taken(
    message: str, sees_nothing: bool
) -> None:
    """Only words about pictures in general end a run, and only before a picture was taken."""
    taken, learner = Learner(Capabilities()), Learner(Capabilities())
    form = Form(Capabilities(), frozenset({"pictures"}), frozenset())
    assert not learner.heard(form, 400, refusal(message))
    assert learner.sees_nothing == sees_nothing
    taken.heard(form, 200, GOOD)
    taken.heard(form, 500, refusal(message))
    assert not taken.sees_nothing


def test_a_refusal_that_no_form_helps_leaves_the_form_as_it_was() -> None:
    """Where less and less is sent and all is refused, it was not the form: the next item is asked as
    the first was.
    """
    learner = Learner(Capabilities())
    forms = 0
    while learner.heard(written(learner)[1], 400, refusal("Bad Request")):
        forms += 1
    assert forms == 3
    assert learner.takes == Capabilities()


def test_a_schema_that_is_ignored_is_put_into_the_prompt() -> None:
    """A server that takes a schema and answers in prose is given it in words from then on."""
    learner = Learner(Capabilities())
    prose = {"choices": [{"message": {"content": "A shirt."}, "finish_reason": "stop"}]}
    assert not learner.heard(written(learner)[1], 200, json.dumps(prose).encode())
    body, _ = written(learner)
    assert '"additionalProperties"' in body["messages"][-1]["content"]


def test_what_was_learnt_is_kept_once_it_works() -> None:
    """What was learnt counts only when a request was answered that rests on it; once is enough."""
    kept: list[Capabilities] = []
    learner = Learner(Capabilities(), keep=kept.append)
    learner.heard(written(learner)[1], 400, refusal("Unknown name seed"))
    assert kept == []
    for _ in range(3):
        learner.heard(written(learner)[1], 200, GOOD)
    assert kept == [Capabilities(seed_field="none")]


def test_a_server_that_takes_what_is_usual_is_remembered() -> None:
    """A first answer is kept as well where nothing had to be learnt: the next run asks at once."""
    kept: list[Capabilities] = []
    learner = Learner(Capabilities(), keep=kept.append)
    again = Learner(Capabilities(), keep=kept.append, settled=True)
    for each in (learner, again):
        each.heard(written(each)[1], 200, GOOD)
    assert kept == [Capabilities()]


def test_kept_capabilities_come_back(tmp_path: Path) -> None:
    """A file gives back what was learnt, of its endpoint and model only, without what an option set."""
    kept = KeptCapabilities(str(tmp_path), "http://h/v1", "m")
    kept.save(Capabilities(logprobs=False, schema_without=("minLength",)), fixed={"logprobs"})
    assert kept.load() == {"schema_without": ("minLength",)}
    assert KeptCapabilities(str(tmp_path), "http://h/v1", "other").load() is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"learnt_ts": "2020-01-01T00:00:00+00:00", "takes": ["logprobs=no"]}',
     b'{"learnt_ts": "2999-01-01T00:00:00+00:00", "takes": ["logprobs=perhaps"]}'],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_learnt_again(tmp_path: Path, content: bytes) -> None:
    """Damaged, from another version or too old: nothing is taken from it, and the run goes on."""
    kept = KeptCapabilities(str(tmp_path), "http://h/v1", "m")
    Path(kept.path).write_bytes(content)
    assert kept.load() is None


@pytest.mark.parametrize("name", VALUES)
def test_each_capability_can_be_given_in_words(name: str) -> None:
    """What is said of a capability reads as what has to be written to set it."""
    for text in VALUES[name] or ("17",):
        found = dict([parse_capability(f"{name}={text}")])
        assert in_words(found) == [f"{name}={text}"]
        assert Capabilities().but(found).differences(Capabilities().but(found)) == {}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("colour=red", "KIND one of length_field, temperature"),
        ("logprobs=perhaps", "logprobs is one of yes, no"),
        ("max_values=many", "max_values is a number"),
        ("logprobs", "logprobs is one of yes, no"),
    ],
)
def test_wrong_capabilities_say_what_to_write(entry: str, message: str) -> None:
    """A word that is none is refused with those that there are."""
    with pytest.raises(ValueError, match=message):
        parse_capabilities([entry])


@pytest.mark.parametrize(
    ("endpoint", "model", "name"),
    [
        ("https://api.openai.com/v1", "gpt-5-mini", "openai-reasoning"),
        ("https://api.openai.com/v1", "o3", "openai-reasoning"),
        ("https://api.openai.com/v1", "gpt-4o-mini", "openai"),
        ("https://shop.openai.azure.com/openai/v1", "d", "azure"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash", "gemini"),
        ("https://api.mistral.ai/v1", "mistral-small", "mistral"),
    ],
)
def test_servers_are_found_by_their_host(endpoint: str, model: str, name: str) -> None:
    """The host, and the model where it matters, lead to a row; other hosts lead to none."""
    row = find_server(endpoint, model)
    assert row is not None
    assert row.name == name
    assert (
        find_server(endpoint.replace("https://", "https://not-"), model) is None or "azure" in name
    )


def test_every_row_of_the_table_says_when_and_by_whom() -> None:
    """Each row reads as capabilities, with the month and the sources that say so."""
    for row in known_servers().values():
        assert row.sources
        assert len(row.as_of) == len("2026-10")
        assert row.capabilities.length_field in ("max_tokens", "max_completion_tokens")
    with pytest.raises(ValueError, match="openai-reasoning, openai, azure"):
        find_server("http://h/v1", "m", "openia")


@given(st.integers(0, 8))
def test_lists_are_left_out_from_the_longest(most: int) -> None:
    """All lists together hold no more values than the server takes, keys stay what they are."""
    sent = sent_schema(SCHEMA, Capabilities(max_values=most))
    texts = json.dumps(sent)
    assert sent["properties"].keys() == SCHEMA["properties"].keys()
    assert ('"red"' in texts) == (most == 0 or most >= 2)
    assert ('"c"' in texts) == (most == 0 or most >= 5)

"""What every registered language model keeps to, and that the stage holds it to its word."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

from schemas.attributes import Attribute
from schemas.questions import Question, answer_schema, picture_place
from tests.chat_server import ChatServer
from tests.tiny_vlm import build_tiny_vlm
from transforms.models import CHAT_MODELS, build_chat_model, missing_requirements
from transforms.models.chat import ChatAnswer, ChatModel, ChatRequest, PreparedPicture, answer_all
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure, ModelOptions

COLOR = Attribute.model_validate(
    {"name": "color", "type": "enum", "values": ["Red", "Blé"], "evidence": ["image"]}
)
QUESTION = Question((COLOR,), places=(picture_place(1),), describe=True)


def options(name: str, model: str = "m", endpoint: str = "http://127.0.0.1:9/v1") -> ModelOptions:
    chat = ChatOptions(model=model, endpoint=endpoint, vllm_python=sys.executable, batch_size=3)
    return ModelOptions(describe_backend=name, chat=chat)


def requests(folder: Path) -> list[ChatRequest]:
    made = []
    for number in range(5):
        path = folder / f"{number}.jpg"
        Image.new("RGB", (40 + number, 30), (number * 40, 9, 9)).save(path)
        picture = PreparedPicture(f"{number:064x}", str(path))
        made.append(
            ChatRequest(
                "Answer.",
                f"What is it? {number}",
                answer_schema(QUESTION),
                (picture,),
                max_tokens=900,
            )
        )
    return made


@pytest.fixture(scope="module", params=sorted(set(CHAT_MODELS) - {"vllm"}))
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChatModel]:
    """Each model that runs here, loaded; vLLM has tests of its own (make test-vllm)."""
    with ChatServer() as server:
        folder = (
            build_tiny_vlm(tmp_path_factory.mktemp("tiny"))
            if request.param == "transformers"
            else "m"
        )
        made = build_chat_model(options(request.param, str(folder), server.url))
        if missing := missing_requirements(made):
            pytest.skip(f"{request.param} needs {', '.join(missing)}")
        made.load()
        yield made
        made.close()


def test_every_request_is_answered_once_and_obeys_its_schema(
    model: ChatModel, tmp_path: Path
) -> None:
    """One answer per request whatever the order, each a JSON object of the schema that was asked
    for.
    """
    asked = requests(tmp_path)
    answers = dict(answer_all(model, asked))
    assert sorted(answers) == list(range(5))
    for index, answer in answers.items():
        assert isinstance(answer, ChatAnswer), answer
        assert answer.finish_reason == "stop"
        jsonschema.validate(json.loads(answer.content), dict(asked[index].schema))
        assert answer.prompt_tokens > 0
        assert answer.completion_tokens > 0
        assert all(0 < p <= 1 for p in answer.probabilities.values())
    assert list(answer_all(model, [])) == []


def test_a_picture_that_has_gone_costs_its_own_request(model: ChatModel, tmp_path: Path) -> None:
    """A prepared picture that cannot be read fails alone, unless the model does not read pictures
    at all.
    """
    asked = requests(tmp_path)
    (tmp_path / "2.jpg").unlink()
    answers = dict(answer_all(model, asked))
    failed = {
        index: answer.reason for index, answer in answers.items() if isinstance(answer, Failure)
    }
    assert failed in ({}, {2: "backend-failed"})
    assert len(answers) == 5


@pytest.mark.parametrize("name", CHAT_MODELS)
def test_a_model_travels_before_it_is_loaded(name: str) -> None:
    """An unloaded model can be pickled to a worker, says the same of itself there, and its
    parameters are JSON.
    """
    made = build_chat_model(options(name))
    copy: ChatModel = pickle.loads(pickle.dumps(made))
    assert (copy.model, copy.requires, copy.concurrent) == (
        made.model,
        made.requires,
        made.concurrent,
    )
    assert json.loads(json.dumps(made.parameters)) == made.parameters
    made.close()


@pytest.mark.parametrize("name", sorted(set(CHAT_MODELS) - {"fake"}))
def test_a_model_has_to_be_named(name: str) -> None:
    """Without --describe-model there is nothing to ask, and the message says so."""
    with pytest.raises(ValueError, match="--describe-model"):
        build_chat_model(options(name, model=""))


def test_building_imports_nothing_heavy() -> None:
    """Every language model can be built and asked for its name without loading a model or HTTP
    library.
    """
    script = (
        "import sys; from transforms.models import *; from transforms.models.contract import ModelOptions as O\n"
        "from transforms.models.chat_options import ChatOptions as C\n"
        "for n in CHAT_MODELS: build_chat_model(O(describe_backend=n, chat=C('m', endpoint='http://h/v1'))).model\n"
        "print(sorted({'torch', 'transformers', 'aiohttp', 'llguidance', 'vllm'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


class Moody:
    """A model that misbehaves: answers some requests twice or never, raises when it meets a
    poisoned one.
    """

    model, requires, concurrent = "moody 1", (), False
    parameters: dict[str, str] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.batches: list[int] = []

    def load(self) -> None: ...

    def close(self) -> None: ...

    def answer(
        self, asked: Sequence[ChatRequest], tab: Any = None
    ) -> Iterator[tuple[int, ChatAnswer | Failure]]:
        self.batches.append(len(asked))
        for index, request in enumerate(asked):
            if "poison" in request.text:
                raise RuntimeError("out of memory")
            if "mute" not in request.text:
                yield index, ChatAnswer(request.text)
                yield index, ChatAnswer("again")


@pytest.mark.parametrize("word", ["poison", "mute"])
def test_a_batch_that_the_backend_cannot_take_is_halved(word: str) -> None:
    """One poisoned or forgotten request of 64 costs exactly itself, in few calls, and no answer
    comes twice.
    """
    moody = Moody()
    asked = [ChatRequest("", f"{word if n == 37 else 'fine'} {n}", {}) for n in range(64)]
    got = list(answer_all(moody, asked))
    assert sorted(index for index, _ in got) == list(range(64))
    failed = {index: answer for index, answer in got if isinstance(answer, Failure)}
    assert list(failed) == [37]
    assert failed[37].reason == "backend-failed"
    assert all(
        answer.content == asked[index].text
        for index, answer in got
        if isinstance(answer, ChatAnswer)
    )
    assert len(moody.batches) <= 13


def test_a_prepared_picture_is_the_same_in_both_forms(tmp_path: Path) -> None:
    """A JPEG file and its base64 text give the same bytes and the same text."""
    plain, text = tmp_path / "plain.jpg", tmp_path / "text.jpg.b64"
    Image.new("RGB", (8, 8), "red").save(plain)
    text.write_bytes(b64encode(plain.read_bytes()))
    one, other = (PreparedPicture("d", str(path)) for path in (plain, text))
    assert one.read() == other.read() == plain.read_bytes()
    assert one.read_text() == other.read_text() == text.read_bytes()

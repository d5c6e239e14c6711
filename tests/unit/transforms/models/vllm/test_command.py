"""The vLLM server's command line, and the model that is built around it."""

import json
import pickle
import sys

import pytest

from transforms.models import build_chat_model
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelOptions
from transforms.models.vllm.command import server_command, server_environment


def command(**options):
    return server_command(ChatOptions(model="shop/vlm", **options))


def value(words, name):
    """The value of an option that is there once."""
    assert words.count(name) == 1
    return words[words.index(name) + 1]


def build(**options):
    return build_chat_model(ModelOptions(describe_backend="vllm", chat=ChatOptions(**options)))


def test_defaults():
    """Without further options the server listens on this machine only, makes JSON without white
    space, fetches nothing.
    """
    words = command(revision="v2", max_pictures=3)
    assert words[:3] == [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    assert (value(words, "--model"), value(words, "--revision")) == ("shop/vlm", "v2")
    assert value(words, "--served-model-name") == "shop/vlm"
    assert value(words, "--host") == "127.0.0.1"
    assert json.loads(value(words, "--limit-mm-per-prompt"))["image"] == 3
    assert json.loads(value(words, "--structured-outputs-config"))["disable_any_whitespace"] is True
    assert value(words, "--allowed-media-domains").endswith(".invalid")
    assert not {"--tensor-parallel-size", "--trust-remote-code", "--api-key"} & set(words)


def test_sizes():
    """Parallel sizes other than one are passed on."""
    words = command(tensor_parallel_size=4, data_parallel_size=2, dtype="float16")
    assert (value(words, "--tensor-parallel-size"), value(words, "--data-parallel-size")) == (
        "4",
        "2",
    )
    assert value(words, "--dtype") == "float16"
    assert "--pipeline-parallel-size" not in words


@pytest.mark.parametrize(
    ("extra", "default"),
    [
        ("--limit-mm-per-prompt '{\"image\": 9}'", "--limit-mm-per-prompt"),
        ("--limit-mm-per-prompt.image 9", "--limit-mm-per-prompt"),
        ("--limit_mm_per_prompt.image=9", "--limit-mm-per-prompt"),
        ("--dtype=float32", "--dtype"),
        ("-tp 8", "--tensor-parallel-size"),
        ("-tp=8", "--tensor-parallel-size"),
        ("--allowed-media-domains pictures.example", "--allowed-media-domains"),
    ],
)
def test_extra_arguments_win(extra, default):
    """An option that --vllm-args sets, however it is written, replaces the job's own."""
    words = command(tensor_parallel_size=2, vllm_args=extra)
    own = words[: len(words) - len(extra.split(" ", 1))]
    assert default in command(tensor_parallel_size=2)
    assert default not in own


def test_extra_arguments_are_words():
    """--vllm-args is split as a shell splits it, and passed on at the end."""
    assert command(vllm_args="--max-model-len 4096 --chat-template 'my file'")[-4:] == [
        "--max-model-len",
        "4096",
        "--chat-template",
        "my file",
    ]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("--port 8000", r"must not set --port: the server listens on a free port"),
        ("--served_model_name=x", r"must not set --served-model-name: use --describe-model"),
        ("--api-key secret", r"must not set --api-key"),
        ("--chat-template 'x", r"cannot be split into words: No closing quotation"),
    ],
)
def test_extra_arguments_that_are_the_jobs(extra, message):
    """What decides where the server is, or which model answers, is refused before anything runs."""
    with pytest.raises(ValueError, match=message):
        build(model="shop/vlm", vllm_python=sys.executable, vllm_args=extra)


def test_environment():
    """The key goes by the environment; nothing is reported home and no redirect is followed."""
    environment = server_environment("secret")
    assert environment["VLLM_API_KEY"] == "secret"
    assert environment["VLLM_NO_USAGE_STATS"] == environment["DO_NOT_TRACK"] == "1"
    assert environment["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"


def test_model_says_what_is_missing():
    """Without a model, or with an interpreter that is none, the message says what to write."""
    with pytest.raises(ValueError, match="--describe-model NAME"):
        build(vllm_python=sys.executable)
    with pytest.raises(ValueError, match="--vllm-python '/no/python' is not a program"):
        build(model="shop/vlm", vllm_python="/no/python")


def test_model_needs_vllm_only_in_its_own_interpreter():
    """vLLM has to be installed here only when no other interpreter is named."""
    assert "vllm" in build(model="shop/vlm").requires
    assert "vllm" not in build(model="shop/vlm", vllm_python=sys.executable).requires


def test_model_counts_what_shapes_answers():
    """Other weights, another type of numbers or other extra arguments are another content address."""
    options = {"model": "shop/vlm", "vllm_python": sys.executable}
    models = [
        build(**options),
        build(**options, revision="v2"),
        build(**options, dtype="float32"),
        build(**options, vllm_args="--quantization fp8"),
    ]
    addresses = {json.dumps([model.model, model.parameters]) for model in models}
    assert len(addresses) == len(models)
    assert models[1].model == "shop/vlm@v2"


def test_model_travels_before_it_is_loaded():
    """A model that was not loaded can be pickled, closed, and says so when it is asked."""
    model = pickle.loads(pickle.dumps(build(model="shop/vlm", vllm_python=sys.executable)))
    assert model.concurrent
    model.close()
    with pytest.raises(RuntimeError, match="load"):
        model.answer([])

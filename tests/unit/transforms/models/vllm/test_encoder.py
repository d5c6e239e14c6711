"""The vllm encoders before any server runs: command line, card, and what is refused."""

import itertools
import json
import pickle
from dataclasses import replace

import pytest

from transforms.models import build_image_encoder, build_text_encoder
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import ServedEncoder
from transforms.models.vllm.command import pooling_command, server_command

MODELS = ModelOptions(chat=ChatOptions(vllm_python="/opt/vllm/bin/python"))


def options(folder, **changes):
    return EncoderOptions("vllm", model=str(folder), **changes)


def test_the_server_is_of_a_pooling_model():
    """The encoder's server pools, listens on this machine only, reads safetensors only and fetches
    nothing; its further arguments are its own, not the language model's.
    """
    chat = replace(MODELS.chat, model="shop/vlm", vllm_args="--max-model-len 4096")
    given = EncoderOptions(
        "vllm",
        model="shop/embedder",
        pooling="last",
        dtype="float16",
        vllm_args="--gpu-memory-utilization 0.2",
    )
    words = pooling_command(given, chat, 512, takes_pictures=False)
    told = dict(itertools.pairwise(words))
    assert words[:3] == ["/opt/vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server"]
    assert (told["--model"], told["--runner"]) == ("shop/embedder", "pooling")
    assert json.loads(told["--pooler-config"]) == {"seq_pooling_type": "LAST"}
    assert (told["--max-model-len"], told["--dtype"]) == ("512", "float16")
    assert (told["--host"], told["--load-format"]) == ("127.0.0.1", "safetensors")
    assert told["--allowed-media-domains"].endswith(".invalid")
    assert told["--gpu-memory-utilization"] == "0.2"
    assert "--trust-remote-code" not in words
    assert "--limit-mm-per-prompt" not in words
    seeing = pooling_command(replace(given, remote_code=True), chat, 0, takes_pictures=True)
    assert {"--trust-remote-code", "--limit-mm-per-prompt"} <= set(seeing)
    assert "--max-model-len" not in seeing
    assert server_command(chat)[-2:] == ["--max-model-len", "4096"]


def test_the_card_is_that_of_the_models_files(tiny_encoders):
    """Dimension, pooling, length, prompts and digest are known without a server, also in a worker."""
    folder = tiny_encoders["matryoshka"]
    served = build_text_encoder(MODELS, options(folder, dimension=8))
    ours = build_text_encoder(
        ModelOptions(), EncoderOptions("sentence-transformers", model=str(folder), dimension=8)
    )
    card = replace(served.card, library=ours.card.library, dtype=ours.card.dtype)
    assert card == ours.card
    assert isinstance(served, ServedEncoder)
    copy = pickle.loads(pickle.dumps(served))
    assert (copy.card, copy.model) == (served.card, served.model)
    assert served.requires == ("aiohttp",)
    assert "vllm" in build_text_encoder(ModelOptions(), options(folder)).requires


@pytest.mark.parametrize(
    ("build", "name", "changes", "told"),
    [
        (build_text_encoder, "bert", {}, "--text-pooling"),
        (build_text_encoder, "dinov2", {}, "not text"),
        (build_image_encoder, "matryoshka", {}, "not image"),
        (build_text_encoder, "matryoshka", {"endpoint": "http://host/v1"}, "endpoint"),
        (build_text_encoder, "matryoshka", {"vllm_args": "--port 1"}, "must not set --port"),
        (build_text_encoder, "matryoshka", {"vllm_args": "'"}, "cannot be split"),
        (build_text_encoder, "", {}, "no model is named"),
    ],
)
def test_what_cannot_work_is_refused_before_a_server_starts(
    tiny_encoders, build, name, changes, told
):
    """A model whose files do not fit, and an option that vLLM does not heed, are one line."""
    folder = tiny_encoders[name] if name else ""
    with pytest.raises(ValueError, match=told) as refused:
        build(MODELS, options(folder, **changes))
    assert "\n" not in str(refused.value)


def test_a_width_that_is_not_declared_is_refused(tiny_encoders):
    """--text-dimension takes what the model declares, as in process."""
    encoder = build_text_encoder(MODELS, options(tiny_encoders["matryoshka"], dimension=9))
    with pytest.raises(ValueError, match="declares 8, 16, 32"):
        _ = encoder.dimension

"""The vllm encoders with the real vLLM, on the CPU, and tiny models with random weights: `make
test-vllm`.
"""

import json
import os
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.tiny_encoders import build_matryoshka
from tests.tiny_vlm import build_tiny_vlm
from transforms.models import build_image_encoder, build_text_encoder
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelOptions, Picture
from transforms.models.encoder_options import EncoderOptions
from transforms.models.http.embeddings import JPEG_QUALITY

PYTHON = os.environ.get("CATALOG_ENRICH_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(
        not PYTHON, reason="CATALOG_ENRICH_VLLM_PYTHON names no interpreter; run `make test-vllm`"
    ),
    pytest.mark.timeout(900),
]
TEXTS = ["A red cotton shirt", "A wooden table", "Gewürztee für 2 €", "fresh milk " * 400]
# In float32 on both sides; the kernels differ.
LEAST_COSINE = 0.999


@pytest.fixture
def models(monkeypatch):
    """Model options of a run with the real vLLM."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return ModelOptions(
        chat=ChatOptions(vllm_python=PYTHON, startup_timeout_secs=600, session="test")
    )


def one_head(folder, *sections):
    """Give the network one attention head of 32 numbers, the smallest that vLLM computes on a CPU."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for part in [config[name] for name in sections] or [config]:
        part["num_attention_heads"] = 1
    path.write_text(json.dumps(config))
    return folder


def encoder_of(build, models, backend, folder, **options):
    given = {"vllm_args": "--enforce-eager --max-num-seqs 8"} if backend == "vllm" else {}
    return build(
        models, EncoderOptions(backend, model=str(folder), dtype="float32", **given, **options)
    )


def cosines(ours, theirs):
    return [float(np.dot(a, b)) for a, b in zip(ours, theirs, strict=True)]


def test_texts_have_the_vectors_of_their_model(models, tmp_path):
    """vLLM makes the vectors that sentence-transformers makes of the same folder, of long texts too,
    which both cut; a shorter width is the same vector's beginning.
    """
    folder = one_head(build_matryoshka(tmp_path / "matryoshka"))
    ours = encoder_of(build_text_encoder, models, "sentence-transformers", folder)
    served = encoder_of(build_text_encoder, models, "vllm", folder)
    short = encoder_of(build_text_encoder, models, "vllm", folder, dimension=8)
    assert (served.dimension, served.card.pooling) == (ours.dimension, "mean")
    assert served.card.weights_sha256 == ours.card.weights_sha256
    for encoder in (ours, served):
        encoder.load()
    try:
        assert served.count_tokens(TEXTS) == ours.count_tokens(TEXTS)
        vectors = served.encode_texts(TEXTS)
        assert min(cosines(vectors, ours.encode_texts(TEXTS))) > LEAST_COSINE
        counts = served.take_counts()
        assert counts["prompt_tokens"] > len(TEXTS)
        assert (counts["calls"], counts["cut"]) == (1, 0)
        # Another command would be another server: only what is asked differs.
        short.load()
        narrow = short.encode_texts(TEXTS)
    finally:
        served.close()
        short.close()
    beginnings = [vector[:8] / np.linalg.norm(vector[:8]) for vector in vectors]
    assert min(cosines(narrow, beginnings)) > LEAST_COSINE


def last_hidden(folder, pictures):
    """The state of the last token of a turn with one picture, by transformers itself, unit length."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    turn = [{"role": "user", "content": [{"type": "image"}]}]
    text = processor.apply_chat_template(turn, add_generation_prompt=False)
    vectors = []
    for picture in pictures:
        with torch.inference_mode():
            read = processor(images=[picture], text=[text], return_tensors="pt")
            state = model.model(**read).last_hidden_state[0, -1].numpy()
        vectors.append(state / np.linalg.norm(state))
    return vectors


def as_sent(picture):
    """What the server decodes: pictures are sent as JPEG files."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY)
    return Image.open(file).convert("RGB")


def test_pictures_have_the_vectors_of_their_model(models, tmp_path):
    """A model that reads pictures and words gives a picture the vector that transformers computes
    for the same turn.
    """
    folder = build_tiny_vlm(tmp_path / "vlm")
    served = build_image_encoder(
        models,
        EncoderOptions(
            "vllm",
            model=str(folder),
            dtype="float32",
            pooling="last",
            vllm_args="--convert embed --enforce-eager --max-num-seqs 8",
        ),
    )
    pictures = [
        Image.new("RGB", (64, 48), color).effect_spread(9) for color in ("red", "navy", "white")
    ]
    for picture in pictures:
        picture.paste("green", (8, 8, 24, 40))
    served.load()
    try:
        encoded = served.encode_images([Picture("", picture) for picture in pictures])
    finally:
        served.close()
    vectors = [each.vector for each in encoded]
    sent = [as_sent(picture) for picture in pictures]
    assert min(cosines(vectors, last_hidden(folder, sent))) > LEAST_COSINE
    assert cosines(vectors[:1], vectors[1:2])[0] < 1 - 1e-4

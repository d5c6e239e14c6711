"""The vllm encoders with the real vLLM, on the CPU, and tiny models with random weights: `make
test-vllm`.
"""

import json
import os

import numpy as np
import pytest

from tests.tiny_encoders import build_matryoshka
from transforms.models import build_text_encoder
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions

PYTHON = os.environ.get("CATALOG_ENRICH_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(
        not PYTHON, reason="CATALOG_ENRICH_VLLM_PYTHON names no interpreter; run `make test-vllm`"
    ),
    pytest.mark.xdist_group("vllm"),
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

"""ONNX Runtime and OpenVINO through `--text-runtime`: the vectors are PyTorch's.

`make test-runtimes` makes an environment for each and runs these there; elsewhere they are skipped.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import Shop
from tests.tiny_encoders import SENTENCES, TinyEncoders
from transforms.models import build_text_encoder, missing_requirements
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions

FILES = {"onnx": "onnx/model.onnx", "openvino": "openvino/openvino_model.xml"}
# Prompts, further parts, another pooling and a length of its own: what a runtime may see otherwise.
MODELS = {
    "onnx": ("matryoshka", "prompted", "dense", "modernbert"),
    "openvino": ("matryoshka", "prompted", "dense", "decoder"),
}
POOLINGS = {"modernbert": "mean", "decoder": "last"}
# What the exporters of these versions make no, or no usable, network of.
REFUSED = {"onnx": "decoder", "openvino": "modernbert"}
TEXTS = [*SENTENCES, "Tea.", "", " ".join(SENTENCES)]


def encoder(runtime: str, folder: Path, **settings: Any) -> Any:
    options = EncoderOptions(
        "sentence-transformers", model=str(folder), runtime=runtime, **settings
    )
    return build_text_encoder(ModelOptions(threads=1), options)


def loaded(runtime: str, folder: Path, **settings: Any) -> Any:
    made = encoder(runtime, folder, **settings)
    made.load()
    return made


@pytest.fixture(params=FILES)
def runtime(request: pytest.FixtureRequest, tiny_encoders: TinyEncoders) -> str:
    """Each runtime, where what it needs is installed."""
    name: str = request.param
    missing = missing_requirements(encoder(name, tiny_encoders["matryoshka"]))
    if missing:
        pytest.skip(f"{name} needs {', '.join(missing)}; make test-runtimes installs it")
    return name


@pytest.mark.parametrize("number", range(4))
def test_vectors_are_those_of_pytorch(
    runtime: str, number: int, tiny_encoders: TinyEncoders, tmp_path: Path
) -> None:
    """Exported when it is loaded, a model gives each text the vector that PyTorch gives it, alone
    and in a batch, for documents and for queries.
    """
    model = MODELS[runtime][number]
    folder = shutil.copytree(tiny_encoders[model], tmp_path / model)
    pooling = POOLINGS.get(model, "")
    ours, torchs = (loaded(each, folder, pooling=pooling) for each in (runtime, "torch"))
    assert ours.card == torchs.card
    for role in ("document", "query"):
        expected, found = (np.stack(each.encode_texts(TEXTS, role)) for each in (torchs, ours))
        alone = np.stack([ours.encode_texts([text], role)[0] for text in TEXTS])
        for each in (found, alone):
            assert (each * expected).sum(axis=1).min() > 1 - 1e-5


def test_shorter_vectors_are_those_of_pytorch(
    runtime: str, tiny_encoders: TinyEncoders, tmp_path: Path
) -> None:
    """A width that the model declares is taken after what the runtime computed."""
    folder = shutil.copytree(tiny_encoders["matryoshka"], tmp_path / "model")
    ours, torchs = (loaded(each, folder, dimension=8) for each in (runtime, "torch"))
    found, expected = (np.stack(each.encode_texts(TEXTS)) for each in (ours, torchs))
    assert found.shape == (len(TEXTS), 8)
    assert (found * expected).sum(axis=1).min() > 1 - 1e-5


def test_an_exported_file_is_what_is_computed(
    runtime: str, tiny_encoders: TinyEncoders, tmp_path: Path
) -> None:
    """A folder that holds what was exported once needs nothing else: neither the weights that it
    was exported from, nor another export.
    """
    from sentence_transformers import SentenceTransformer

    exported = tmp_path / "exported"
    SentenceTransformer(str(tiny_encoders["matryoshka"]), backend=runtime).save_pretrained(
        str(exported)
    )
    assert (exported / FILES[runtime]).is_file()
    (exported / "model.safetensors").unlink(missing_ok=True)
    expected = loaded("torch", tiny_encoders["matryoshka"]).encode_texts(TEXTS)
    found = loaded(runtime, exported).encode_texts(TEXTS)
    assert (np.stack(found) * np.stack(expected)).sum(axis=1).min() > 1 - 1e-5


def test_a_network_that_it_cannot_compute_is_refused_before_any_text(
    runtime: str, tiny_encoders: TinyEncoders
) -> None:
    """In one line that names the model and what to do, when the model is loaded."""
    model = REFUSED[runtime]
    with pytest.raises(ValueError, match="cannot be loaded") as told:
        loaded(runtime, tiny_encoders[model], pooling=POOLINGS[model])
    said = str(told.value)
    assert "\n" not in said
    assert str(tiny_encoders[model]) in said


def test_a_run_makes_the_vectors_that_pytorch_makes(
    runtime: str, shop: Shop, tiny_encoders: TinyEncoders
) -> None:
    """The whole job with `--text-runtime`: published, and the same table as with PyTorch, which a
    later run with the other takes over as it is.
    """
    folder = shutil.copytree(tiny_encoders["prompted"], shop.folder / "model")
    rows = [{"sku": f"s{n}", "name": text} for n, text in enumerate(SENTENCES)]
    catalog = shop.file("in.jsonl", rows)
    named = ("--text-encoder", "sentence-transformers", "--text-model", str(folder))
    vectors = {}
    for each in (runtime, "torch"):
        options = (*named, "--text-runtime", each)
        run = shop.run(catalog, options=options, output=each)
        assert run.code == 0, run.err + run.out
        vectors[each] = np.array([row["text_vector"] for row in run.rows("embeddings/text")])
    assert (vectors[runtime] * vectors["torch"]).sum(axis=1).min() > 1 - 1e-5
    again = shop.run(catalog, options=(*named, "--text-runtime", "torch"), output=runtime)
    assert again.code == 0
    assert "nothing has changed" in again.out

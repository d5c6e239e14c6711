"""What tells one model's answers from another's."""

import json
import shutil
import struct

import pytest

from transforms.models.identity import WHOLE_UP_TO_BYTES, model_identity

TENSORS = 40
TENSOR_BYTES = WHOLE_UP_TO_BYTES // 32


@pytest.fixture
def folder(tmp_path):
    """A model whose weights are too large to be read as a whole."""
    folder = tmp_path / "vlm"
    folder.mkdir()
    (folder / "config.json").write_text("{}", "utf-8")
    spans = {
        f"layer.{n}": {"data_offsets": [n * TENSOR_BYTES, (n + 1) * TENSOR_BYTES]}
        for n in range(TENSORS)
    }
    header = json.dumps({"__metadata__": {"format": "pt"}, **spans}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(TENSORS * TENSOR_BYTES)
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def write_tensor(path, number):
    """Other values in all of one tensor, nothing else changed."""
    content = bytearray(path.read_bytes())
    end = len(content) - (TENSORS - 1 - number) * TENSOR_BYTES
    content[end - TENSOR_BYTES : end] = b"\x01" * TENSOR_BYTES
    path.write_bytes(content)


def test_hub_id():
    """A hub id is told apart by its revision, `main` when none is named."""
    assert model_identity("shop/vlm", "v2") == "shop/vlm@v2"
    assert model_identity("shop/vlm") == "shop/vlm@main"


def test_a_copy_is_the_same_model(folder, tmp_path):
    """A folder with equal files is the same model, wherever it lies and whatever is written about
    it.
    """
    copy = tmp_path / "elsewhere" / "vlm"
    shutil.copytree(folder, copy)
    (copy / "README.md").write_text("A copy.", "utf-8")
    (copy / ".cache").mkdir()
    (copy / ".cache" / "state.json").write_text("{}", "utf-8")
    assert model_identity(str(copy)) == model_identity(str(folder))
    assert model_identity(str(folder)).startswith("vlm@sha256:")


@pytest.mark.parametrize("number", [0, 17, TENSORS - 1])
def test_one_trained_tensor(folder, number):
    """Weights that differ in one tensor only, with equal names, sizes and headers, are another
    model.
    """
    before = model_identity(str(folder))
    write_tensor(folder / "model.safetensors", number)
    assert model_identity(str(folder)) != before


def test_weights_of_another_format(folder):
    """Weights whose tensors cannot be found are sampled at equal distances."""
    (folder / "model.safetensors").rename(folder / "model.bin")
    content = bytearray((folder / "model.bin").read_bytes())
    content[:8] = b"\xff" * 8
    (folder / "model.bin").write_bytes(content)
    before = model_identity(str(folder))
    write_tensor(folder / "model.bin", 17)
    assert model_identity(str(folder)) != before


@pytest.mark.parametrize("name", ["config.json", "chat_template.jinja"])
def test_what_is_beside_the_weights(folder, name):
    """Configuration, tokenizer and chat template shape answers, too."""
    before = model_identity(str(folder))
    (folder / name).write_text("other", "utf-8")
    assert model_identity(str(folder)) != before

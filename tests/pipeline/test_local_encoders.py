"""The whole job with encoders of a folder, real ones with random weights."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.support import Shop
from tests.tiny_encoders import SHARED_DIMENSION, TinyEncoders
from transforms.models import build_image_encoder, build_text_encoder
from transforms.models.contract import ModelOptions, Picture
from transforms.models.encoder_options import EncoderOptions

RECORDS = [
    {"sku": "a", "name": "Red cotton shirt", "text": "Long sleeves.", "photos": ["a.png"]},
    {"sku": "b", "name": "Kitchen table", "text": "Natural oak, four chairs.", "photos": ["b.png"]},
    {"sku": "c", "name": "Fresh whole milk"},
]


def given(modality: str, backend: str, model: object, **more: object) -> list[str]:
    """The options that choose an encoder on the command line."""
    settings = {"encoder": backend, "model": model, "device": "cpu", **more}
    return [
        word for name, value in settings.items() for word in (f"--{modality}-{name}", str(value))
    ]


@pytest.fixture
def catalog(shop: Shop) -> Shop:
    """Three records, two of them with a picture."""
    for number, name in enumerate(("a.png", "b.png")):
        noise = np.random.default_rng(number).integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(noise).save(shop.images / name)
    shop.file("in.jsonl", RECORDS)
    return shop


def test_tables_hold_what_the_encoders_make(catalog: Shop, tiny_encoders: TinyEncoders) -> None:
    """Vectors of the tables are those that the encoders of the options make of the item's text and
    of its picture; the width is the one that was asked for.
    """
    text = ("sentence-transformers", str(tiny_encoders["matryoshka"]))
    image = ("transformers", str(tiny_encoders["dinov2"]))
    options = [
        *given("text", *text, dimension=16, prompt="passage: "),
        *given("image", *image, pooling="mean"),
    ]
    run = catalog.run(catalog.folder / "in.jsonl", options=options)
    assert run.code == 0, run.out + run.err
    of_texts = build_text_encoder(
        ModelOptions(), EncoderOptions(text[0], text[1], dimension=16, prompt="passage: ")
    )
    of_images = build_image_encoder(ModelOptions(), EncoderOptions(*image, pooling="mean"))
    of_texts.load()
    of_images.load()
    texts = {row["item_id"]: row["text_enriched"] for row in run.rows("items")}
    rows = {row["item_id"]: row["text_vector"] for row in run.rows("embeddings/text")}
    expected = dict(zip(texts, of_texts.encode_texts(list(texts.values())), strict=True))
    assert rows.keys() == texts.keys()
    for item_id, vector in rows.items():
        assert len(vector) == 16
        assert vector == pytest.approx(expected[item_id].tolist(), abs=1e-5)
    seen = {row["item_id"]: row["image_vector"] for row in run.rows("embeddings/image")}
    assert sorted(seen) == ["a", "b"]
    for item_id, vector in seen.items():
        picture = Picture("0", Image.open(catalog.images / f"{item_id}.png").convert("RGB"))
        (encoding,) = of_images.encode_images([picture])
        assert vector == pytest.approx(encoding.vector.tolist(), abs=1e-4)


def test_texts_and_pictures_share_a_space(catalog: Shop, tiny_encoders: TinyEncoders) -> None:
    """CLIP named for both makes two tables of one width; a run on the same input encodes nothing
    again.
    """
    folder = tiny_encoders["clip"]
    options = [*given("text", "transformers", folder), *given("image", "transformers", folder)]
    run = catalog.run(catalog.folder / "in.jsonl", options=options)
    assert run.code == 0, run.out + run.err
    widths = {
        len(row[f"{kind}_vector"])
        for kind in ("text", "image")
        for row in run.rows(f"embeddings/{kind}")
    }
    assert widths == {SHARED_DIMENSION}
    again = catalog.run(catalog.folder / "in.jsonl", options=options)
    assert again.snapshot == run.snapshot


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("no-such/folder/here", "the model's folder 'no-such/folder/here' does not exist"),
        ("bert", "does not declare how token vectors become one; give --text-pooling"),
        ("dinov2", "reads pictures and has no part for texts"),
    ],
)
def test_a_model_that_does_not_fit_starts_no_run(
    catalog: Shop, tiny_encoders: TinyEncoders, model: str, told: str
) -> None:
    """A wrong model is one line before anything is read, and nothing is written."""
    place = model if "/" in model else str(tiny_encoders[model])
    options = given("text", "sentence-transformers", place)
    run = catalog.run(catalog.folder / "in.jsonl", options=options)
    assert run.code == 2
    assert told in run.out + run.err
    assert not run.output.exists()


def test_a_network_without_numbers_publishes_nothing(
    catalog: Shop, tiny_encoders: TinyEncoders
) -> None:
    """A network whose weights are broken gives no vector: the items say so, and the gate refuses."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_encoders["prompted"], catalog.folder / "broken")
    weights = load_file(folder / "model.safetensors")
    broken = {name: torch.full_like(weight, float("nan")) for name, weight in weights.items()}
    save_file(broken, folder / "model.safetensors", metadata={"format": "pt"})
    run = catalog.run(
        catalog.folder / "in.jsonl", options=given("text", "sentence-transformers", folder)
    )
    assert run.code == 1
    assert "no encoder failed on everything that it was given" in run.out
    assert not (run.output / "current").exists()

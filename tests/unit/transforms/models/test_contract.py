"""What every registered model keeps to, whatever it is."""

import json
import pickle
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from schemas.reasons import REASONS
from tests.support import ROOT
from transforms.models import (
    CHAT_MODELS,
    IMAGE_ENCODERS,
    TAGGERS,
    TEXT_ENCODERS,
    build_chat_model,
    build_image_encoder,
    build_tagger,
    build_text_encoder,
    missing_requirements,
)
from transforms.models.contract import (
    MAX_MESSAGE_CHARS,
    Failure,
    Model,
    ModelOptions,
    Picture,
    TagRequest,
    Tags,
    answer_each,
    call_each,
)
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import EncoderCard, ImageEncoding

CHAT = {"describe_backend": (CHAT_MODELS, build_chat_model, "describe backend")}
BUILDERS = {
    "describe_backend": (TAGGERS, build_tagger, "describe backend"),
    "image": (IMAGE_ENCODERS, build_image_encoder, "image encoder"),
    "text": (TEXT_ENCODERS, build_text_encoder, "text encoder"),
}
# Encoders behind an endpoint need a server; their tests are http/test_encoder.py.
SERVED = {("image", "openai"), ("image", "vllm"), ("text", "openai"), ("text", "vllm")}
EVERY_MODEL = [
    (option, name)
    for option, (registry, _, _) in BUILDERS.items()
    for name in registry
    if (option, name) not in SERVED
]
TEXTS = [
    "Red cotton shirt.",
    "",
    "A lemon. " * 400,
    "Gewürztee für 2 €",
    "電子吉他",
    "Red cotton shirt.",
]


def pictures():
    """Six small pictures that differ, the last a copy of the first."""
    colors = ["red", "#336699", "white", "black", "gold"]
    made = [
        Picture(f"{n:064x}", Image.new("RGB", (40 + 9 * n, 64), color))
        for n, color in enumerate(colors)
    ]
    return [*made, made[0]]


def requests():
    return [TagRequest((picture,), (("lemon", 0.61), ("lime", 0.04))) for picture in pictures()]


# What backends that take a model are tried with: the tiny encoder, and how it pools.
TRIED = {
    ("image", "sentence-transformers"): ("clip", ""),
    ("image", "transformers"): ("dinov2", ""),
    ("text", "sentence-transformers"): ("matryoshka", ""),
    ("text", "transformers"): ("decoder", "last"),
}


def options_with(option, name, tiny=None):
    if option in CHAT:
        return ModelOptions(**{option: name})
    tried, pooling = TRIED.get((option, name), ("", ""))
    model = str(tiny[tried]) if tiny and tried else ""
    return ModelOptions(**{option: EncoderOptions(name, model=model, pooling=pooling)})


def build(option, name, tiny=None):
    return BUILDERS[option][1](options_with(option, name, tiny))


def loaded(option, registry):
    """A fixture with each model of a registry, loaded once; skipped where its packages are absent."""

    @pytest.fixture(scope="module", params=sorted(registry))
    def model(request, tiny_encoders):
        made = build(option, request.param, tiny_encoders)
        if missing := missing_requirements(made):
            pytest.skip(f"{request.param} needs {', '.join(missing)}")
        made.load()
        return made

    return model


tagger = loaded("describe_backend", TAGGERS)
image_encoder = loaded("image", [name for option, name in EVERY_MODEL if option == "image"])
text_encoder = loaded("text", [name for option, name in EVERY_MODEL if option == "text"])


def assert_unit_vector(vector, dimension):
    assert vector.dtype == np.float32
    assert vector.shape == (dimension,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_image_encodings(image_encoder):
    """One encoding per picture in order: a float32 unit vector of the stated dimension, labels best
    first.
    """
    first, second = image_encoder.encode_images(pictures()), image_encoder.encode_images(pictures())
    assert [type(e) for e in first] == [ImageEncoding] * 6
    for one, again in zip(first, second, strict=True):
        assert_unit_vector(one.vector, image_encoder.dimension)
        assert np.allclose(one.vector, again.vector, atol=1e-6)
        assert one.labels == again.labels
        assert [p for _, p in one.labels] == sorted((p for _, p in one.labels), reverse=True)
    assert np.allclose(first[0].vector, first[5].vector, atol=1e-6)
    assert not np.allclose(first[0].vector, first[1].vector)
    assert image_encoder.encode_images([]) == []


def test_text_encodings(text_encoder):
    """One float32 unit vector per text in order, for empty and overlong texts as well."""
    first, second = text_encoder.encode_texts(TEXTS), text_encoder.encode_texts(TEXTS)
    assert len(first) == len(TEXTS)
    for one, again in zip(first, second, strict=True):
        assert_unit_vector(one, text_encoder.dimension)
        assert np.array_equal(one, again)
    assert np.allclose(first[0], first[5], atol=1e-5)
    assert not np.allclose(first[0], first[3], atol=1e-2)
    assert text_encoder.encode_texts([]) == []


def test_a_card_says_what_vectors_depend_on(image_encoder, text_encoder):
    """The card is JSON, names the modality, and has the dimension of the vectors that are made."""
    for encoder, modality in ((image_encoder, "image"), (text_encoder, "text")):
        card = encoder.card
        assert EncoderCard(**json.loads(json.dumps(asdict(card)))).id == card.id
        assert modality in card.modalities
        assert card.dimension == encoder.dimension
        assert len(card.weights_sha256) in (0, 64)


def test_tokens_are_counted_uncut(text_encoder):
    """A text's tokens are counted beyond what the model reads, one number a text."""
    short, long = text_encoder.count_tokens(["Red cotton shirt.", "red shirt " * 400])
    assert short < 10
    assert long >= 800
    assert text_encoder.count_tokens([]) == []


def test_neighbours_do_not_matter(image_encoder, text_encoder):
    """The vector of a picture or of a text is the same in any batch, to within 1e-5."""
    together = image_encoder.encode_images(pictures())
    for picture, encoding in zip(pictures(), together, strict=True):
        assert (
            np.abs(image_encoder.encode_images([picture])[0].vector - encoding.vector).max() < 1e-5
        )
    for text, vector in zip(TEXTS, text_encoder.encode_texts(TEXTS), strict=True):
        assert np.abs(text_encoder.encode_texts([text])[0] - vector).max() < 1e-5


def test_descriptions(tagger):
    """One description per request in order, the same when asked again, with colours as shares."""
    first = tagger.tag(requests())
    assert [type(d) for d in first] == [Tags] * 6
    assert first == tagger.tag(requests())
    assert first[0] == first[5]
    assert all(d.description and "\n" not in d.description for d in first)
    assert all(0 <= share <= 1 for d in first for _, share in d.colors)
    assert tagger.tag([]) == []


def test_poison_costs_only_itself(image_encoder, tagger):
    """A picture that no model can take costs its own answer, under a registered reason, and no
    other.
    """
    broken = Picture("f" * 64, None)
    for call, ask in (
        (image_encoder.encode_images, pictures()),
        (tagger.tag, requests()),
    ):
        poison = broken if isinstance(ask[0], Picture) else TagRequest((broken,))
        answers = call_each(call, [*ask[:3], poison, *ask[3:]], "backend-failed")
        failures = [answer for answer in answers if isinstance(answer, Failure)]
        assert len(answers) == 7
        assert all(failure.reason in REASONS and failure.message for failure in failures)
        assert failures in ([], [answers[3]])


@pytest.mark.parametrize(("option", "name"), EVERY_MODEL)
def test_a_model_travels_before_it_is_loaded(option, name, tiny_encoders):
    """An unloaded model can be pickled to a worker and still says the same of itself."""
    made = build(option, name, tiny_encoders)
    assert isinstance(made, Model)
    copy = pickle.loads(pickle.dumps(made))
    assert (copy.model, copy.requires) == (made.model, made.requires)
    assert any(character.isdigit() for character in made.model)


@pytest.mark.parametrize("name", sorted(TAGGERS))
def test_describers_state_what_shapes_an_answer(name):
    """Method, prompt hash and parameters are known before loading, and the parameters are JSON."""
    made = build("describe_backend", name)
    assert made.method
    assert made.prompt_hash == "" or len(made.prompt_hash) == 64
    assert json.loads(json.dumps(made.parameters)) == made.parameters
    assert requests()[0].fingerprint(made) != requests()[1].fingerprint(made)


@pytest.mark.parametrize("option", BUILDERS)
def test_unknown_name_lists_the_known(option):
    """A name that is not registered is refused with the names that are."""
    registry, build_model, kind = (BUILDERS | CHAT)[option]
    known = ", ".join(sorted(registry))
    with pytest.raises(ValueError, match=f"there is no {kind} 'nope'; choose one of: {known}"):
        build_model(options_with(option, "nope"))


def test_missing_requirements_are_named():
    """Modules that are not installed are named, without importing those that are: also parts of
    packages, whether these are there or not.
    """
    made = build("text", "fake")
    absent = ["no_such_module", "no_such_module.part", "json.no_such_part"]
    made.requires = ("json", *absent, "json.decoder")
    assert missing_requirements(made) == absent


def test_building_imports_nothing_heavy():
    """Registry, tagger and encoders can be built and asked for their names without any model
    library.
    """
    script = (
        "import sys; from transforms.models import *; from transforms.models.contract import ModelOptions as O\n"
        "for build in (build_tagger, build_image_encoder, build_text_encoder): build(O()).model\n"
        "print(sorted({'torch', 'rapidocr', 'onnxruntime', 'cv2', 'sentence_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_call_each_holds_a_backend_to_its_word():
    """Too few answers are no answers: each request is asked alone, and fails alone."""

    def forgetful(batch):
        return [n * 10 for n in batch if n != 2]

    assert call_each(forgetful, [1, 2, 3], "backend-failed") == [
        10,
        Failure("backend-failed", "0 answers for 1 requests"),
        30,
    ]
    assert call_each(forgetful, [], "backend-failed") == []


def test_answer_each_isolates_every_request():
    """What raises is a Failure with a short message on one line; the rest is answered."""
    answers = answer_each(lambda n: 1 / n, [1, 0, 2], "backend-failed")
    assert answers == [1.0, Failure("backend-failed", "ZeroDivisionError: division by zero"), 0.5]

    def verbose(_):
        raise RuntimeError("line\n" * 1000)

    (failure,) = answer_each(verbose, [1], "backend-failed")
    assert len(failure.message) <= MAX_MESSAGE_CHARS
    assert "\n" not in failure.message

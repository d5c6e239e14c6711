"""Fake models and the script that drives them."""

import pytest
from PIL import Image

from transforms.models.contract import Failure, ModelOptions, Picture, TagRequest, Tags, call_each
from transforms.models.encoder_options import EncoderOptions
from transforms.models.fake.script import (
    FakeImageEncoder,
    FakeTagger,
    FakeTextEncoder,
    hash_vector,
    parse_script,
)

FAKE = EncoderOptions("fake")


def request(digest="d" * 64, text=""):
    return TagRequest((Picture(digest, Image.new("RGB", (2, 2))),), text=text)


@pytest.fixture
def scripted(tmp_path):
    """Builds a tagger from the text of a script."""

    def build(script):
        path = tmp_path / "script.yaml"
        path.write_text(script)
        return FakeTagger(ModelOptions(fake_script=str(path)))

    return build


def test_script_answers_and_fails(scripted):
    """Each entry answers, or fails, the requests whose digest or text it matches; the first match
    wins.
    """
    tagger = scripted("""
- {match: ^aa, model: tagger, description: A shirt., colors: {red: 0.75, white: 0.25}, text: SALE}
- {match: broken, model: tagger, failure: backend-failed}
- {match: ^a, model: tagger, description: Never reached by aa.}
""")
    assert tagger.tag(
        [request("aa1"), request("x", "it is broken"), request("ab"), request("b" * 64)]
    ) == [
        Tags("A shirt.", (("red", 0.75), ("white", 0.25)), "SALE"),
        Failure("backend-failed", "the fake script fails match 'broken'"),
        Tags("Never reached by aa."),
        Tags("Fake description of picture bbbbbbbbbbbb."),
    ]


def test_poison_costs_only_itself(scripted):
    """One request that makes the whole batch raise costs exactly that one of 64, in few calls."""
    tagger = scripted("- {match: poison, model: tagger, raise: true}")
    requests = [request(f"{n:064x}", "poison" if n == 37 else "") for n in range(64)]
    answers = call_each(tagger.tag, requests, "backend-failed")
    assert [n for n, answer in enumerate(answers) if isinstance(answer, Failure)] == [37]
    assert answers[37] == Failure(
        "backend-failed", "RuntimeError: the fake script raises for match 'poison'"
    )
    assert answers[:37] == [FakeTagger(ModelOptions()).tag([one])[0] for one in requests[:37]]
    assert tagger.calls == 13


def test_calls_are_counted(scripted):
    """Calls and requests are counted, those of a batch that raised included."""
    tagger = scripted("- {match: poison, model: tagger, raise: true}")
    tagger.tag([request(), request()])
    with pytest.raises(RuntimeError):
        tagger.tag([request(text="poison")])
    assert (tagger.calls, tagger.requests) == (2, 3)
    for encoder, encode, batch in (
        (image := FakeImageEncoder(FAKE, ModelOptions()), image.encode_images, request().pictures),
        (text := FakeTextEncoder(FAKE, ModelOptions()), text.encode_texts, ["a"]),
    ):
        encode(batch)
        assert (encoder.calls, encoder.requests) == (1, 1)


def test_script_is_part_of_the_content_address(scripted):
    """Another script is another model: its answers are not taken for those of the first."""
    one = request()
    first, second = (
        scripted("- {match: a, model: tagger, description: A}"),
        scripted("- {match: a, model: tagger, description: B}"),
    )
    assert one.fingerprint(first) != one.fingerprint(second)
    assert one.fingerprint(first) == one.fingerprint(
        scripted("- {match: a, model: tagger, description: A}")
    )


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "- {match: a, describtion: x}",
            "entry 1: describtion: unknown key; allowed: match, model, answer, raw, finish_reason, description, colors",
        ),
        (
            "- {match: a, model: tagger, description: x}\n- {description: x}",
            "entry 2: match: Field required",
        ),
        (
            "- {match: '(', model: tagger, description: x}",
            r"entry 1: match: '\(' is not a regular expression",
        ),
        (
            "- {match: a, failure: no-such-reason}",
            "entry 1: failure: reason 'no-such-reason' is not registered",
        ),
        (
            "- {match: a, failure: missing-id}",
            "entry 1: failure: reason 'missing-id' is not registered with effect flag",
        ),
        ("- {match: a, raise: sometimes}", "entry 1: raise: Input should be a valid boolean"),
        (
            "- {match: a, model: tagger, description: x, colors: {red: 2}}",
            "entry 1: colors.red: Input should be less than or equal to 1",
        ),
        ("- {match: a}", "entry 1: has to say exactly one of answer, raw, failure and raise: true"),
        (
            "- {match: a, model: tagger, description: x, raise: true}",
            "entry 1: has to say exactly one",
        ),
        ("match: a", "is not a list; write - match: ... for each entry"),
        ("", "is not a list"),
        ("- {match: a", "is not YAML"),
    ],
)
def test_wrong_script_is_refused(scripted, script, message):
    """A wrong script is refused when the model is built, naming file, entry and key."""
    with pytest.raises(ValueError, match=f"(?s)fake script .*script.yaml.*{message}"):
        scripted(script)


def test_all_wrong_entries_are_named():
    """One message names every wrong entry."""
    with pytest.raises(ValueError, match=r"entry 1: match: .*; entry 3: txt: "):
        parse_script(
            "- {description: x}\n- {match: a, model: tagger, description: x}\n- {match: a, model: tagger, description: x, txt: y}",
            "s",
        )


def test_missing_script_is_refused(tmp_path):
    """A script that is not there is refused by name."""
    with pytest.raises(
        ValueError, match=r"fake script .*gone\.yaml cannot be read: .*; name a YAML file"
    ):
        FakeTagger(ModelOptions(fake_script=str(tmp_path / "gone.yaml")))


def test_vectors_come_from_content_alone():
    """Different contents have different vectors, and the vectors do not change between releases."""
    assert hash_vector("a")[:3].tolist() == pytest.approx([0.203576, -0.128443, 0.145306], abs=1e-6)
    assert abs(float(hash_vector("a") @ hash_vector("b"))) < 0.5
    assert hash_vector("\ud800").shape == (64,)

"""Spaces of a template with the encoders of a run."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from schemas.loading import parse_template
from schemas.sections.vectors import VectorSpec
from schemas.template import Template
from tests.support import TEMPLATE
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.spaces import (
    own_image_options,
    own_text_options,
    shared_image_encoder,
    shared_text_encoder,
    space_identity,
    spaces_of,
)
from transforms.runtime.options import options_of

FAKES = ModelOptions(text=EncoderOptions("fake"), image=EncoderOptions("fake"))
ENDPOINT = EncoderOptions("openai", model="m", prompt="passage: ", endpoint="http://h/v1")


def shop(*spaces: str) -> Template:
    return parse_template(f"{TEMPLATE}\nvectors: [{', '.join(spaces)}]", "test")


def test_a_space_has_every_setting_of_an_encoder() -> None:
    """What can be said of an encoder on the command line can be said of a space's, and no more."""
    settings = VectorSpec.model_fields.keys() - {"name", "of", "parts", "encoder"}
    assert settings == {field.name for field in dataclasses.fields(EncoderOptions)} - {"backend"}


def test_a_space_allows_what_the_command_line_allows() -> None:
    """Ranges and choices of a template's entry are those of the options of the same name."""
    properties = VectorSpec.model_json_schema()["properties"]
    for field, declared in options_of(EncoderOptions):
        if field.name != "backend":
            said = properties[field.name]["anyOf"][0]
            assert said.get("minimum") == declared.minimum, field.name
            assert tuple(said.get("enum", ())) == tuple(declared.choices), field.name


def test_what_a_space_leaves_out_is_as_on_the_command_line() -> None:
    """Without an encoder of its own a space has the command line's, but for what it says; with one
    it begins from that one's defaults.
    """
    models = ModelOptions(text=ENDPOINT)
    template = shop(
        "{name: titles, of: text, dimension: 8}",
        "{name: own, of: text, encoder: fake}",
    )
    by_name = {space.name: space.options for space in spaces_of(template, models)}
    assert by_name["text"] == ENDPOINT
    assert by_name["image"] == EncoderOptions()
    assert by_name["titles"] == replace(ENDPOINT, dimension=8)
    assert by_name["own"] == EncoderOptions("fake")


def test_the_run_works_with_the_embedded_pair_whatever_the_tables_hold() -> None:
    """Another encoder is for the tables: labels, probes and names stay with those of the run."""
    models = ModelOptions(text=ENDPOINT, image=ENDPOINT)
    assert own_text_options(models) == own_image_options(models) == EncoderOptions()
    assert own_text_options(FAKES) == EncoderOptions("fake")


def test_an_identity_changes_with_what_the_vectors_are_made_of() -> None:
    """Encoder, prompt, parts and what the template says of a part tell tables apart; the library
    and the order of the spaces do not.
    """
    titles = "{name: titles, of: text, parts: [title]}"

    def identity(
        space: str = titles, template: str = TEMPLATE, models: ModelOptions = FAKES
    ) -> str:
        made = parse_template(f"{template}\nvectors: [{space}]", "test")
        return space_identity(spaces_of(made, models)[2], made, models)

    first = identity()
    others = {
        identity(titles.replace("[title]", "[title, about]")),
        identity(titles.replace("[title]", "[title], prompt: 'a: '")),
        identity(template=TEMPLATE.replace("role: title", "role: text")),
        identity(models=replace(FAKES, text=EncoderOptions("fake", model="other"))),
    }
    assert len(others | {first}) == 5
    assert identity(models=replace(FAKES, threads=4)) == first
    default = parse_template(TEMPLATE, "test")
    names = [space_identity(each, default, FAKES) for each in spaces_of(default, FAKES)]
    assert names == ["fake-text 1", "fake-image 1"]


def test_an_encoder_is_loaded_once_for_all_that_share_it() -> None:
    """Stages and threads of a process that name an encoder by the same options have one, loaded
    once; other options are another one.
    """
    encoders = [shared_text_encoder(FAKES), shared_text_encoder(FAKES, EncoderOptions("fake"))]
    assert encoders[0] is encoders[1]
    assert shared_text_encoder(FAKES, EncoderOptions("fake", model="b")) is not encoders[0]
    assert shared_image_encoder(FAKES) is not encoders[0]

    def encode(number: int) -> int:
        with encoders[number % 2].loaded() as encoder:
            return len(encoder.encode_texts([str(number)]))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(encode, range(8))) == [1] * 8
    made = encoders[0].encoder
    assert (getattr(made, "loads", 0), getattr(made, "requests", 0)) == (1, 8)

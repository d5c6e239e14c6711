"""schemas.questions: what is asked, and the JSON Schema of the answer, both from the template."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attribute_types.contract import UNKNOWN
from schemas.attributes import Attribute
from schemas.loading import load_template, packaged_templates
from schemas.questions import (
    CONFIDENCE_KEY,
    NOWHERE,
    SEEN_KEY,
    Question,
    answer_schema,
    picture_place,
)


def attribute(**entry: Any) -> Attribute:
    return Attribute.model_validate({"name": "a", "fill": True, **entry})


COLOR = attribute(
    name="color", type="enum", values=["Red", 'Blue "navy"', "Grün"], evidence=["text", "image"]
)
TAGS = attribute(name="tags", type="multi_enum", values=["new", "eco"])
WEIGHT = attribute(name="weight", type="number", unit="g")
PAGES = attribute(name="pages", type="number", integer=True)
PROOF = attribute(name="proof", type="boolean")
EAN = attribute(name="ean", type="identifier", scheme="gtin")
MAKER = attribute(name="maker", type="string", max_length=40)
SINCE = attribute(name="since", type="date")
EVERY = (COLOR, TAGS, WEIGHT, PAGES, PROOF, EAN, MAKER, SINCE)


def allows(schema: dict[str, Any], value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("asked", "fits", "others"),
    [
        (COLOR, ["Red", 'Blue "navy"', "Grün", UNKNOWN], ["red", "", None, 1, ["Red"]]),
        (TAGS, [["new"], ["eco", "new"], []], ["new", ["other"], [None]]),
        (WEIGHT, ["12", "-0.5", UNKNOWN], [12, "12 g", "1" * 11, "1e9", "", "1.", "nan"]),
        (PAGES, ["12", UNKNOWN], ["1.5", "x"]),
        (PROOF, ["yes", "no", UNKNOWN], [True, "maybe"]),
        (EAN, ["4006381333931", UNKNOWN], ["4006381", "x" * 13, "1" * 21]),
        (
            SINCE,
            ["2024", "2024-05", "2024-05-17", UNKNOWN],
            ["17 May 2024", "2024-13", "2024-5", "2024-05-32", "0924", "2024-05-17T10:00", 2024],
        ),
        (MAKER, ["Arla", UNKNOWN], ["", "x" * 41, 3]),
    ],
)
def test_a_value_fits_its_attribute_or_is_unknown(
    asked: Attribute, fits: list[Any], others: list[Any]
) -> None:
    """Each type takes its values and `unknown`, and nothing else."""
    schema = asked.spec.answer_schema(asked, Question().offered(asked))
    assert [value for value in fits if not allows(schema, value)] == []
    assert [value for value in others if allows(schema, value)] == []


def test_the_schema_is_flat_bounded_and_closed() -> None:
    """One flat object, every key required and no other allowed; strings and lists are bounded."""
    question = Question(EVERY, places=("title", picture_place(1)), describe=True)
    schema = answer_schema(question)
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    for kind in schema["properties"].values():
        assert kind["type"] in ("string", "array")
        bounded = {"enum", "maxLength", "pattern", "maxItems"} & kind.keys()
        assert bounded, kind
    assert schema["properties"]["color" + SEEN_KEY]["enum"] == ["title", "image 1", NOWHERE]
    assert schema["properties"]["tags" + SEEN_KEY]["enum"] == ["title", NOWHERE], (
        "its evidence is text only"
    )


def test_a_retry_asks_for_what_is_needed() -> None:
    """The lean question has the description and the values, and no key beside them."""
    schema = answer_schema(Question((COLOR,), places=("title",), describe=True, lean=True))
    assert schema["required"] == ["image.description", "color"]


def test_an_attribute_may_be_called_description() -> None:
    """What the pictures show has a key that no attribute can have."""
    own = attribute(name="description", type="string")
    properties = answer_schema(Question((own,), places=("title",), describe=True))["properties"]
    assert {"description", "image.description"} <= properties.keys()


def test_a_list_that_holds_the_word_itself_offers_it_once() -> None:
    """`unknown` as a value of a closed list does not stand there twice."""
    asked = attribute(name="kind", type="enum", values=["unknown", "known"])
    assert asked.spec.answer_schema(asked, Question().offered(asked))["enum"] == [
        "unknown",
        "known",
    ]


@pytest.mark.parametrize("name", packaged_templates())
def test_every_packaged_template_gives_a_sound_schema(name: str) -> None:
    """What any packaged template asks for is a valid JSON Schema that survives being sent."""
    template = load_template(name)
    asked = tuple(a for a in template.attributes if a.fill)
    schema = answer_schema(Question(asked, places=("title", picture_place(1)), describe=True))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    assert [key for key in schema["properties"] if key.endswith(CONFIDENCE_KEY)] == [
        a.name + CONFIDENCE_KEY for a in asked
    ]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8, unique_by=str.casefold))
def test_any_closed_list_is_offered_whole(values: list[str]) -> None:
    """Whatever the values are called, each is allowed and `unknown` is too."""
    asked = attribute(name="color", type="enum", values=values)
    schema = asked.spec.answer_schema(asked, Question().offered(asked))
    assert all(allows(schema, choice.value) for choice in asked.values)
    assert allows(schema, UNKNOWN)

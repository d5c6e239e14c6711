"""transforms.describe.splitting: questions that fit the schemas of a server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.questions import Question, answer_schema
from schemas.template import Template
from transforms.describe.splitting import SchemaLimits, split_question


def question(sizes: list[int], *, describe: bool) -> Question:
    """A question with a list of each size."""
    attributes = [
        {"name": f"a{n}", "type": "enum", "values": [f"v{v}" for v in range(size)], "fill": True}
        for n, size in enumerate(sizes)
    ]
    template = Template.model_validate(
        {
            "name": "shop",
            "version": "1.0.0",
            "record": {"id": "sku"},
            "attributes": [{"name": "title", "type": "string", "role": "title"}, *attributes],
        }
    )
    return Question(template.attributes[1:], places=("title",), describe=describe)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.booleans(),
    st.integers(0, 60),
    st.integers(0, 12),
)
def test_parts_are_within_the_limits_and_ask_the_same(
    sizes: list[int], describe: bool, max_values: int, max_properties: int
) -> None:
    """Every attribute is asked once, in order, the pictures are described once, and each part is
    within the limits unless it asks for a single thing.
    """
    limits = SchemaLimits(max_values, max_properties)
    whole = question(sizes, describe=describe)
    parts = list(split_question(whole, limits))
    assert [a.name for p in parts for a in p.attributes] == [a.name for a in whole.attributes]
    assert [part.describe for part in parts] == [describe] + [False] * (len(parts) - 1)
    for part in parts:
        asked = len(part.attributes) + part.describe
        assert asked <= 1 or limits.hold(answer_schema(part))
    if limits.hold(answer_schema(whole)):
        assert parts == [whole]


def test_a_question_within_the_limits_is_the_same_question() -> None:
    """Without limits, and within them, nothing is split: a kept answer is found."""
    whole = question([200, 200, 200], describe=True)
    assert list(split_question(whole, SchemaLimits())) == [whole]
    assert list(split_question(whole, SchemaLimits(1_000, 100))) == [whole]
    assert len(list(split_question(whole, SchemaLimits(500, 100)))) == 2

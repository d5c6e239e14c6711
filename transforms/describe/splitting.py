"""A question whose schema is larger than a server takes, as several that are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from schemas.attributes import Attribute
from schemas.questions import Question, answer_schema


@dataclass(frozen=True, slots=True)
class SchemaLimits:
    """What all lists of a schema may hold together, and how many keys a schema; 0: no limit."""

    max_values: int = 0
    max_properties: int = 0

    def hold(self, schema: Mapping[str, Any]) -> bool:
        """Tell whether a schema is within the limits."""
        properties = schema["properties"]
        return not (
            0 < self.max_properties < len(properties)
            or 0 < self.max_values < sum(map(_listed, properties.values()))
        )


def split_question(question: Question, limits: SchemaLimits) -> Iterator[Question]:
    """Yield the question, in parts if its schema exceeds the limits; the first describes the
    pictures if the question does. An attribute that alone exceeds them has a part of its own.
    """
    part: tuple[Attribute, ...] = ()
    describe = question.describe
    for attribute in question.attributes:
        grown = replace(question, attributes=(*part, attribute), describe=describe)
        if (part or describe) and not limits.hold(answer_schema(grown)):
            yield replace(question, attributes=part, describe=describe)
            part, describe = (), False
        part = (*part, attribute)
    if part or describe:
        yield replace(question, attributes=part, describe=describe)


def _listed(schema: Mapping[str, Any]) -> int:
    return len(schema.get("enum", ())) + len(schema.get("items", {}).get("enum", ()))

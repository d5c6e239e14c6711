"""The enriched text: an ordered key-value sentence from the template.

PCollection[Bucket] → PCollection[Bucket] with `text_source` (the source's values only) and
`text_enriched` (with filled values and the description of the pictures).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import apache_beam as beam

from schemas.attributes import Attribute
from schemas.elements import Bucket, Item, Value
from schemas.template import Template
from schemas.vectors import IMAGE_DESCRIPTION
from transforms.attribute_types.registry import operations_of
from transforms.runtime.buckets import each_item


def format_value(attribute: Attribute, value: Value) -> str:
    """Return a value as a reader would say it.

    >>> from schemas.attributes import Attribute
    >>> format_value(Attribute(name="weight", type="number", unit="g"), 180.0)
    '180 g'
    """
    return operations_of(attribute).format(attribute, value)


def compose_text(
    template: Template, values: Mapping[str, Value], image_description: str | None = None
) -> str:
    """`Label: value.` for every known attribute, in template order, then what the pictures show."""
    parts = [
        f"{attribute.title}: {format_value(attribute, values[attribute.name])}"
        for attribute in template.attributes
        if attribute.in_text and attribute.name in values
    ]
    if image_description:
        parts.append(f"Picture: {image_description}")
    return _sentences(parts)


def _sentences(parts: Iterable[str]) -> str:
    # A sentence's end after each part keeps encoders from reading two attributes as one phrase.
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts)


def text_of_parts(template: Template, item: Item, parts: Sequence[str]) -> str:
    """Return the text that a space of vectors is made of: that of `text_enriched`, or of these
    parts in their order.

    parts: names of attributes and `image_description`; unknown values are left out.
    """
    if not parts:
        return item.text_enriched
    said = []
    for part in parts:
        if part == IMAGE_DESCRIPTION:
            said += [item.image_description] if item.image_description else []
        elif (known := item.values.get(part)) is not None and known.value is not None:
            said.append(format_value(template.by_name[part], known.value))
    return _sentences(said)


def compose_item(template: Template, item: Item) -> Item:
    known = {name: value.value for name, value in item.values.items() if value.value is not None}
    return replace(
        item,
        text_source=compose_text(template, item.record.values),
        text_enriched=compose_text(template, known, item.image_description),
    )


@dataclass(eq=False)
class ComposeText(beam.PTransform):
    """Adds both texts to every item."""

    template: Template

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[Bucket]:
        template = self.template
        return buckets | beam.Map(
            each_item, "text", lambda item: compose_item(template, item)
        ).with_output_types(Bucket)

"""Items as far as a row of the items table tells: their values, texts and descriptions, but no
record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.elements import (
    AttributeValue,
    ImageFeatures,
    ImageResult,
    Item,
    RawRecord,
    Record,
)
from schemas.sections.vectors import IMAGE_DESCRIPTION
from schemas.template import Template
from transforms.attribute_types.registry import operations_of

_BATCH_ROWS = 4_096
_IMAGES = "images"
_UNKNOWN = AttributeValue(None, reason="not-stated")
_NO_BYTES = RawRecord(b"", "jsonl", "", 0)


def columns_of(template: Template, parts: Sequence[str]) -> list[str]:
    """Return the columns that `items_of` reads for texts of these parts."""
    columns = ["item_id", "text_enriched"]
    for part in parts:
        if part in template.by_name or part == IMAGE_DESCRIPTION:
            columns.append(part)
        else:  # labels, colours and text of the pictures
            columns.append(_IMAGES)
    return list(dict.fromkeys(columns))


def items_of(template: Template, table: pa.Table, parts: Sequence[str]) -> Iterator[Item]:
    """Yield an item for each row, in order, with what a text of these parts is made of."""
    attributes = [template.by_name[part] for part in parts if part in template.by_name]
    for batch in table.select(columns_of(template, parts)).to_batches(_BATCH_ROWS):
        for row in batch.to_pylist():
            values = dict.fromkeys(template.by_name, _UNKNOWN)
            for attribute in attributes:
                if row[attribute.name] is not None:
                    value = operations_of(attribute).from_arrow(row[attribute.name])
                    values[attribute.name] = AttributeValue(value, "record", "given", 1.0)
            yield Item(
                Record(row["item_id"], {}, {}, (), (), _NO_BYTES),
                tuple(_image(each) for each in row.get(_IMAGES) or ()),
                values,
                image_description=row.get(IMAGE_DESCRIPTION),
                text_enriched=row["text_enriched"],
            )


def _image(row: Mapping[str, Any]) -> ImageResult:
    """Return an image with its labels, colours and text alone."""
    digest, labels, colors = row["digest"] or "", _scored(row["labels"]), _scored(row["colors"])
    features = ImageFeatures(digest, "", 0, 0, "", 0, labels, colors, row["text"] or "")
    return ImageResult("", features)


def _scored(rows: Sequence[Mapping[str, Any]] | None) -> tuple[tuple[str, float], ...]:
    return tuple((each["name"], each["score"]) for each in rows or ())

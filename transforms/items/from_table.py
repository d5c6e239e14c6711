"""Items as far as a row of the items table tells: their values, texts and descriptions, but no
record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Item, RawRecord, Record
from schemas.template import Template
from transforms.attribute_types.registry import operations_of

_BATCH_ROWS = 4_096
_UNKNOWN = AttributeValue(None, reason="not-stated")
_NO_BYTES = RawRecord(b"", "jsonl", "", 0)


def columns_of(attributes: Sequence[Attribute]) -> list[str]:
    """Return the columns that `items_of` reads."""
    return ["item_id", "text_enriched", "image_description", *(a.name for a in attributes)]


def items_of(template: Template, table: pa.Table) -> Iterator[Item]:
    """Yield an item for each row, in order; a value that the table has no column of is unknown."""
    there = [a for a in template.attributes if a.name in table.column_names]
    for batch in table.select(columns_of(there)).to_batches(_BATCH_ROWS):
        for row in batch.to_pylist():
            values = dict.fromkeys(template.by_name, _UNKNOWN)
            for attribute in there:
                if row[attribute.name] is not None:
                    value = operations_of(attribute).from_arrow(row[attribute.name])
                    values[attribute.name] = AttributeValue(value, "record", "given", 1.0)
            yield Item(
                Record(row["item_id"], {}, {}, (), (), _NO_BYTES),
                values=values,
                image_description=row["image_description"],
                text_enriched=row["text_enriched"],
            )

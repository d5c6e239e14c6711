"""Arrow schemas of the tables, derived from a template."""

from __future__ import annotations

import pyarrow as pa

from schemas.attributes import Attribute
from schemas.sections.vectors import VectorSpec
from schemas.tables.columns import (
    ITEM_HEAD,
    ITEM_TAIL,
    PROVENANCE,
    QUARANTINE,
    RECORD_GROUP,
    RECORDS,
    chunks,
    column,
    embedding,
)
from schemas.template import Template

GIVEN_SUFFIX = "__given"
PROVENANCE_SUFFIX = "__provenance"


def attribute_fields(attribute: Attribute) -> list[pa.Field]:
    """Return the three columns of an attribute: value, what the source wrote, provenance."""
    unit = f" [{attribute.unit}]" if attribute.unit else ""
    about = attribute.description or attribute.title
    return [
        column(attribute.name, attribute.spec.arrow_type(attribute), about + unit),
        column(
            attribute.name + GIVEN_SUFFIX,
            pa.string(),
            f"{attribute.title} as the source wrote it; never changed",
        ),
        column(
            attribute.name + PROVENANCE_SUFFIX,
            PROVENANCE,
            f"where the value of {attribute.name} came from",
        ),
    ]


def items_schema(template: Template) -> pa.Schema:
    """Columns of the items table: three of each attribute between those that every template has."""
    fields = [field for attribute in template.attributes for field in attribute_fields(attribute)]
    return pa.schema([*ITEM_HEAD, *fields, *ITEM_TAIL])


def embeddings_schema(space: VectorSpec, dimension: int) -> pa.Schema:
    """Columns of a table of vectors. dimension: numbers of a vector."""
    return pa.schema(embedding(space, dimension))


def chunks_schema(space: VectorSpec, dimension: int) -> pa.Schema:
    """Columns of a table of chunks. dimension: numbers of a vector."""
    return pa.schema(chunks(space, dimension))


def quarantine_schema() -> pa.Schema:
    """Columns of the quarantine table, whatever the template."""
    return pa.schema(QUARANTINE)


def records_schema(*, has_groups: bool = False) -> pa.Schema:
    """Columns of the records table. has_groups: whether items have something of other rows."""
    return pa.schema([*RECORDS, RECORD_GROUP] if has_groups else RECORDS)

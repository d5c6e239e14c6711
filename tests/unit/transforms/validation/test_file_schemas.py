"""Schemas of files as they lie on disk, against those of the template."""

from __future__ import annotations

import pyarrow as pa

from schemas.loading import parse_template
from schemas.sections.vectors import DEFAULT_SPACES
from schemas.tables.arrow import embeddings_schema, items_schema
from tests.support import TEMPLATE
from transforms.validation.file_schemas import FileTypes

SHOP = parse_template(TEMPLATE, "test")


def test_an_unknown_table_is_not_taken_for_vectors() -> None:
    """A file of a table that has no specification is a fault, even if it holds sound vectors."""
    types = FileTypes(SHOP)
    for table in ("notes", "embeddings/sound"):
        assert types.fault(table, embeddings_schema(DEFAULT_SPACES[0], 4)).startswith(
            f"there is no table {table}; the tables are items, embeddings/text"
        )


def test_vectors_have_the_dimension_of_the_first_file() -> None:
    """A second file with longer vectors, or one without vectors, is named by its column."""
    types = FileTypes(SHOP)
    assert types.fault("embeddings/text", embeddings_schema(DEFAULT_SPACES[0], 4)) == ""
    assert "text_vector is" in types.fault(
        "embeddings/text", embeddings_schema(DEFAULT_SPACES[0], 5)
    )
    assert types.fault("embeddings/image", pa.schema([("item_id", pa.string())])) == (
        "image_vector is null, expected a fixed-size list of float"
    )


def test_columns_that_are_missing_or_strange_are_named() -> None:
    """An items file without a column of the template, or with one of its own, says which."""
    schema = items_schema(SHOP)
    less = schema.remove(schema.get_field_index("flags")).append(pa.field("mine", pa.string()))
    assert FileTypes(SHOP).fault("items", less) == "columns missing: flags; unexpected: mine"

"""The registry of tables: what every table says of itself, and what no table can pass for."""

from __future__ import annotations

import pytest

from schemas.checks import KINDS
from schemas.loading import parse_template
from schemas.sections.vectors import DEFAULT_SPACES
from schemas.tables.specs import (
    ITEMS,
    QUARANTINE,
    RECORDS,
    TABLES,
    TableSpec,
    UnknownTableError,
    in_order,
    table_spec,
    tables_of,
    tables_of_items,
)
from tests.support import TEMPLATE

SHOP = parse_template(
    f"{TEMPLATE}\nvectors: [{{name: what-it-is, of: text, parts: [title]}}]", "test"
)
NAMES = [space.name for space in SHOP.spaces]


@pytest.mark.parametrize("spec", tables_of(SHOP.spaces).values(), ids=list(tables_of(SHOP.spaces)))
def test_a_specification_names_what_there_is(spec: TableSpec) -> None:
    """Sort columns are columns, rows can be told by item id, spaces and kinds of checks exist."""
    schema = spec.schema(SHOP, dict.fromkeys(NAMES, 4))
    assert set(spec.sort_order) <= set(schema.names)
    assert schema.names[0] == "item_id"
    assert spec.one_row_per == "item" or {"raw_key", "input"} <= set(schema.names)
    assert spec.space in {"", *NAMES}
    assert {spec.unique_check, spec.owner_check} <= KINDS.keys()
    assert all(field.metadata[b"description"] for field in schema)


def test_a_template_without_spaces_has_the_two_of_every_catalog() -> None:
    """Tables follow from the spaces; without any they are those of texts and pictures."""
    assert list(tables_of(DEFAULT_SPACES)) == list(TABLES)
    assert set(tables_of(SHOP.spaces)) - set(TABLES) == {"embeddings/what-it-is"}
    assert in_order(reversed(tables_of(SHOP.spaces))) == list(tables_of(SHOP.spaces))


def test_an_unknown_table_is_refused_by_name() -> None:
    """Asking for a table that has no specification names it and the tables that there are."""
    for name in ("sounds", "embeddings/What Is", "embeddings/"):
        with pytest.raises(UnknownTableError, match=rf"no table '{name}'.*embeddings/text"):
            table_spec(name)
    assert table_spec("embeddings/what-it-is").vectors == "what_it_is_vector"
    assert table_spec("embeddings/text-chunks").one_row_per == "chunk"


def test_vectors_hang_on_items_and_on_their_space() -> None:
    """Vectors go with the items and with their own space; items and records do with neither."""
    hanging = {spec.name: spec.space for spec in tables_of_items(SHOP.spaces)}
    assert hanging == {f"embeddings/{name}": name for name in NAMES}
    assert not hanging.keys() & {ITEMS.name, QUARANTINE.name, RECORDS.name}

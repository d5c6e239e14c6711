"""The registry of tables: what every table says of itself, and what no table can pass for."""

from __future__ import annotations

import pytest

from schemas.checks import KINDS
from schemas.loading import parse_template
from schemas.tables.columns import VECTOR_KINDS
from schemas.tables.specs import (
    ITEMS,
    QUARANTINE,
    RECORDS,
    TABLES,
    VECTORS,
    TableSpec,
    UnknownTableError,
    table_spec,
    tables_of_encoder,
    tables_of_items,
)
from tests.support import TEMPLATE

SHOP = parse_template(TEMPLATE, "test")


@pytest.mark.parametrize("spec", TABLES.values(), ids=list(TABLES))
def test_a_specification_names_what_there_is(spec: TableSpec) -> None:
    """Sort columns are columns, rows can be told by item id, encoders and kinds of checks exist."""
    schema = spec.schema(SHOP, dict.fromkeys(VECTOR_KINDS, 4))
    assert set(spec.sort_order) <= set(schema.names)
    assert schema.names[0] == "item_id"
    assert spec.one_row_per == "item" or {"raw_key", "input"} <= set(schema.names)
    assert spec.encoder in {"", *VECTOR_KINDS}
    assert {spec.unique_check, spec.owner_check} <= KINDS.keys()
    assert all(field.metadata[b"description"] for field in schema)


def test_an_unknown_table_is_refused_by_name() -> None:
    """Asking for a table that has no specification names it and the tables that there are."""
    with pytest.raises(UnknownTableError, match=r"no table 'embeddings/sound'.*embeddings/text"):
        table_spec("embeddings/sound")


@pytest.mark.parametrize("kind", VECTOR_KINDS)
def test_vectors_hang_on_items_and_on_their_encoder(kind: str) -> None:
    """Vectors go with the items and with their own encoder; items and records do with neither."""
    table = VECTORS[kind].name
    others = [name for other in VECTOR_KINDS if other != kind for name in tables_of_encoder(other)]
    assert table in tables_of_encoder(kind)
    assert table not in others
    hanging = {spec.name for spec in tables_of_items()}
    assert table in hanging
    assert not hanging & {ITEMS.name, QUARANTINE.name, RECORDS.name}

"""The tables of a snapshot: one specification each, in the order in which they are written.

Building, merging with an earlier snapshot, validation, summaries, commands and the data dictionary
loop over `tables_of(spaces)`, so a table is named here, and where its rows are built, and nowhere
else. The tables of vectors follow from the template's spaces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pyarrow as pa

from schemas.sections.vectors import CHUNKS_SUFFIX, DEFAULT_SPACES, NAME_PATTERN, VectorSpec
from schemas.tables.arrow import (
    chunks_schema,
    embeddings_schema,
    items_schema,
    quarantine_schema,
    records_schema,
)
from schemas.template import Template

# Columns of a table: of the template, and of the dimensions of vectors by space where it has some.
Columns = Callable[[Template, Mapping[str, int]], pa.Schema]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What the rest of the program has to know of a table.

    name: folder below the snapshot, and the table's name in the manifest.
    one_row_per: `item`: at most one row an item, which belongs to the item of that id and goes when
      the item goes; `chunk`: any number of rows an item, numbered, which go with it; `record`: one
      row a record, known by its `raw_key`.
    row: what a row is, for messages about a missing one.
    schema: its columns; the first one is `item_id`, because rows are filtered by it.
    about: its paragraph of the data dictionary.
    label: line of a run's summary that names its files; tables of one folder may share one.
    sort_order: columns that rows are sorted by, nulls first. Rows that stay and rows that are new
      are merged by it, so it must give the order in which the builder sorts.
    counted_as: fields of `BucketReport` that its rows are counted in, besides their number.
    space: space of vectors that rows are derived from, empty where they do not depend on any. Such
      rows are kept where vectors are kept, and not taken over from a snapshot of another encoder.
    vectors: column that holds vectors of that space themselves, empty where none does.
    keeps_deleted: whether rows stay with an item that --keep-deleted keeps without a record.
    unique_check, owner_check: kinds of checks (`schemas.checks`) for one row an item, and for rows
      whose item is in the same bucket.
    """

    name: str
    one_row_per: Literal["item", "chunk", "record"]
    row: str
    schema: Columns
    about: str
    label: str
    sort_order: tuple[str, ...] = ("item_id",)
    counted_as: tuple[str, ...] = ()
    space: str = ""
    vectors: str = ""
    keeps_deleted: bool = True
    unique_check: str = "ids-unique"
    owner_check: str = "ids-in-bucket"

    @property
    def files(self) -> str:
        """Pattern of its Parquet files, relative to the snapshot."""
        return f"{self.name}/*.parquet"


class UnknownTableError(ValueError):
    """A table that has no specification."""


def _vectors(space: VectorSpec) -> TableSpec:
    return TableSpec(
        name=space.table,
        one_row_per="item",
        row=f"{space.name} vector",
        schema=partial(_vectors_schema, space),
        about="Items without a vector have no row. The vector's length is the encoder's\n"
        "dimension; the schema metadata names the encoder that a query must use.",
        label="vectors",
        space=space.name,
        vectors=space.column,
        unique_check="vector-unique",
        owner_check="vector-owned",
    )


def _chunks(space: VectorSpec) -> TableSpec:
    return TableSpec(
        name=space.chunks_table,
        one_row_per="chunk",
        row=f"{space.name} chunk",
        schema=partial(_chunks_schema, space),
        about="One row a chunk of a text, every item with a vector has some: a short text is one.",
        label="vectors",
        sort_order=("item_id", "chunk"),
        space=space.name,
        vectors=space.chunks_column,
        unique_check="vector-unique",
        owner_check="vector-owned",
    )


def _vectors_schema(
    space: VectorSpec, template: Template, dimensions: Mapping[str, int]
) -> pa.Schema:
    del template  # vectors are the same whatever the template says of attributes
    return embeddings_schema(space, dimensions[space.name])


def _chunks_schema(
    space: VectorSpec, template: Template, dimensions: Mapping[str, int]
) -> pa.Schema:
    del template
    return chunks_schema(space, dimensions[space.name])


ITEMS = TableSpec(
    name="items",
    one_row_per="item",
    row="item",
    schema=lambda template, _: items_schema(template),
    about="One row an item. Each attribute of the template has three columns.",
    label="tables",
    counted_as=("values", "missing", "flags", "images", "texts_cut", "vectors_failed"),
)
QUARANTINE = TableSpec(
    name="quarantine",
    one_row_per="record",
    row="record in quarantine",
    schema=lambda _, __: quarantine_schema(),
    about="One row for each record that was quarantined.",
    label="quarantine",
    sort_order=(
        "item_id",
        "reason",
        "raw_digest",
        "input",
        "raw_format",
        "raw_header",
        "raw_size_bytes",
        "stage",
        "field",
        "message",
        "source_file",
        "source_begin",
        "source_position",
    ),
    keeps_deleted=False,
)
RECORDS = TableSpec(
    name="records",
    one_row_per="record",
    row="record",
    schema=lambda template, _: records_schema(has_groups=template.record.inherits),
    about="One row for each record of the catalog and of image tables: what became of it.",
    label="records",
    sort_order=("item_id", "raw_key", "input", "fate", "retry"),
    counted_as=("image_rows", "rows_merged"),
)

_VECTOR_TABLE = re.compile(f"embeddings/(?P<name>{NAME_PATTERN[1:-1]})")


def tables_of(spaces: Iterable[VectorSpec]) -> dict[str, TableSpec]:
    """Return name → specification of the tables of a snapshot with these spaces of vectors.

    The items come first: rows of other tables are compared with the ids of their bucket's items.
    """
    specs = [ITEMS]
    for space in spaces:
        specs += [_vectors(space), _chunks(space)] if space.keeps_chunks else [_vectors(space)]
    return {spec.name: spec for spec in (*specs, QUARANTINE, RECORDS)}


# Of a template that names no spaces.
TABLES: Mapping[str, TableSpec] = tables_of(DEFAULT_SPACES)


def table_spec(name: str) -> TableSpec:
    """Return the specification of a table; of vectors one whose columns tell only its name.

    Raises UnknownTableError: a table that nobody specified must never pass for one that is known.
    """
    if name in TABLES:
        return TABLES[name]
    found = _VECTOR_TABLE.fullmatch(name)
    if found is None:
        raise UnknownTableError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}")
    space = found["name"]
    if space.endswith(CHUNKS_SUFFIX):
        return _chunks(VectorSpec(name=space.removesuffix(CHUNKS_SUFFIX), of="text"))
    return _vectors(VectorSpec(name=space, of="text"))


def holds_vectors(name: str) -> bool:
    """Tell whether a table is one of vectors, by its name.

    >>> holds_vectors("embeddings/text"), holds_vectors("items")
    (True, False)
    """
    return _VECTOR_TABLE.fullmatch(name) is not None


def tables_of_items(spaces: Iterable[VectorSpec]) -> tuple[TableSpec, ...]:
    """Tables whose rows are of items, the items themselves aside."""
    return tuple(
        spec
        for spec in tables_of(spaces).values()
        if spec.one_row_per != "record" and spec is not ITEMS
    )


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of tables as they are written: vectors where `TABLES` has theirs."""
    places = {name: place for place, name in enumerate(TABLES)}
    last = places["embeddings/image"]
    return sorted(names, key=lambda name: (places.get(name, last), name not in places, name))


def files_by_label() -> dict[str, str]:
    """Label → pattern of the Parquet files of all tables that have it.

    >>> files_by_label()["vectors"]
    'embeddings/*/*.parquet'
    """
    files: dict[str, str] = {}
    for spec in TABLES.values():
        folder = spec.name.rpartition("/")[0]
        files[spec.label] = f"{folder}/*/*.parquet" if folder else spec.files
    return files

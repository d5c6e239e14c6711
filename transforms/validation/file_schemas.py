"""Schemas of data files, compared with the columns, types and units of the template."""

from __future__ import annotations

import re

import pyarrow as pa

from schemas.tables.specs import tables_of
from schemas.template import Template

_UNIT = re.compile(r" \[([^\]]*)\]$")


class FileTypes:
    """The expected schema of each table.

    The template does not know the dimension of vectors: all files must have that of their table's
    first file.
    """

    def __init__(self, template: Template) -> None:
        self._template, self._tables = template, tables_of(template.spaces)
        self._expected: dict[str, pa.Schema] = {}

    def fault(self, table: str, schema: pa.Schema) -> str:
        """Return the first thing that is wrong with a file's schema, empty where nothing is."""
        if table not in self._tables:
            return f"there is no table {table}; the tables are {', '.join(self._tables)}"
        spec = self._tables[table]
        if table not in self._expected:
            dimensions = {}
            if spec.vectors:
                place = schema.get_field_index(spec.vectors)
                vectors = schema.field(place).type if place >= 0 else pa.null()
                if not pa.types.is_fixed_size_list(vectors):
                    return f"{spec.vectors} is {vectors}, expected a fixed-size list of float"
                dimensions = {spec.space: vectors.list_size}
            self._expected[table] = spec.schema(self._template, dimensions)
        expected = self._expected[table]
        if schema.names != expected.names:
            strange = [name for name in schema.names if name not in expected.names]
            missing = [name for name in expected.names if name not in schema.names]
            return (
                f"columns missing: {', '.join(missing) or 'none'}; unexpected: "
                f"{', '.join(strange) or 'none'}"
            )
        for field, wanted in zip(schema, expected, strict=True):
            if field.type != wanted.type:
                return f"column {field.name} is {field.type}, expected {wanted.type}"
            if _unit(field) != _unit(wanted):
                return (
                    f"column {field.name} is in {_unit(field) or 'no unit'}, expected "
                    f"{_unit(wanted) or 'none'}"
                )
        return ""


def _unit(field: pa.Field) -> str:
    about = (field.metadata or {}).get(b"description", b"").decode("utf-8", "replace")
    found = _UNIT.search(about)
    return found[1] if found else ""

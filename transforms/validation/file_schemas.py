"""Whether a data file has the columns, types and units that the template says."""

from __future__ import annotations

import re

import pyarrow as pa

from schemas.tables import embeddings_schema, items_schema, quarantine_schema, records_schema
from schemas.template import Template

_UNIT = re.compile(r" \[([^\]]*)\]$")


class FileTypes:
    """The expected schema of each table.

    The dimension of vectors is that of the first file of their table.
    """

    def __init__(self, template: Template) -> None:
        self._expected = {
            "items": items_schema(template),
            "quarantine": quarantine_schema(),
            "records": records_schema(),
        }

    def fault(self, table: str, schema: pa.Schema) -> str:
        """The first thing that is wrong with a file's schema, empty where nothing is."""
        expected = self._expected.get(table)
        if expected is None:
            kind = table.removeprefix("embeddings/")
            vectors = schema.field(1).type if len(schema) > 1 else pa.null()
            if not pa.types.is_fixed_size_list(vectors):
                return f"{kind}_vector is {vectors}, expected a fixed-size list of float"
            expected = self._expected[table] = embeddings_schema(kind, vectors.list_size)
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

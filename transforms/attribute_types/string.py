"""Free text."""

from __future__ import annotations

from functools import partial
from typing import Any

from schemas.attribute_types.contract import UNKNOWN
from schemas.attributes import Attribute
from schemas.elements import Value
from schemas.template import ColumnFormat
from schemas.texts import one_line
from transforms.attribute_types.contract import CellReader, ProbeKind, Reading, TypeOperations
from transforms.attribute_types.reading import checked_text, flagged, shorten
from transforms.extraction.cells import as_text, split_list, split_paths
from transforms.extraction.plain_text import to_plain_text, to_single_line


class StringOperations(TypeOperations):
    """Texts; no rule finds them, a probe may learn which words of a text they are."""

    is_context = True
    helps_probes = True

    def reader(self, attribute: Attribute, _sibling_units: tuple[str, ...]) -> CellReader:
        return partial(_read, attribute)

    def is_unknown(self, said: Any) -> bool:
        return bool(said.strip().casefold() == UNKNOWN)

    def parse_answer(self, _attribute: Attribute, said: Any) -> Value | None:
        return one_line(said, invisible="dropped") or None

    def probe_kind(self, attribute: Attribute) -> ProbeKind:
        return "spans" if "text" in attribute.evidence else "none"


def _read(attribute: Attribute, cell: Any, column: ColumnFormat, keyed: bool) -> Reading:
    """Read a text; several entries are joined: by a newline in a text, by a comma elsewhere."""
    if column.format == "path" or column.path_separator:
        entries: list[Any] = list(split_paths(cell, column, keyed=keyed))
    else:
        entries = split_list(cell, column, keyed=keyed)
    is_prose = attribute.role == "text"
    clean = to_plain_text if is_prose else to_single_line
    if len(entries) == 1 and isinstance(entries[0], str):
        return checked_text(attribute, clean(entries[0]))
    texts = [as_text(entry) for entry in entries]
    if None in texts:
        return flagged(
            attribute,
            "value-wrong-type",
            f"{shorten(cell)} is not a text; write text or a list of texts",
        )
    cleaned = [clean(text) for text in texts if text is not None]
    return checked_text(
        attribute, ("\n" if is_prose else ", ").join(text for text in cleaned if text)
    )

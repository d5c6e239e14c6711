"""Texts by language."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Any

from schemas.attributes import Attribute
from schemas.elements import Flag, Value
from schemas.template import ColumnFormat
from transforms.attribute_types.contract import CellReader, Reading, TypeOperations
from transforms.attribute_types.reading import checked_text, flagged, shorten
from transforms.extraction.cells import as_mapping, as_text, is_null
from transforms.extraction.plain_text import to_plain_text, to_single_line

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")


class LocalizedOperations(TypeOperations):
    """Mappings from language tag to text; they are evidence for others and not filled."""

    is_label = False

    def reader(self, attribute: Attribute, _sibling_units: tuple[str, ...]) -> CellReader:
        return partial(_read, attribute)

    def format(self, _attribute: Attribute, value: Value) -> str:
        return " / ".join(text for _, text in self._by_language(value))

    def to_arrow(self, _attribute: Attribute, value: Value) -> Any:
        return self._by_language(value)

    def from_arrow(self, value: Any) -> Value:
        return dict(value)

    def texts(self, _value: Value) -> tuple[str, ...]:
        return ()  # nothing fills it, so there is nothing to compare

    @staticmethod
    def _by_language(value: Value) -> list[tuple[str, str]]:
        # Two runs over the same rows must give equal tables, whatever the order in the source.
        return sorted(value.items()) if isinstance(value, dict) else []


def _read(attribute: Attribute, cell: Any, column: ColumnFormat, _keyed: bool) -> Reading:
    """Language tags are written with hyphens (`zh_TW` is `zh-TW`) and sorted."""
    by_language = as_mapping(cell, column)
    if by_language is None:
        expected = "is not text by language; write an object such as {'en': 'Apple'}"
        return flagged(attribute, "value-wrong-type", f"{shorten(cell)} {expected}")
    texts: dict[str, str] = {}
    flags = []
    wanted = {_language(language) for language in attribute.languages}
    for key, entry in by_language.items():
        text, language = as_text(entry), _language(key)
        if is_null(entry, frozenset(["", *map(str.casefold, column.ignore)])):
            continue
        if text is None or language is None:
            detail = f"{shorten(key)}: {shorten(entry)} is not a text under a language code"
            flags.append(Flag("value-wrong-type", attribute.name, detail))
        elif wanted and language not in wanted:
            allowed = ", ".join(attribute.languages)
            detail = f"language {shorten(key)}; allowed: {allowed}"
            flags.append(Flag("value-not-in-list", attribute.name, detail))
        else:
            clean = to_plain_text if attribute.role == "text" else to_single_line
            checked, problems = checked_text(attribute, clean(text))
            flags += problems
            if isinstance(checked, str):
                texts.setdefault(language, checked)
    return dict(sorted(texts.items())) or None, tuple(dict.fromkeys(flags))


@lru_cache(maxsize=1024)
def _language(key: str) -> str | None:
    """Return a BCP 47 tag in its usual case, `zh-TW`; None for anything else."""
    if not _LANGUAGE.fullmatch(key.strip()):
        return None
    first, *rest = re.split("[-_]", key.strip())
    styled = {2: str.upper, 4: str.title}
    return "-".join([first.lower(), *(styled.get(len(part), str.lower)(part) for part in rest)])

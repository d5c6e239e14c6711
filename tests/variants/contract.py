"""What a variant is: a way to write records into a file, and what its form cannot hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Cells = dict[str, Any]
Records = Sequence[Cells]
# Writes records into a folder and returns what the reader is given.
Write = Callable[[Records, Path], Path]


@dataclass(frozen=True)
class Variant:
    """A way to write a catalog.

    name: says the writer first. fits: whether a record can be held by the form; the others are left
    out on both sides. said: what the user has to say of the input, as `--input-as` takes it.
    reduce: makes another record of each, which the JSON lines that it is compared with hold too.
    input_format: named, where nothing in the file tells it. rejects: lines that are no records and may be quarantined as such.
    """

    name: str
    write: Write
    fits: Callable[[Cells], bool] = lambda record: True
    said: tuple[str, ...] = ()
    reduce: Callable[[Cells], Cells] | None = None
    input_format: str | None = None
    rejects: int = 0


def columns_of(records: Records) -> list[str]:
    """Return all names of columns, in the order in which they first appear."""
    return list(dict.fromkeys(name for record in records for name in record))


def as_json_cells(records: Records) -> list[Cells]:
    """Return records whose lists and objects are JSON, as those who write text files do."""
    return [{name: _json_cell(cell) for name, cell in record.items()} for record in records]


def _json_cell(cell: Any) -> Any:
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, list | dict) else cell


def texts_of(record: Mapping[str, Any]) -> str:
    """Return everything that a record holds as one text, to see which characters are in it."""
    cells = (
        cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
        for cell in record.values()
    )
    return "\n".join([*map(str, record), *cells])


def without_breaks(record: Cells) -> bool:
    """Whether no cell has a line break, which a form without quotes cannot hold."""
    texts = [cell for cell in record.values() if isinstance(cell, str)]
    return not any("\n" in text or "\r" in text for text in texts)


def encodes(encoding: str) -> Callable[[Cells], bool]:
    """Return a check of whether an encoding has all characters of a record."""

    def fits(record: Cells) -> bool:
        try:
            return texts_of(record).encode(encoding).decode(encoding) == texts_of(record)
        except UnicodeError:
            return False

    return fits

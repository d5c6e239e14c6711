"""What the columns of a catalog hold, counted over a sample of its records in bounded memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from schemas.elements import Reject
from transforms.extraction.cells import as_text, given_text, is_null
from transforms.readers import InputSplit, ParsedRecord, read_split

MAX_COLUMNS = 500
MAX_DISTINCT = 20_000
MAX_SAMPLES = 400
MAX_CELL_CHARS = 20_000
# Whole records, to see which columns go together.
MAX_ROWS = 1_000
# Shorter lists of numbers with decimals may be a place, or sides.
MIN_VECTOR_NUMBERS = 4
# In the name of a column that holds the names of what stands in another, or the values.
NAME_WORD = re.compile(r"(?<![^\W\d_])(?:names?|keys?|labels?)(?![^\W\d_])", re.IGNORECASE)
VALUE_WORD = re.compile(r"(?<![^\W\d_])values?(?:\(s\))?(?![^\W\d_])", re.IGNORECASE)
HEAVY_KINDS = frozenset(["bytes", "vector"])
MAX_HEAVY_SAMPLES = 20
MAX_NULL_CHARS = 20
# Cells that say that there is nothing, in the words of many exports.
NULL_WORDS = frozenset(
    ["n/a", "na", "nan", "null", "nil", "-", "--", "?", "no_selection", "#n/a", "not available"]
)


@dataclass
class Column:
    """A raw column.

    filled: records with a value; texts: text → how often, up to MAX_DISTINCT of them; lists and
    mappings as JSON.

    kinds: of the cells: text, number, boolean, list, mapping, objects (a list of them), vector,
    bytes or other.
    samples: the first cells, as they came; null_words: text that stands for nothing → how often.
    is_capped: whether there are more distinct texts than were counted.
    """

    name: str
    filled: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    null_words: Counter[str] = field(default_factory=Counter)
    samples: list[Any] = field(default_factory=list)
    chars: int = 0
    is_capped: bool = False

    @property
    def kind(self) -> str:
        """What most cells are."""
        return self.kinds.most_common(1)[0][0] if self.kinds else "text"

    @property
    def is_unique(self) -> bool:
        """Whether no text came twice, as far as was counted."""
        return bool(self.texts) and max(self.texts.values()) == 1

    @property
    def mean_chars(self) -> float:
        return self.chars / max(1, sum(self.texts.values()))

    def add(self, cell: Any) -> None:
        """Count a cell."""
        if is_null(cell):
            return
        if (
            isinstance(cell, str)
            and len(cell) <= MAX_NULL_CHARS
            and cell.strip().casefold() in NULL_WORDS
        ):
            self.null_words[cell.strip()] += 1
            return
        self.filled += 1
        kind = _kind(cell)
        if kind == "map":
            cell, kind = {str(key): value for key, value in cell}, "mapping"
        self.kinds[kind] += 1
        if kind in HEAVY_KINDS:
            if len(self.samples) < MAX_HEAVY_SAMPLES:
                self.samples.append(cell)
            return
        if len(self.samples) < MAX_SAMPLES:
            self.samples.append(cell)
        text = as_text(cell) if kind in ("text", "number") else given_text(cell)
        if text is not None:
            text = text.strip()[:MAX_CELL_CHARS]
            self.chars += len(text)
            if text in self.texts or len(self.texts) < MAX_DISTINCT:
                self.texts[text] += 1
            else:
                self.is_capped = True

    def cells(self) -> Iterator[tuple[Any, int]]:
        """Each distinct cell with how often it came; lists and mappings as they were."""
        for text, count in self.texts.items():
            cell: Any = text
            if self.kind in ("list", "mapping", "objects") and text.startswith(("[", "{")):
                with suppress(ValueError):  # cut off, or a text that only looks so
                    cell = orjson.loads(text)
            yield cell, count


def _kind(cell: Any) -> str:
    if isinstance(cell, bool):
        return "boolean"
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, Mapping):
        return "bytes" if any(isinstance(value, bytes) for value in cell.values()) else "mapping"
    if isinstance(cell, list | tuple):
        return _kind_of_list(cell)
    if isinstance(cell, bytes):
        return "bytes"
    return "number" if as_text(cell) is not None and isinstance(cell, int | float) else "other"


def _kind_of_list(cell: Sequence[Any]) -> str:
    first = next((entry for entry in cell if entry is not None), None)
    if isinstance(first, Mapping):
        return "objects"
    if isinstance(first, bytes):
        return "bytes"
    if isinstance(first, list | tuple):
        # Arrow writes maps as lists of pairs.
        are_pairs = all(isinstance(entry, tuple) and len(entry) == 2 for entry in cell)
        return "map" if are_pairs else "other"
    are_numbers = len(cell) >= MIN_VECTOR_NUMBERS and isinstance(first, float)
    return "vector" if are_numbers else "list"


@dataclass
class Profile:
    """columns: in the order in which they came; records: looked at; rejects: reason id → records
    not readable; rows: the first records, without pictures and vectors; paired_rows: of the others
    the columns of names and of values, as a value is nothing without its name.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    records: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    paired_rows: list[Mapping[str, Any]] = field(default_factory=list)
    _paired: tuple[str, ...] | None = None

    def add(self, cells: Mapping[str, Any]) -> None:
        self.records += 1
        if len(self.rows) < MAX_ROWS:
            self.rows.append(
                {name: cell for name, cell in cells.items() if _kind(cell) not in HEAVY_KINDS}
            )
        else:
            self._add_pairs(cells)
        for name, cell in cells.items():
            if name and (name in self.columns or len(self.columns) < MAX_COLUMNS):
                self.columns.setdefault(name, Column(name)).add(cell)

    def _add_pairs(self, cells: Mapping[str, Any]) -> None:
        if self._paired is None:
            self._paired = tuple(
                name for name in self.columns if NAME_WORD.search(name) or VALUE_WORD.search(name)
            )
        if len(self._paired) > 1:
            self.paired_rows.append({name: cells.get(name) for name in self._paired})


def profile(
    splits: Sequence[InputSplit],
    max_records: int,
    on_record: Callable[[int], None] = lambda _: None,
) -> Profile:
    """Count the columns of the first records, an equal share of each file.

    on_record: called with the number of records so far.
    """
    found = Profile()
    beginnings = [split for split in splits if split.begin == 0]
    for split in beginnings:
        share = -(-max_records // len(beginnings))
        with closing(_elements(split, share, splits)) as elements:
            for element in elements:
                if isinstance(element, ParsedRecord):
                    found.add(element.cells)
                    on_record(found.records)
                else:
                    found.rejects[element.reason] += 1
    return found


def _elements(
    split: InputSplit, count: int, splits: Sequence[InputSplit]
) -> Generator[ParsedRecord | Reject]:
    """Yield the first records of a file, of which `split` is the first part."""
    parts = [each for each in splits if each.path == split.path]
    elements = (element for part in parts for element in read_split(part))
    yield from islice((each for each in elements if isinstance(each, ParsedRecord | Reject)), count)

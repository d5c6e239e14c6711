"""Items that look alike: exactly, over all rows, by file, look or text of what they show; by
vectors in the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MAX_NAMED = 6
MAX_GROUPS = 12
NEAR = 0.97
# Texts of fewer characters are alike by chance.
MIN_TEXT_CHARS = 40
KINDS = {
    "digest": ("the same picture file", "all rows"),
    "phash": ("pictures that look the same", "all rows"),
    "text": ("the same text from the source", "all rows"),
}


@dataclass(frozen=True, slots=True)
class Group:
    """Items alike.

    kind: in words; over: which rows were compared; size: how many; ids: the first of them.
    """

    kind: str
    over: str
    size: int
    ids: tuple[str, ...]


@dataclass
class Groups:
    """Everything seen so far, by a short hash: the first item, and where there is a second one the
    whole group.
    """

    first: dict[str, dict[int, str]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    several: dict[str, dict[int, tuple[int, tuple[str, ...]]]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )

    def add(self, table: pa.Table) -> None:
        """Add rows with the columns item_id, text_source and images."""
        ids, images = table["item_id"].to_pylist(), table["images"].combine_chunks()
        if len(images):
            parents, flat = pc.list_parent_indices(images).to_pylist(), pc.list_flatten(images)
            for kind in ("digest", "phash"):
                for row, value in zip(
                    parents, pc.struct_field(flat, kind).to_pylist(), strict=True
                ):
                    self._note(kind, value, ids[row])
        for item_id, text in zip(ids, table["text_source"].to_pylist(), strict=True):
            self._note("text", text if len(text) >= MIN_TEXT_CHARS else None, item_id)

    def _note(self, kind: str, value: str | None, item_id: str) -> None:
        if not value:
            return
        key = hash(value)
        earliest = self.first[kind].setdefault(key, item_id)
        if earliest == item_id:
            return
        size, shown = self.several[kind].get(key, (1, (earliest,)))
        if item_id not in shown:
            self.several[kind][key] = (
                size + 1,
                (*shown, item_id) if len(shown) < MAX_NAMED else shown,
            )

    def counts(self) -> dict[str, int]:
        """Kind in words → groups."""
        return {KINDS[kind][0]: len(groups) for kind, groups in self.several.items()}

    def largest(self) -> Iterator[Group]:
        """Yield the largest groups of each kind; a group of one look whose files are the same is
        listed once.
        """
        listed: set[tuple[str, ...]] = set()
        for kind, (words, over) in KINDS.items():
            groups = sorted(self.several[kind].values(), key=lambda group: (-group[0], group[1]))
            fresh = [group for group in groups if group[1] not in listed][:MAX_GROUPS]
            listed |= {group[1] for group in fresh}
            yield from (Group(words, over, size, ids) for size, ids in fresh)


def near(vectors: Mapping[str, np.ndarray[Any, Any]], groups: Sequence[Group]) -> list[Group]:
    """Return items of the sample whose text vectors nearly coincide, those that no other group
    names already. Every pair of the sample is compared, which its bound allows.
    """
    if len(vectors) < 2:
        return []
    ids, matrix = list(vectors), np.stack(list(vectors.values()))
    known = {frozenset((a, b)) for group in groups for a in group.ids for b in group.ids}
    alike = np.argwhere(np.triu(matrix @ matrix.T, 1) >= NEAR)
    pairs = [(ids[a], ids[b]) for a, b in alike.tolist()]
    over = f"a sample of {len(ids):,} items"
    fresh = [pair for pair in pairs if frozenset(pair) not in known][:MAX_GROUPS]
    return [Group(f"text vectors of cosine {NEAR} or more", over, 2, pair) for pair in fresh]

"""What identifies a record, where its pictures are, and when it changed.

Pure, but for the look at picture files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.drafting.profile import Column, Profile
from pipelines.drafting.shapes import LIST_SEPARATORS, are_pictures
from transforms.extraction.cells import as_text
from transforms.images.files import version_of
from transforms.normalise.timestamps import parse_event_ts
from transforms.runtime.storage import is_local

_ID_NAME = re.compile(
    r"(?:^|_)(?:id|sku|asin|ean|gtin|isbn|code|key|handle|number|no|nr)$", re.IGNORECASE
)
_TIME_NAME = re.compile(r"updat|modif|chang|creat|publish|timestamp|date|_at$|_ts$", re.IGNORECASE)
MAX_ID_CHARS = 200
MAX_LOOKED_AT = 40
# Of the values of a column that may hold the ids of items: some are enough to know it by.
MAX_COMPARED = 1_000


@dataclass(frozen=True, slots=True)
class Identity:
    """column: the id; others: columns that are unique as well; problem: why there is no id, with
    the nearest ones.
    """

    column: str
    others: tuple[str, ...] = ()
    problem: str = ""


def find_id(profile: Profile) -> Identity:
    """Return the column that is there in every record, never twice, short and named like an id."""
    unique = [column for column in profile.columns.values() if _may_be_id(column, profile.records)]
    if unique:
        ranked = sorted(
            unique,
            key=lambda column: (
                -_id_score(column, profile),
                list(profile.columns).index(column.name),
            ),
        )
        return Identity(ranked[0].name, tuple(column.name for column in ranked[1:4]))
    near = sorted(
        profile.columns.values(), key=lambda column: -_uniqueness(column, profile.records)
    )[:3]
    nearest = "; ".join(
        f"{column.name} ({column.filled:,} of {profile.records:,} filled, {len(column.texts):,} "
        "different)"
        for column in near
    )
    problem = (
        f"of {profile.records:,} records no column is there in every one and never twice; "
        f"nearest: {nearest or 'none'}"
    )
    return Identity("", problem=problem)


def _may_be_id(column: Column, records: int) -> bool:
    return (
        column.kind in ("text", "number")
        and column.filled == records
        and _uniqueness(column, records) >= 0.995
        and column.mean_chars <= MAX_ID_CHARS
    )


def _uniqueness(column: Column, records: int) -> float:
    """Share of the records that have a text of their own; of more texts than are counted, of those
    that are.
    """
    counted = column.texts.total()
    return len(column.texts) / max(1, counted) * column.filled / max(1, records)


def _id_score(column: Column, profile: Profile) -> float:
    spaces = sum(" " in text for text in list(column.texts)[:200]) / max(
        1, min(200, len(column.texts))
    )
    named = 3.0 if _ID_NAME.search(column.name) else 0.0
    exact = 1.0 if column.name.casefold() in ("id", "sku", "item_id", "product_id") else 0.0
    return (
        named + exact - 2 * spaces - column.mean_chars / 50 + _uniqueness(column, profile.records)
    )


@dataclass(frozen=True, slots=True)
class PictureColumns:
    """columns: those with picture files; separator: between several in a cell; strip_prefix: as of
    the template.

    found, looked_at: of the files that were looked for below the images' root.
    """

    columns: tuple[str, ...]
    separator: str | None = None
    strip_prefix: str = ""
    found: int = 0
    looked_at: int = 0


def find_pictures(profile: Profile, images_root: str) -> PictureColumns:
    """Return the columns whose cells name picture files."""
    columns: list[str] = []
    paths: list[str] = []
    separator = None
    for column in profile.columns.values():
        cells = [each for each in column.samples if isinstance(each, str)]
        lists = [
            as_text(each) or ""
            for cell in column.samples
            if isinstance(cell, list | tuple)
            for each in cell
        ]
        for mark in (None, *LIST_SEPARATORS):
            texts = [
                part.strip() for cell in cells for part in (cell.split(mark) if mark else [cell])
            ] + lists
            if not are_pictures(texts) or (
                mark is not None and not any(mark in cell for cell in cells)
            ):
                continue
            if mark is None and any(_has_several(cell) for cell in cells):
                continue
            columns.append(column.name)
            separator, paths = separator or mark, [*paths, *texts]
            break
    local = [path for path in dict.fromkeys(paths) if path and is_local(path)]
    prefix = "/" if local and all(path.startswith("/") for path in local) else ""
    looked_at = local[:MAX_LOOKED_AT] if images_root else []
    found = sum(bool(version_of(images_root, path.removeprefix(prefix))) for path in looked_at)
    return PictureColumns(tuple(columns), separator, prefix, found, len(looked_at))


def _has_several(cell: str) -> bool:
    return len(re.findall(r"\.(?:jpe?g|png|webp|gif)\b", cell, re.IGNORECASE)) > 1


def find_times(profile: Profile) -> list[str]:
    """Columns that say when a record changed, the latest kind first."""
    return sorted(
        (
            column.name
            for column in profile.columns.values()
            if _TIME_NAME.search(column.name) and _are_times(column)
        ),
        key=lambda name: (not re.search(r"updat|modif|chang", name, re.IGNORECASE), name),
    )


def _are_times(column: Column) -> bool:
    samples: Sequence[Any] = column.samples[:100]
    return bool(samples) and sum(parse_event_ts(each) is not None for each in samples) >= 0.9 * len(
        samples
    )


def find_image_table(table: Profile, ids: Column) -> tuple[str, str] | None:
    """Return the id and the picture column of a table of pictures, None where it has none."""
    pictures = find_pictures(table, "").columns
    keys = [
        column.name
        for column in table.columns.values()
        if column.name not in pictures
        and not ids.texts.keys().isdisjoint(list(column.texts)[:MAX_COMPARED])
    ]
    return (keys[0], pictures[0]) if keys and pictures else None


def null_words(profile: Profile) -> Iterator[str]:
    """Texts that stand for nothing in this catalog, in lower case."""
    yield from sorted(
        {word.casefold() for column in profile.columns.values() for word in column.null_words}
    )

"""Where the pictures of a record are: in columns, below keys of their cells, in lists.

Pure, but for the look at picture files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.drafting.names import has_word, words_of
from pipelines.drafting.profile import Column, Profile
from pipelines.drafting.shapes import LIST_SEPARATORS, ONE_VALUE, are_pictures, are_urls, as_list
from transforms.extraction.cells import as_mapping
from transforms.images.finding import Pictures
from transforms.runtime.storage import is_local

MAX_LOOKED_AT = 40
MAX_DEPTH = 3
MAX_FILES = 20_000
BINARY = "binary"
# Of the values of a column that may hold the ids of items: some are enough to know it by.
MAX_COMPARED = 1_000
_SMALL = frozenset(["thumb", "thumbs", "thumbnail", "thumbnails", "small", "tiny", "icon", "mini"])
_LARGEST_FIRST = ("hi res", "original", "full", "zoom", "xxl", "xl", "large", "big")
_POSITION = re.compile(r"position|order|sort|rank|index", re.IGNORECASE)
_ENDING = re.compile(r"\.(?:jpe?g|png|webp|gif)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PictureColumns:
    """columns: those with picture files, below keys too; separator: between several in a cell;
    strip_prefix: as of the template.

    pattern: of the path below the root, by the id, where no column names the files.

    found, looked_at: of the files that were looked for below the images' root.
    """

    columns: tuple[str, ...]
    separator: str | None = None
    strip_prefix: str = ""
    found: int = 0
    looked_at: int = 0
    pattern: str = ""

    @property
    def whole(self) -> frozenset[str]:
        """Paths that are read as pictures, and columns that are called so and hold them."""
        outer = {name.partition("[")[0].partition(".")[0] for name in self.columns}
        return frozenset(self.columns) | {name for name in outer if has_word(name, "picture")}


@dataclass
class _References:
    """cells: texts as they stand there; listed: entries of lists that are none of a text."""

    cells: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    is_list_in_text: bool = False


def find_position(profile: Profile) -> str:
    """Return the column that numbers pictures, such as `Image Position`; empty without one."""
    for column in profile.columns.values():
        is_number = column.filled and all(text.strip().isdigit() for text in column.texts)
        is_called_so = _POSITION.search(column.name) and has_word(column.name, "picture")
        if is_number and is_called_so:
            return column.name
    return ""


def find_pictures(profile: Profile, images_root: str) -> PictureColumns:
    """Return the columns whose cells name picture files."""
    columns: list[str] = []
    paths: list[str] = []
    separator = None
    for column in profile.columns.values():
        found = dict(_references(column))
        named: dict[str, list[str]] = {}
        for path, references in found.items():
            texts, mark = _separated(path, references)
            if texts:
                named[path] = texts
                needs_format = references.is_list_in_text and path == column.name
                separator = separator or mark or ("," if needs_format else None)
        if not named and column.kind == "bytes" and kind_of_bytes(column) != BINARY:
            columns.append(column.name)
        best = _without_smaller(list(named))
        columns += best
        paths += [text for path in best for text in named[path]]
    local = [path for path in dict.fromkeys(paths) if path and is_local(path)]
    prefix = "/" if local and all(path.startswith("/") for path in local) else ""
    looked_at = local[:MAX_LOOKED_AT] if images_root else []
    pictures = Pictures(images_root)
    pictures.get_ready(path.removeprefix(prefix) for path in looked_at)
    there = sum(pictures.is_there(path.removeprefix(prefix)) for path in looked_at)
    return PictureColumns(tuple(columns), separator, prefix, there, len(looked_at))


_MAGIC = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG", "PNG"), (b"GIF8", "GIF"), (b"RIFF", "WebP"))


def kind_of_bytes(column: Column) -> str:
    """Return what pictures the bytes of a column are, or that they are none."""
    for cell in column.samples:
        parts = cell.values() if isinstance(cell, Mapping) else [cell]
        for part in parts:
            if isinstance(part, bytes):
                return next(
                    (f"{name} pictures" for magic, name in _MAGIC if part[:4].startswith(magic)),
                    BINARY,
                )
    return BINARY


def find_pattern(root: str, ids: Column) -> str:
    """Return the pattern of picture files that are called as the ids are, empty where there are
    none below a local root.
    """
    if not root or not is_local(root) or not ids.texts:
        return ""
    patterns: Counter[tuple[str, str]] = Counter()
    wanted = set(list(ids.texts)[:MAX_COMPARED])
    for path in islice(Path(root).rglob("*"), MAX_FILES):
        is_named = path.stem in wanted and _ENDING.fullmatch(path.suffix) is not None
        folder = path.parent.relative_to(root).as_posix()
        if is_named and not {"{", "}"} & set(folder):
            patterns["" if folder == "." else f"{folder}/", path.suffix] += 1
    if not patterns:
        return ""
    (folder, ending), _ = patterns.most_common(1)[0]
    return f"{folder}{{id}}{ending}"


def _references(column: Column) -> Iterator[tuple[str, _References]]:
    """Yield each path inside a column with the texts that stand there."""
    found: dict[str, _References] = {}
    for cell in column.samples:
        _collect(column.name, cell, found, 0)
    yield from found.items()


def _collect(path: str, cell: Any, found: dict[str, _References], depth: int) -> None:
    if depth > MAX_DEPTH:
        return
    listed = as_list(cell)
    if listed is not None:
        here = found.setdefault(path, _References())
        here.is_list_in_text |= isinstance(cell, str)
        here.listed += [entry for entry in listed if isinstance(entry, str)]
        for entry in listed:
            if isinstance(entry, Mapping):
                _collect(f"{path}[]", entry, found, depth + 1)
        return
    mapping = as_mapping(cell, ONE_VALUE) if not isinstance(cell, list | tuple) else None
    if mapping is not None:
        for key, value in mapping.items():
            _collect(f"{path}.{key}", value, found, depth + 1)
    elif isinstance(cell, str):
        found.setdefault(path, _References()).cells.append(cell)


def _separated(path: str, references: _References) -> tuple[list[str], str | None]:
    """Return the references to pictures, and what stands between several in a cell; none where
    these are no pictures.
    """
    cells, listed = references.cells, references.listed
    for mark in (None, *LIST_SEPARATORS):
        texts = [
            part.strip() for cell in cells for part in (cell.split(mark) if mark else [cell])
        ] + listed
        if mark is not None and not any(mark in cell for cell in cells):
            continue
        if mark is None and any(len(_ENDING.findall(cell)) > 1 for cell in cells):
            continue
        if are_pictures(texts) or (are_urls(texts) and _is_called_picture(path)):
            return texts, mark
        if _is_called_picture(path) and are_pictures(texts, least=0.5):
            return texts, mark
    return [], None


def _is_called_picture(path: str) -> bool:
    return has_word(path.replace("[]", " "), "picture")


def _without_smaller(paths: Sequence[str]) -> list[str]:
    """Return the paths, the largest pictures first; inside one column thumbnails of others are
    left out.
    """
    inside = [path for path in paths if "." in path]
    larger = [path for path in inside if not _SMALL & set(words_of(path.rpartition(".")[2]))]
    kept = [path for path in paths if path not in inside or path in larger or not larger]
    return sorted(kept, key=_size_rank)


def _size_rank(path: str) -> int:
    if "." not in path:
        return 0
    name = " ".join(words_of(path.rpartition(".")[2]))
    return next((rank for rank, word in enumerate(_LARGEST_FIRST) if word in name), 99)


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

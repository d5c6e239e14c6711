"""The pictures of a record: references out of columns and patterns, and bytes inside cells.

(cells, PictureAccess) → references. Bytes are kept by their content, and referred to by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from schemas.elements import Flag
from schemas.template import ColumnFormat, Images
from transforms.attribute_types.reading import shorten
from transforms.extraction.cells import split_list
from transforms.normalise.picture_texts import (
    NoPictureError,
    is_reference,
    joined,
    picture_bytes,
    picture_path,
    without_description,
)

# Begins the reference of a picture that stood in its record: the SHA-256 of its bytes follows.
BY_CONTENT = "sha256:"


def content_reference(data: bytes) -> str:
    """Return the reference of a picture that is known by its bytes."""
    return f"{BY_CONTENT}{hashlib.sha256(data).hexdigest()}"


def _nowhere(_reference: str) -> bool:
    return False


@dataclass(frozen=True)
class PictureAccess:
    """What a worker lends to the reading of pictures.

    is_there: whether a reference has a file. keep: stores bytes and returns their reference.
    """

    is_there: Callable[[str], bool] = _nowhere
    keep: Callable[[bytes], str] = content_reference


def references_of(
    images: Images, column: ColumnFormat, cell: Any, access: PictureAccess, *, keyed: bool
) -> Iterator[str | Flag]:
    """Yield the references of a cell in order, and a flag for each entry that is none.

    column: its format; keyed: the cell stood under a key of its column.
    """
    if isinstance(cell, str):
        described, cell = cell, without_description(cell)
        if cell != described:
            said = f"{shorten(described)} is read without the description behind the reference"
            yield Flag("image-reference-mended", "images", said)
    entries = split_list(cell, column, keyed=keyed)
    if all(isinstance(entry, str) and is_reference(entry) for entry in entries):
        yield from filter(None, (stripped(images, entry) for entry in entries))
        return
    if column.format == "list" and len(entries) > 1 and all(isinstance(e, str) for e in entries):
        entries = list(joined(entries, column.separator, access.is_there))
    for entry in entries:
        try:
            data = picture_bytes(entry)
        except NoPictureError as problem:
            yield Flag("image-data-invalid", "images", f"{shorten(entry)} {problem}")
            continue
        path = picture_path(entry) if data is None else None
        if data is not None:
            yield access.keep(data)
        elif isinstance(path or entry, str):
            if reference := stripped(images, path or entry):
                yield reference
        else:
            expected = "is not an image reference; write a path below the images root"
            # A raw column may be called as an attribute is; `images` may not.
            yield Flag("value-wrong-type", "images", f"{shorten(entry)} {expected}")


def pictures_of_row(images: Images, cell: Any, access: PictureAccess) -> tuple[str, ...]:
    """Return the references of a cell of an image table, which names a picture, holds its bytes, or
    lists several; NoPictureError for a cell with anything else.
    """
    found: dict[str, None] = {}
    for entry in split_list(cell, ColumnFormat()):
        data = picture_bytes(entry)
        text = entry if isinstance(entry, str) else picture_path(entry)
        if data is not None:
            found[access.keep(data)] = None
        elif text is None:
            raise NoPictureError("is not an image reference; write a path, or the picture's bytes")
        elif reference := stripped(images, text):
            found[reference] = None
    return tuple(found)


def stripped(images: Images, text: str) -> str:
    """Return a reference as the template wants it read."""
    return text.strip().removeprefix(images.strip_prefix)

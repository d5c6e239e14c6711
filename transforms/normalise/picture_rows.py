"""Rows of the table that names further pictures: (RawRecord, cells) → ImageRow | Reject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.elements import ImageRow, RawRecord, Reject
from schemas.template import Template
from transforms.attribute_types.reading import shorten
from transforms.extraction.cells import is_null
from transforms.normalise.ids import STAGE, IdProblem, check_id
from transforms.normalise.picture_texts import NoPictureError
from transforms.normalise.pictures import PictureAccess, pictures_of_row


def normalise_image_row(
    template: Template,
    raw: RawRecord,
    cells: Mapping[str, Any],
    access: PictureAccess | None = None,
) -> ImageRow | Reject:
    """Return a row of the table that the template names under record.images.table; ValueError when
    it names none.

    access: what pictures need of the worker that stand in the row itself.
    """
    table = template.record.images.table
    if table is None:
        raise ValueError(
            f"template {template.name} has no image table; add record.images.table with id and "
            "image"
        )
    null_values = template.record.null_texts
    given_id, cell = cells.get(table.id), cells.get(table.image)
    if is_null(given_id, null_values):
        return Reject(
            raw,
            "image-table-row-invalid",
            STAGE,
            f"no item id in {table.id}; fill it",
            field=table.id,
        )
    item_id = check_id(table.id, given_id)
    if isinstance(item_id, IdProblem):
        return Reject(raw, "image-table-row-invalid", STAGE, item_id.message, field=table.id)
    found: tuple[str, ...] = ()
    problem = "write the path of an image below the images root, or its bytes"
    if not is_null(cell, null_values):
        try:
            found = pictures_of_row(template.record.images, cell, access or PictureAccess())
        except NoPictureError as error:
            problem = f"which {error}"
    if not found:
        message = f"{table.image} holds {shorten(cell)}; {problem}"
        return Reject(raw, "image-table-row-invalid", STAGE, message, item_id, table.image)
    return ImageRow(item_id, found[0], raw, found[1:])

"""transforms.normalise.pictures: what stands in a cell of pictures."""

from __future__ import annotations

import pytest

from schemas.elements import Flag
from schemas.template import ColumnFormat, Images
from transforms.normalise.pictures import PictureAccess, references_of


@pytest.mark.parametrize("cell", ["data:image/png;base64,%%%", "data:image/jpeg;base64,"])
def test_data_that_is_no_picture_is_flagged(cell: str) -> None:
    """An address that should hold a picture and does not is flagged, and no reference."""
    found = list(references_of(Images(), ColumnFormat(), cell, PictureAccess(), keyed=False))
    assert [each.reason for each in found if isinstance(each, Flag)] == ["image-data-invalid"]
    assert len(found) == 1

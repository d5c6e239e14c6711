"""How the files of a catalog are written, as a template says it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.sections.inputs import NONE, InputDescription
from transforms.readers import ANYHOW, InputSplit
from transforms.readers.dialect import usual_dialect


def written_as(splits: Sequence[InputSplit]) -> InputDescription:
    """Return what the files of a catalog have in common that is not as their format usually is.

    Lines before a header are found in each file: tomorrow there may be one more.
    """
    said = [_said(split) for split in splits]
    if not said or any(each != said[0] for each in said):
        return ANYHOW
    return InputDescription.model_validate(said[0])


def _said(split: InputSplit) -> dict[str, Any]:
    found = split.read_as
    if found is None or found.dialect is None:
        return {}
    usual, dialect = usual_dialect(split.format), found.dialect
    given: dict[str, Any] = {}
    if found.encoding != "utf-8":
        given["encoding"] = found.encoding
    if dialect.delimiter != usual.delimiter:
        given["delimiter"] = dialect.delimiter
    if dialect.quote != usual.quote:
        given["quote"] = dialect.quote or NONE
    if dialect.escape != usual.escape:
        given["escape"] = dialect.escape or NONE
    return given

"""How an input file is written: what a template or the command line says of it, so that nothing has
to be found out.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, ValidationError, field_validator, model_validator

from schemas.choices import Strict

_NAMED_DELIMITERS = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "\\t": "\t",
    "pipe": "|",
    "space": " ",
    "colon": ":",
}
NONE = "none"


class InputDescription(Strict):
    """How the input is written. What is not said is found out from each file.

    encoding: as Python names it. delimiter: between cells, also of several characters; by its name
    too (comma, semicolon, tab, pipe). quote: around cells, or `none` where quotes are ordinary
    characters. escape: before a character that keeps no meaning of its own, or `none`. header: the
    number of the line with the column names, or `none`. columns: the names where there is no
    header. comment: what lines begin with that are no records. records: the path of the list of
    records in a JSON or XML document (`data.products`). sheet: of a workbook.
    """

    encoding: str | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=10)] | None = None
    quote: str | None = None
    escape: str | None = None
    header: int | str | None = None
    columns: tuple[str, ...] = ()
    comment: Annotated[str, Field(min_length=1)] | None = None
    records: Annotated[str, Field(min_length=1)] | None = None
    sheet: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str | None) -> str | None:
        if encoding is None:
            return None
        try:
            return codecs.lookup(encoding).name
        except LookupError as error:
            raise ValueError(
                f"there is no encoding {encoding!r}; write for example utf-8, cp1252 or utf-16"
            ) from error

    @field_validator("delimiter")
    @classmethod
    def _delimiter_by_name(cls, delimiter: str | None) -> str | None:
        found = _NAMED_DELIMITERS.get(str(delimiter).casefold(), delimiter)
        if found is not None and any(char in found for char in '"\r\n'):
            raise ValueError("a delimiter holds no quote and no line break; write for example ';'")
        return found

    @field_validator("quote", "escape")
    @classmethod
    def _one_character(cls, character: str | None) -> str | None:
        if character is None:
            return None
        if character.casefold() in (NONE, ""):
            return ""
        if len(character) != 1 or character in "\r\n":
            raise ValueError(f"is {character!r}; write one character, or none")
        return character

    @field_validator("header")
    @classmethod
    def _a_line_or_none(cls, header: int | str | None) -> int | str | None:
        if isinstance(header, str) and header.isdecimal():
            header = int(header)
        if header is None or header == NONE or (isinstance(header, int) and header >= 1):
            return header
        raise ValueError(f"is {header!r}; write the number of the header's line, or none")

    @field_validator("columns", mode="before")
    @classmethod
    def _from_text(cls, columns: object) -> object:
        # On the command line the names come as one text.
        return tuple(columns.split(",")) if isinstance(columns, str) else columns

    @model_validator(mode="after")
    def _names_instead_of_a_header(self) -> InputDescription:
        if self.header == NONE and not self.columns:
            raise ValueError(
                "header: none needs the names of the columns; write columns: [id, title, ...]"
            )
        repeated = {name for name in self.columns if self.columns.count(name) > 1}
        if repeated:
            raise ValueError(f"columns names {', '.join(sorted(repeated))} more than once")
        return self

    def over(self, other: InputDescription) -> InputDescription:
        """Return this description, with what `other` says where this one says nothing."""
        mine = self.model_dump(exclude_unset=True)
        return InputDescription.model_validate({**other.model_dump(exclude_unset=True), **mine})


def parse_description(given: Sequence[str]) -> InputDescription:
    """Return what `KEY=VALUE` entries of the command line say.

    Raises ValueError that names the entry, what is wrong with it and what is allowed.

    >>> parse_description(["delimiter=semicolon", "encoding=latin1"]).delimiter
    ';'
    """
    allowed = ", ".join(InputDescription.model_fields)
    entries: dict[str, str] = {}
    for entry in given:
        key, equals, value = entry.partition("=")
        if not equals or key not in InputDescription.model_fields:
            raise ValueError(
                f"--input-as {entry!r} is no KEY=VALUE with a known key; the keys are {allowed}"
            )
        entries[key] = value
    try:
        return InputDescription.model_validate(entries)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise ValueError(
            f"--input-as {where}: {said}" if where else f"--input-as: {said}"
        ) from error

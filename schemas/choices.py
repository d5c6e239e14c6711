"""Choices of a closed list, and the strict model that templates are parsed with."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Every part of a template: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Choice(Strict):
    """One value of a closed list. For a category the value is a path, `Food > Dairy > Milk`.

    cell_only: names that count where they are a whole cell, not in running text, as codes are and
    words that mean
      something else there; the value itself may be among them.
    """

    value: Annotated[str, Field(min_length=1)]
    synonyms: tuple[str, ...] = ()
    cell_only: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that stands for the value, itself first."""
        return (self.value, *self.synonyms, *self.cell_only)

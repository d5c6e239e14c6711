"""Choices of a closed list, and the strict model that templates are parsed with."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

_ADDED = "added"


class Strict(BaseModel):
    """Every part of a template: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out keys that earlier versions did not have and that say nothing.

        Digests of a template decide what a snapshot of an earlier version keeps, so a new key must
        not change those of the templates that do not use it.
        """
        dumped: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if (
                isinstance(extra, dict)
                and extra.get(_ADDED)
                and getattr(self, name) == field.default
            ):
                dumped.pop(field.alias or name, None)
                dumped.pop(name, None)
        return dumped


def added(default: Any, **about: Any) -> Any:
    """Return a field that templates of earlier versions could not have; unused it is in no digest.

    about: further arguments of pydantic's Field.
    """
    return Field(default, json_schema_extra={_ADDED: True}, **about)


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

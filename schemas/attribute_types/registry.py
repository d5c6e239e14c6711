"""The attribute types that a template may name: one line each."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from schemas.attribute_types.boolean import BooleanSpec
from schemas.attribute_types.closed_list import CategorySpec, EnumSpec, MultiEnumSpec
from schemas.attribute_types.contract import TypeSpec
from schemas.attribute_types.date import DateSpec
from schemas.attribute_types.identifier import IdentifierSpec
from schemas.attribute_types.localized import LocalizedSpec
from schemas.attribute_types.money import MoneySpec
from schemas.attribute_types.number import NumberSpec
from schemas.attribute_types.string import StringSpec


class AttributeType(StrEnum):
    """What kind of value an attribute holds; `spec` says all that follows from it.

    >>> AttributeType.MULTI_ENUM.spec.has_closed_list
    True
    """

    spec: TypeSpec

    def __new__(cls, name: str, spec: TypeSpec) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.spec = spec
        return member

    STRING = "string", StringSpec()
    ENUM = "enum", EnumSpec()
    MULTI_ENUM = "multi_enum", MultiEnumSpec()
    CATEGORY = "category", CategorySpec()
    NUMBER = "number", NumberSpec()
    BOOLEAN = "boolean", BooleanSpec()
    IDENTIFIER = "identifier", IdentifierSpec()
    LOCALIZED = "localized", LocalizedSpec()
    DATE = "date", DateSpec()
    MONEY = "money", MoneySpec()

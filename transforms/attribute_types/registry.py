"""Attribute type → what the stages do with its values: one line each."""

from __future__ import annotations

from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from transforms.attribute_types.boolean import BooleanOperations
from transforms.attribute_types.closed_list import (
    CategoryOperations,
    EnumOperations,
    MultiEnumOperations,
)
from transforms.attribute_types.contract import TypeOperations
from transforms.attribute_types.date import DateOperations
from transforms.attribute_types.identifier import IdentifierOperations
from transforms.attribute_types.localized import LocalizedOperations
from transforms.attribute_types.number import NumberOperations
from transforms.attribute_types.string import StringOperations

OPERATIONS: dict[AttributeType, TypeOperations] = {
    AttributeType.STRING: StringOperations(),
    AttributeType.ENUM: EnumOperations(),
    AttributeType.MULTI_ENUM: MultiEnumOperations(),
    AttributeType.CATEGORY: CategoryOperations(),
    AttributeType.NUMBER: NumberOperations(),
    AttributeType.BOOLEAN: BooleanOperations(),
    AttributeType.IDENTIFIER: IdentifierOperations(),
    AttributeType.LOCALIZED: LocalizedOperations(),
    AttributeType.DATE: DateOperations(),
}


def operations_of(attribute: Attribute) -> TypeOperations:
    """Return what the stages do with the attribute's values."""
    return OPERATIONS[attribute.type]

"""Attribute type → what the stages do with its values."""

from __future__ import annotations

from importlib import import_module

from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from transforms.attribute_types.contract import TypeOperations


def _operations(kind: AttributeType) -> TypeOperations:
    """Return the operations of a type, found by the name of its specification.

    `NumberSpec` of schemas/attribute_types/number.py has `NumberOperations` in the module of the
    same name here, so that a new type needs no line in this file.
    """
    spec = type(kind.spec)
    module = import_module(f"{__package__}.{spec.__module__.rpartition('.')[2]}")
    operations: TypeOperations = getattr(
        module, spec.__name__.removesuffix("Spec") + "Operations"
    )()
    return operations


OPERATIONS = {kind: _operations(kind) for kind in AttributeType}
# Members of an enumeration are single objects, and hashing one is a call of Python: this is asked
# dozens of times an item.
_BY_IDENTITY = {id(kind): operations for kind, operations in OPERATIONS.items()}


def operations_of(attribute: Attribute) -> TypeOperations:
    """Return what the stages do with the attribute's values."""
    return _BY_IDENTITY[id(attribute.type)]

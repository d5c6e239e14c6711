"""transforms.attribute_types.registry: every type has both of its halves."""

from __future__ import annotations

import jsonschema
import pytest

from schemas.attribute_types.contract import UNKNOWN
from schemas.attribute_types.registry import AttributeType
from schemas.attributes import Attribute
from schemas.template import ColumnFormat
from transforms.attribute_types.registry import OPERATIONS, operations_of

NEEDED = {"identifier": {"scheme": "gtin"}}
LISTED = {"values": ["Red", "Blue"]}


def attribute(kind: AttributeType) -> Attribute:
    needed = LISTED if kind.spec.has_closed_list else NEEDED.get(kind, {})
    return Attribute.model_validate({"name": "it", "type": kind, **needed})


def test_every_type_has_a_class_of_its_own_in_both_registries() -> None:
    """No type is left to a neighbour's class, and none is missing."""
    assert set(OPERATIONS) == set(AttributeType)
    assert len({type(kind.spec) for kind in AttributeType}) == len(AttributeType)
    assert len({type(operations) for operations in OPERATIONS.values()}) == len(AttributeType)


@pytest.mark.parametrize("kind", AttributeType)
def test_every_type_keeps_the_contract(kind: AttributeType) -> None:
    """Questions are sound and allow not to know, hints end as sentences, and readers say nothing
    of an empty cell.
    """
    one = attribute(kind)
    offered = tuple(choice.value for choice in one.values)
    schema = one.spec.answer_schema(one, offered)
    jsonschema.Draft202012Validator.check_schema(schema)
    nothing = [] if one.spec.is_list else UNKNOWN
    assert jsonschema.Draft202012Validator(schema).is_valid(nothing)
    assert operations_of(one).is_unknown(nothing)
    assert one.spec.answer_hint(one, offered).endswith(".")
    empty = {} if kind is AttributeType.LOCALIZED else " "
    assert operations_of(one).reader(one, ())(empty, ColumnFormat(), False) == (None, ())
    assert operations_of(one).finder(one, alone=True)("") == []


@pytest.mark.parametrize("kind", [kind for kind in AttributeType if kind.spec.is_fillable])
def test_what_rules_find_has_a_method(kind: AttributeType) -> None:
    """Of every type that may be filled, rules have a name in the tables or a probe does the work,
    so that no open value is beyond every step.
    """
    operations = OPERATIONS[kind]
    has_rules = operations.rule_method.startswith("rule:")
    assert has_rules or operations.probe_kind(attribute(kind)) != "none"

"""Open values: unknown, and for a reason that a later step may change."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Item

# Unknown for these reasons, a value may still be filled: the source gave none, and no step was sure
# of one.
OPEN_REASONS = frozenset(["not-stated", "ambiguous", "below-threshold", "too-few-labels"])


def is_open(
    attribute: Attribute, item: Item, values: Mapping[str, AttributeValue] | None = None
) -> bool:
    """Tell whether a value may still be filled."""
    known = (item.values if values is None else values)[attribute.name]
    return attribute.fill and known.value is None and known.reason in OPEN_REASONS

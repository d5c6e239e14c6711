"""Columns that tell units and currencies although the template does not name them."""

from __future__ import annotations

import pytest

from schemas.loading import parse_template
from transforms.normalise.sources import columns_beside

TEMPLATE = """
name: shop
version: 1.0.0
record: {{id: sku}}
columns: {columns}
attributes:
  - {{name: title, type: string, role: title, from: title, description: Name.}}
  - {{name: weight, type: number, unit: g, from: weight, description: Weight.}}
  - {{name: price, type: money, from: price, description: Price.}}
"""


@pytest.mark.parametrize(
    ("names", "columns", "found"),
    [
        ("weight weight_unit price currency unit", "{}", {"weight_unit", "currency"}),
        ("weight price price_currency currency", "{}", {"price_currency"}),
        ("weight price brutto_weight_uom stock_unit", "{}", {"brutto_weight_uom"}),
        ("weight weight_unit price currency", "{weight: {unit: g}, price: {unit: EUR}}", set()),
        ("weight price title", "{}", set()),
    ],
)
def test_columns_that_are_read_beside_others(names: str, columns: str, found: set[str]) -> None:
    """They are read, and so no columns that a template leaves out; what it names is no guess."""
    template = parse_template(TEMPLATE.format(columns=columns), "test")
    assert columns_beside(template, ("sku", "title", *names.split())) == found

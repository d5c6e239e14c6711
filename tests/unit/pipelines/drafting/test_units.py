"""Units of a draft: those that stand in a column behind the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.drafting.guess import columns_of_units
from pipelines.drafting.profile import profile
from transforms.readers import plan_splits


@pytest.mark.parametrize(
    ("header", "row", "found"),
    [
        ("id,Gewicht,Einheit", "{n},1.{n},kg", {"Gewicht": "Einheit"}),
        ("id,size,UOM", "{n},{n}50,ml", {"size": "UOM"}),
        ("id,weight,weight_unit,Einheit", "{n},{n},kg,g", {"weight": "weight_unit"}),
        ("id,price,unit", "{n},{n}.5,kg", {}),
        ("id,name,unit", "{n},Tea {n} x,kg", {}),
        ("id,size,unit", "{n},{n},each", {}),
        ("id,Weight (kg),weight_unit", "{n},1.{n},g", {}),
    ],
)
def test_units_behind_numbers(tmp_path: Path, header: str, row: str, found: dict[str, str]) -> None:
    """A column of units behind one of numbers is theirs, unless another names them or they stand
    behind a price.
    """
    path = tmp_path / "catalog.csv"
    path.write_text("\n".join([header, *(row.format(n=n) for n in range(1, 9))]) + "\n")
    seen = profile(plan_splits([str(path)]), 100)
    units = {name: column.name for name, column in columns_of_units(seen.columns).items()}
    assert units == found

"""Amounts as people type them: right, or unknown, and never wrong by a factor."""

import csv

import pytest

from tests.cases.support import case, items_of, run_case


def test_net_contents(tmp_path):
    """Unit words of several languages, packs, amounts in two systems and the column's decimal mark
    are read right; what is ambiguous stays unknown (18).
    """
    folder = case("18-quantity-words")
    items = items_of(run_case(folder / "my.yaml", [folder / "groceries.csv"], tmp_path / "out"))
    with (folder / "truth.csv").open(newline="") as lines:
        truth = {row["code"]: row for row in csv.DictReader(lines)}
    wrong = {
        (code, name): (items[code][name], expected)
        for code, row in truth.items()
        for name, key in (("weight", "weight_g"), ("volume", "volume_ml"))
        if (expected := float(row[key]) if row[key] else None) != items[code][name]
        and (
            expected is None
            or items[code][name] is None
            or items[code][name] != pytest.approx(expected, rel=1e-3)
        )
    }
    assert wrong == {}


@pytest.mark.parametrize("name", ["comma.csv", "cp1252.csv", "semicolon.csv", "sep.csv"])
def test_decimal_commas(name, tmp_path):
    """Where a column has decimal commas, a point groups thousands (04)."""
    folder = case("04-excel-csv")
    items = items_of(run_case(folder / "my.yaml", [folder / name], tmp_path / "out"))
    (weight,) = [key for key in items["0013"] if key in ("weight", "gewicht")]
    (price,) = [key for key in items["0013"] if key in ("price", "preis")]
    assert [items[i][weight] for i in ("0012", "0013", "0014")] == [350, 1250, 400]
    assert [items[i][price] for i in ("0012", "0013", "0014")] == [12.9, 1299, 7.5]


@pytest.mark.parametrize("name", ["akeneo.csv", "akeneo_semicolon.csv"])
def test_units_in_a_column_of_their_own(name, tmp_path):
    """A number whose unit stands in the column beside it is converted by that unit (05)."""
    folder = case("05-akeneo-unit-column")
    output = tmp_path / "out"
    options = ("--images-root", str(folder))
    items = items_of(run_case(folder / "my.yaml", [folder / name], output, *options))
    by_sku = [items[sku] for sku in ("KT-100", "KT-200", "HB-1", "TO-3", "SC-9", "FR-2")]
    assert [round(item["weight"], 2) for item in by_sku] == [1200, 1350, 900, 1587.57, 453.59, 5000]
    assert [item["power"] for item in by_sku] == [2200, 1800, 600, 850, None, 1500]

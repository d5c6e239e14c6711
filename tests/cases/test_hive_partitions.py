"""Values that stand in the path."""

from tests.cases.support import case, items_of, run_case


def test_columns_of_folders(tmp_path):
    """`category=Kettles/country=DE` are columns of the files below, and a folder of them is an
    input (14).
    """
    folder = case("14-hive-partitions")
    items = items_of(run_case(folder / "my.yaml", [folder / "catalog"], tmp_path / "out"))
    found = [
        (items[sku]["category"], items[sku]["country"]) for sku in ("K1", "K2", "L1", "L2", "X1")
    ]
    assert found == [
        ("Kettles", "DE"),
        ("Kettles", "DE"),
        ("Lamps", "DE"),
        ("Lamps", "SE"),
        (None, "SE"),
    ]

"""JSON as APIs and programs write it is read record by record."""

import pytest

from schemas.reasons import REASONS
from tests.cases.support import case, items_of, read_all, run_case


@pytest.mark.parametrize(
    "name",
    [
        "array_lines.json",
        "concatenated.json",
        "oneline.json",
        "pretty.json",
        "pretty_objects.json",
        "wrapped.json",
        "wrapped_pretty.json",
    ],
)
def test_documents(name, tmp_path):
    """An array, a wrapper and objects over several lines hold the same five products (08)."""
    folder = case("08-json-array")
    expected, _ = read_all(folder / "oneline.json")
    records, report = read_all(folder / name)
    assert records == expected
    assert [record["sku"] for record in records] == [4000, 4001, 4002, 4003, 4004]
    assert report.read_as.startswith("JSON, ")


def test_almost_json(tmp_path):
    """NaN, Infinity, half a surrogate, a BOM within and a comma behind each object cost nothing but
    themselves, and are reported (10).
    """
    folder = case("10-json-nan")
    numbers = items_of(run_case(folder / "my.yaml", [folder / "export.jsonl"], tmp_path / "a"))
    assert len(numbers) == 6
    assert [numbers[str(number)]["price"] for number in (1, 3)] == [None, None]
    assert numbers["5"]["price"] == 7
    assert "input-mended" in [flag["reason"] for flag in numbers["1"]["flags"]]
    texts, _ = read_all(folder / "strict.jsonl")
    assert [record["id"] for record in texts] == ["s0", "s1", "s2", "s3", "s4"]
    assert texts[1]["title"] == "Mug \ufffd"
    assert "input-mended" in REASONS

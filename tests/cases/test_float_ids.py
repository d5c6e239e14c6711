"""Ids that became floats on their way."""

import csv
import json

import pandas as pd
import pytest
from openpyxl import Workbook

from tests.cases.support import items_of, run_case

TEMPLATE = """
name: shop
version: 1.0.0
record: {id: sku}
attributes:
  - {name: title, type: string, role: title, from: title, description: Name.}
  - {name: gtin, type: identifier, scheme: gtin, from: gtin, description: Code.}
"""
FRAME = pd.DataFrame(
    {
        "sku": [12345.0, 12346.0, 1000000012347.0],
        "title": ["Mug", "Pot", "Pan"],
        "gtin": [4006381333931.0, None, None],
    }
)


def as_text(frame):
    return frame.assign(sku=["12345", "12346", "1000000012347"], gtin=["4006381333931", None, None])


def workbook(frame, path):
    made = Workbook()
    made.active.append(list(frame))
    for row in frame.itertuples(index=False):
        made.active.append([None if pd.isna(cell) else cell for cell in row])
    made.save(path)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.xlsx", "text.csv"])
def test_a_float_is_the_number_again(name, tmp_path):
    """The items of a catalog whose ids were floats are those of the catalog with the numbers."""
    template, path = tmp_path / "t.yaml", tmp_path / name
    template.write_text(TEMPLATE)
    match name:
        case "a.csv":
            FRAME.to_csv(path, index=False, float_format="%.1f")
        case "a.tsv":
            FRAME.to_csv(path, index=False, sep="\t", float_format="%.1f")
        case "a.jsonl":
            rows = json.loads(FRAME.to_json(orient="records"))
            lines = (json.dumps({**row, "sku": float(row["sku"])}) for row in rows)
            path.write_text("\n".join(lines))
        case "a.parquet":
            FRAME.to_parquet(path)
        case "a.xlsx":
            workbook(FRAME, path)
        case "text.csv":
            as_text(FRAME).to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    items = items_of(run_case(template, [path], tmp_path / "out"))
    assert set(items) == {"12345", "12346", "1000000012347"}
    assert items["12345"]["gtin"] == "4006381333931"
    assert all("code-lost-digits" not in json.dumps(item, default=str) for item in items.values())


def test_lost_digits_are_named(tmp_path):
    """An id that was rounded is kept as it is written, with a flag."""
    template, path = tmp_path / "t.yaml", tmp_path / "a.csv"
    template.write_text(TEMPLATE)
    path.write_text("sku,title\n1.23457E+17,Mug\n4711,Pot\n")
    items = items_of(run_case(template, [path], tmp_path / "out"))
    assert set(items) == {"1.23457E+17", "4711"}
    assert "code-lost-digits" in json.dumps(items["1.23457E+17"], default=str)
    assert "code-lost-digits" not in json.dumps(items["4711"], default=str)

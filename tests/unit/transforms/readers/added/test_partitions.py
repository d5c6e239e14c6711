"""Columns in the path of a file."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.readers import ParsedRecord, plan_splits, read_split, rebuild
from transforms.readers.added.partitions import partitions_in, partitions_of, with_partitions

ROW = {"id": "1", "title": "Mug"}


def write(path: Path, row: dict[str, str] = ROW) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([row]), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([row, row.values()])
    else:
        path.write_text(json.dumps(row) + "\n")
    return path


def read(path: Path) -> list[ParsedRecord]:
    splits = plan_splits([str(path)])
    elements = [each for split in splits for each in read_split(split)]
    records = [each for each in elements if isinstance(each, ParsedRecord)]
    assert [rebuild(each.raw) for each in records] == [each.cells for each in records]
    return records


@pytest.mark.parametrize("name", ["part-0.parquet", "part-0.csv", "part-0.jsonl"])
@pytest.mark.parametrize(
    ("folder", "columns"),
    [
        ("category=Kettles/country=DE", {"category": "Kettles", "country": "DE"}),
        ("category=Home%2FKitchen", {"category": "Home/Kitchen"}),
        ("category=__HIVE_DEFAULT_PARTITION__", {"category": None}),
        ("category=", {"category": None}),
        ("category=a=b", {"category": "a=b"}),
        ("category=K%C3%BCche & Bad", {"category": "Küche & Bad"}),
        ("year=2024/deep", {}),
        ("x=1/title=Other", {"x": "1"}),
        ("a%20b=c;d", {"a b": "c;d"}),
    ],
)
def test_columns_of_the_path(tmp_path, name, folder, columns):
    """Folders right above a file are columns of its records, unless they have their own; and so
    they are when a record is read again from its bytes.
    """
    (record,) = read(write(tmp_path / folder / name))
    assert record.cells == {**ROW, **columns}


def test_equal_rows_of_two_partitions(tmp_path):
    """Rows of the same bytes in two partitions are two records, for a later run too."""
    keys = {
        read(write(tmp_path / f"country={country}" / "a.jsonl"))[0].raw.key
        for country in ("DE", "SE")
    }
    assert len(keys) == 2


@given(
    st.dictionaries(
        st.text(min_size=1).filter(str.strip), st.none() | st.text(min_size=1), max_size=4
    )
)
def test_spelled_and_read_again(partitions):
    """Whatever stands in a path comes back from the name of a record's format."""
    given = tuple(partitions.items())
    assert partitions_of(with_partitions("csv;delimiter=%3B", given)) == given


def test_no_partitions():
    """A path without such folders adds nothing, nor does a query of a URL."""
    assert partitions_in("gs://bucket/a/b.csv") == ()
    assert partitions_in("a=b.csv") == ()

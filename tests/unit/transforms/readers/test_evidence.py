"""transforms.readers.evidence: a number that can be read in two ways is right or unknown, in every
format.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.elements import Record
from schemas.loading import parse_template
from transforms.normalise.records import Normaliser
from transforms.readers import ParsedRecord, plan_splits, read_split
from transforms.readers.dialect import decimals_of

TEMPLATE = parse_template(
    """
name: shop
version: 1.0.0
record: {id: id}
attributes:
  - {name: weight, type: number, unit: kg, from: [weight, facts.weight], description: Weight.}
  - {name: pieces, type: number, integer: true, from: pieces, description: Pieces.}
""",
    "test",
)
WRITERS: dict[str, Callable[[Path, Sequence[str]], None]] = {
    "jsonl": lambda path, cells: path.write_text(
        "".join(json.dumps({"id": n, "weight": cell}) + "\n" for n, cell in enumerate(cells))
    ),
    "json": lambda path, cells: path.write_text(
        json.dumps([{"id": n, "facts": {"weight": cell}} for n, cell in enumerate(cells)])
    ),
    "csv": lambda path, cells: path.write_text(
        "id,weight\n" + "".join(f'{n},"{cell}"\n' for n, cell in enumerate(cells))
    ),
    "xml": lambda path, cells: path.write_text(
        "<products>"
        + "".join(f"<product><id>{n}</id><weight>{c}</weight></product>" for n, c in enumerate(cells))
        + "</products>"
    ),
    "parquet": lambda path, cells: pq.write_table(
        pa.table({"id": list(range(len(cells))), "weight": list(cells)}), path
    ),
}  # fmt: skip


def written(amount: float, mark: str, decimals: int, *, grouped: bool) -> str:
    """An amount as people of one country write it."""
    text = f"{amount:,.{decimals}f}" if grouped else f"{amount:.{decimals}f}"
    return text if mark == "." else text.translate(str.maketrans(",.", ".,"))


def read(path: Path) -> dict[str, object]:
    """The weight of each record by id."""
    found = {}
    for split in plan_splits([str(path)]):
        for each in read_split(split):
            if isinstance(each, ParsedRecord):
                normaliser = Normaliser(TEMPLATE, decimals_of(each.raw.format))
                record = normaliser.normalise(each.raw, each.cells)
                assert isinstance(record, Record)
                found[record.item_id] = record.values.get("weight")
                assert found[record.item_id] is not None or record.flags
    return found


@pytest.mark.parametrize("ending", WRITERS)
@settings(max_examples=25)
@given(
    amounts=st.lists(
        st.tuples(st.integers(1, 99_999_999), st.integers(0, 3), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    mark=st.sampled_from(",."),
    unit=st.sampled_from(["", " kg", "kg"]),
)
def test_never_wrong_by_a_thousand(
    ending: str, amounts: list[tuple[int, int, bool]], mark: str, unit: str
) -> None:
    """A column that is written with one decimal mark, with or without marks of thousands, gives
    each weight as it is meant or none, with a flag.
    """
    meant = [round(thousandths / 1000, decimals) for thousandths, decimals, _ in amounts]
    cells = [
        written(amount, mark, decimals, grouped=grouped) + unit
        for amount, (_, decimals, grouped) in zip(meant, amounts, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"catalog.{ending}"
        WRITERS[ending](path, cells)
        found = read(path)
    for number, amount in enumerate(meant):
        assert found[str(number)] in (None, pytest.approx(amount)), (cells, number)


@pytest.mark.parametrize("ending", WRITERS)
def test_the_column_decides(tmp_path: Path, ending: str) -> None:
    """One number that can only be read in one way is enough for the whole column."""
    path = tmp_path / f"catalog.{ending}"
    WRITERS[ending](path, ["1,250 kg", "0,75 kg", "1.250,5 kg"])
    assert read(path) == {"0": 1.25, "1": 0.75, "2": 1250.5}
    WRITERS[ending](path, ["1,250 kg", "0.75 kg"])
    assert read(path) == {"0": 1250.0, "1": 0.75}
    WRITERS[ending](path, ["1,250 kg", "3 kg"])
    assert read(path) == {"0": None, "1": 3.0}


def test_whole_numbers_have_no_decimals() -> None:
    """A number of pieces has no decimals, so that its mark is one of thousands."""
    assert pieces_of(["1,250"]) == [1250]
    assert pieces_of(["1.250", "1.000"]) == [1250, None]


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["1.000", "2.000", "12.000"], [None, None, None]),
        (["1,000", "2,000"], [None, None]),
        (["1.000", "500"], [1000, 500]),
        (["1,000", "1500"], [None, 1500]),
        (["0.000", "5.000"], [0, 5]),
        (["0,000", "5,000", "1.000,000"], [0, 5, 1000]),
    ],
)
def test_thousands_of_pieces_or_three_decimals(cells: list[str], found: list[float | None]) -> None:
    """Whole numbers may be written with three decimals, as SAP does: 1.000 is one, or a thousand
    where smaller numbers stand without a mark; else it is unknown.
    """
    assert pieces_of(cells) == found


def pieces_of(cells: Sequence[str]) -> list[object]:
    """The pieces of each record; what is unknown is flagged."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.jsonl"
        rows = [{"id": n, "pieces": cell} for n, cell in enumerate(cells)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        records = records_of(path)
    assert all(record.flags for record in records if "pieces" not in record.values)
    return [record.values.get("pieces") for record in records]


def records_of(path: Path) -> list[Record]:
    """The records of a file, normalised as it is read."""
    found = []
    for split in plan_splits([str(path)]):
        for each in read_split(split):
            if isinstance(each, ParsedRecord):
                normaliser = Normaliser(TEMPLATE, decimals_of(each.raw.format))
                record = normaliser.normalise(each.raw, each.cells)
                assert isinstance(record, Record)
                found.append(record)
    return found


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_what_stands_behind_the_sample_is_not_guessed(tmp_path: Path, ending: str) -> None:
    """A number that reads two ways is unknown where the records that are looked at tell no mark."""
    path = tmp_path / f"catalog.{ending}"
    WRITERS[ending](path, ["5"] * 600 + ["1.250", "1,250", "12,5"])
    assert [read(path)[str(n)] for n in (0, 600, 601, 602)] == [5, None, None, 12.5]
    WRITERS[ending](path, ["0.5", *["5"] * 600, "1.250", "1,250"])
    assert [read(path)[str(n)] for n in (601, 602)] == [1.25, 1250]


def test_keys_of_lists_tell_too(tmp_path: Path) -> None:
    """The texts under one key of all objects of a list are a column, however deep."""
    template = parse_template(
        """
name: shop
version: 1.0.0
record: {id: id}
attributes:
  - {name: weight, type: number, unit: kg, from: "parts[0].box.weight", description: Weight.}
""",
        "test",
    )
    path = tmp_path / "catalog.jsonl"
    rows = [
        {"id": n, "parts": [{"box": {"weight": cell}}, {"box": {"weight": "0,5"}}]}
        for n, cell in enumerate(["1,250", "1.250"])
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (split,) = plan_splits([str(path)])
    found = []
    for each in read_split(split):
        if isinstance(each, ParsedRecord):
            decimals = decimals_of(each.raw.format)
            record = Normaliser(template, decimals).normalise(each.raw, each.cells)
            assert isinstance(record, Record)
            found.append(record.values["weight"])
    assert found == [1.25, 1250]


def test_points_make_no_other_record(tmp_path: Path) -> None:
    """A record keeps its key when other rows of its file begin to show points, which are usual."""
    path = tmp_path / "catalog.jsonl"
    WRITERS["jsonl"](path, ["5", "7"])
    before = records_of(path)
    WRITERS["jsonl"](path, ["5", "7", "12.5"])
    after = records_of(path)
    assert after[0].raw.format != before[0].raw.format
    assert [each.raw.key for each in after[:2]] == [each.raw.key for each in before]
    WRITERS["jsonl"](path, ["5", "7", "12,5"])
    assert records_of(path)[0].raw.key != before[0].raw.key


def test_numbers_of_json_read_in_one_way(tmp_path: Path) -> None:
    """A number that is no text has its decimals, whatever the texts of its column tell."""
    path = tmp_path / "catalog.jsonl"
    rows = [{"id": 0, "weight": 1.125}, {"id": 1, "weight": "1,125"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(path) == {"0": 1.125, "1": None}

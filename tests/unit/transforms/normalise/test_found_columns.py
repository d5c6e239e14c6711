"""What the cells of a column tell: decimal marks and the order of dates, from file to record."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.elements import Record
from schemas.loading import parse_template
from transforms.normalise.records import Normaliser
from transforms.readers import ParsedRecord, plan_splits, read_split
from transforms.readers.dialect import decimals_of

TEMPLATE = """
name: shop
version: 1.0.0
record: {id: sku, event_ts: changed}
columns: %s
attributes:
  - {name: title, type: string, role: title, from: name, description: Name.}
  - {name: since, type: date, from: since, description: When it came out.}
  - {name: price, type: money, from: price, currency: EUR, description: Price.}
"""


def read(tmp_path: Path, lines: list[str], columns: str = "{}") -> tuple[list[Record], str]:
    """Return the records of a table of semicolons, and how it was read."""
    path = tmp_path / "in.csv"
    path.write_text("\n".join(["SKU;Name;Since;Changed;Price", *lines, ""]))
    (split,) = plan_splits([str(path)])
    template = parse_template(TEMPLATE % columns, "test")
    records = []
    for each in read_split(split):
        if isinstance(each, ParsedRecord):
            record = Normaliser(template, decimals_of(each.raw.format)).normalise(
                each.raw, each.cells
            )
            assert isinstance(record, Record)
            records.append(record)
    return records, split.described


@pytest.mark.parametrize(
    ("proof", "since", "told"),
    [
        ("31/12/2025", "2025-04-03", "day first in Since"),
        ("12/31/2025", "2025-03-04", "month first in Since"),
        ("2025-12-31", None, ""),
    ],
)
def test_one_date_decides_for_its_column(
    tmp_path: Path, proof: str, since: str | None, told: str
) -> None:
    """A date that reads in one way only tells the order of its column, whatever the template's case;
    without one an ambiguous date stays unknown.
    """
    records, described = read(tmp_path, ["a;A;03/04/2025;;1", f"b;B;{proof};;2"])
    assert records[0].values.get("since") == since
    assert records[1].values["since"] == "2025-12-31"
    assert told in described
    assert [flag.reason for flag in records[0].flags] == ([] if since else ["value-wrong-type"])


def test_two_orders_decide_nothing(tmp_path: Path) -> None:
    """Where a column has both orders, dates that may be two days are unknown, also with dots."""
    lines = ["a;A;03/04/2025;;1", "b;B;31/12/2025;;2", "c;C;12/31/2025;;3", "d;D;05.05.2025;;4"]
    records, described = read(tmp_path, lines)
    assert [record.values.get("since") for record in records] == [
        None,
        "2025-12-31",
        "2025-12-31",
        "2025-05-05",
    ]
    assert "both day and month first in Since" in described


def test_the_template_decides_before_the_column(tmp_path: Path) -> None:
    """What the template says of a column holds whatever its cells tell."""
    columns = "{since: {dates: month-first}}"
    records, _ = read(tmp_path, ["a;A;03/04/2025;;1", "b;B;31/12/2025;;2"], columns)
    assert [record.values.get("since") for record in records] == ["2025-03-04", None]


def test_event_times_and_prices_follow_their_columns(tmp_path: Path) -> None:
    """Times of a column of dates and prices of a column of decimal commas are read by it."""
    lines = ["a;A;;03/04/2025 10:00;1.299", "b;B;;31/12/2025;12,90"]
    records, _ = read(tmp_path, lines)
    assert records[0].event_ts_us == 1_743_674_400_000_000
    assert [record.values["price"]["amount"] for record in records] == ["1299", "12.9"]
    unclear, _ = read(tmp_path, ["a;A;;03/04/2025;1.299"])
    assert unclear[0].event_ts_us is None
    assert {flag.reason for flag in unclear[0].flags} == {"event-ts-invalid", "value-wrong-type"}


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        (["219.00 USD", "39 EUR", ""], "amounts in EUR and USD in price"),
        (["219.00 USD", "39 USD", "$5"], ""),
        (["219.00", "39", "5"], ""),
        (["12 pieces", "EUR 5 and more", "USD"], ""),
    ],
)
def test_several_currencies_of_a_column_are_told(
    tmp_path: Path, prices: list[str], told: str
) -> None:
    """A number does not keep the currency, so that a column with several is reported before the run."""
    path = tmp_path / "in.csv"
    rows = [f"{number},Mug,{price}" for number, price in enumerate(prices)]
    path.write_text("\n".join(["sku,name,price", *rows, ""]))
    (split,) = plan_splits([str(path)])
    assert split.described == (f"CSV, commas, {told}" if told else "")

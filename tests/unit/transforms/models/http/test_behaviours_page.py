"""docs/misbehaviour.md tells what a run shows today: all of it in `make test-servers`, a few rows in `make test`."""

from __future__ import annotations

import os
import re
import statistics

import pytest

from tests.misbehaviour.table import BEGIN, END, PAGE, Case, Row, cases, measure
from tests.servers.conformance import ITEMS

LONG = bool(os.environ.get("CATALOG_ENRICH_HOSTILE_ITEMS"))
ALL_CASES = [each for listed in cases().values() for each in listed]
# Some of each table; those that wait for a timeout are slow.
FEW = ("fenced", "openai-lengths", "litellm-hidden-wait, once", "lm-studio-words", "value-unlisted", "key-400-gemini")  # fmt: skip


def written() -> dict[str, list[str]]:
    """The cells of each row of the page, by the name of its behaviour."""
    told = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [line.strip("| ").split(" | ") for line in told.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells for cells in rows}


def test_the_page_has_every_behaviour_and_its_promises() -> None:
    """Each has its row and no other; no value is wrong, a call is wasted at most in the median, and all items are
    lost only where the run ends.
    """
    rows = written()
    assert list(rows) == [each.name for each in ALL_CASES]
    assert len(rows) >= 120
    assert {cells[4] for cells in rows.values()} == {"0"}
    assert statistics.median(int(cells[5].replace(",", "")) for cells in rows.values()) <= 1
    lost = {name for name, cells in rows.items() if cells[2] == f"0 of {ITEMS}"}
    assert lost == {each.name for each in cases()["No question can be answered: the run ends"]}
    assert all(int(rows[name][5]) <= 5 for name in lost)
    assert all("run again" in rows[name][6] for name in lost)


@pytest.mark.parametrize(
    "case",
    [each for each in ALL_CASES if LONG or each.name in FEW],
    ids=lambda case: case.name.replace(" ", "-"),
)
def test_a_row_is_what_a_run_shows(case: Case) -> None:
    """Items, values and calls are those of a run today; `python -m tests.misbehaviour` writes the page."""
    row: Row = measure(case)
    cells = written()[case.name]
    assert re.split(r" (?<!\\)\| ", row.written().strip("| "))[:6] == cells[:6]

"""The real catalogs, written again by programs that know nothing of the product, give the same items.

`make test` reads a share of the variants; `make test-variants` all of them (CATALOG_ENRICH_VARIANTS records of each
catalog), and prints the table.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import needs_data
from tests.variants.compare import VARIANTS, Comparison, Outcome, table
from tests.variants.sources import SOURCES

ALL_RECORDS = int(os.environ.get("CATALOG_ENRICH_VARIANTS", "0"))
# So many variants have to give the same items in every catalog.
ENOUGH = 60
# A form of each kind, read in every run of the tests.
SHARE = {
    "csv: semicolons, backslashes before quotes": ("stamps", "wdc_pave"),
    "csv: two bars, no quotes": ("magento",),
    "csv: UTF-16, tabs, as Excel's text": ("grocery",),
    "csv: shift_jis, titles in ja": ("stamps",),
    "pandas: semicolons and decimal commas": ("films", "magento"),
    "DuckDB: \\N for null": ("stamps",),
    "SQL: PostgreSQL's COPY": ("magento gear",),
    "json: Python's repr": ("films",),
    "lxml: UTF-16": ("magento",),
    "lxml: cells as attributes": ("grocery",),
    "zip: two CSVs in a folder": ("stamps",),
    "openpyxl: a title above": ("films",),
    "pandas: to_json of a table": ("magento",),
    "DuckDB: COPY to a JSON array": ("stamps",),
    "Polars: write_parquet": ("grocery",),
}


@needs_data
@pytest.mark.parametrize("name", SHARE)
def test_a_form_of_each_kind_gives_the_same_items(name: str, tmp_path: Path) -> None:
    """Forty records of real catalogs, written by another program, give the items of the original."""
    (variant,) = (each for each in VARIANTS if each.name == name)
    for catalog in SHARE[name]:
        outcome = Comparison(catalog, SOURCES[catalog], tmp_path, 40).outcome(variant)
        assert outcome.records
        assert outcome.found == ()


@needs_data
@pytest.mark.skipif(
    not ALL_RECORDS, reason="CATALOG_ENRICH_VARIANTS is not set; make test-variants does"
)
def test_all_forms_give_the_same_items(tmp_path: Path) -> None:
    """Every variant of every catalog gives the items of the original, and the table says so."""
    outcomes: list[Outcome] = []
    for name, source in SOURCES.items():
        comparison = Comparison(name, source, tmp_path, ALL_RECORDS)
        outcomes += [comparison.outcome(variant) for variant in comparison.variants]
    print("\n" + "\n".join(table(outcomes)))
    assert [each for each in outcomes if each.found] == []
    assert len({each.variant for each in outcomes if each.records}) >= ENOUGH

"""What a run takes of memory on inputs that are small where they lie and huge where they are read.

In processes of their own, since a peak is one of a process. `make test` reads them at a sixteenth
of their size, with limits that are lower by as much, all at once; `make test-memory` in full, one by
one.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from aiohttp import web

from tests.chat_server import ChatServer, completion
from tests.hostile_sizes import HOSTILE
from tests.peak_memory import Measured, measure
from tests.support import Run, Shop, reasons

MB = 1 << 20
IS_FULL = os.environ.get("CATALOG_ENRICH_MEMORY") == "full"
SIXTEENTH = MB // 16
LOWER = (
    *("--max-record-bytes", str(8 * SIXTEENTH), "--max-raw-bytes", str(16 * SIXTEENTH)),
    *("--max-block-bytes", str(256 * SIXTEENTH), "--max-bucket-bytes", str(64 * SIXTEENTH)),
)
# What the programs take themselves, gate included, and what the limits allow at a sixteenth.
PROGRAMS_BYTES, READ_BYTES = 600 * MB, 150 * MB


def measured(shop: Shop, inputs: list[Any], *options: str) -> tuple[Run, Measured]:
    """A run in a process of its own, and what it took."""
    output = shop.folder / "out"
    command = [sys.executable, "-m", "pipelines.enrich", *shop.arguments(inputs), *options]
    found = measure([*command, "--no-report", "--output", str(output)], shop.folder)
    print(f"{found.peak_bytes / MB:,.0f} MB, {found.processor_secs:.0f} s, code {found.code}")
    return Run(found.code, output, found.out, found.err), found


def is_accounted_for(run: Run) -> bool:
    """Each record that came is an item, a part of one, or in the quarantine."""
    counts = run.manifest["counts"]
    rows = len(run.rows("items")) + counts["rows_merged"]
    set_aside = [row for row in run.rows("quarantine") if row["input"] == "catalog"]
    return bool(counts["unaccounted"] == 0 and counts["records_in"] == rows + len(set_aside))


def written(shop: Shop, *names: str) -> list[Any]:
    """Some of the inputs at a sixteenth, each in a folder of its own; options come last."""
    found: list[Any] = []
    for number, name in enumerate(names):
        own = Shop(shop.folder / f"input-{number}")
        own.folder.mkdir()
        found += HOSTILE[name].write(own, SIXTEENTH)
    return found


def test_what_unpacks_to_much_takes_little(shop: Shop) -> None:
    """Lines, elements, cells, texts and rows that unpack to a hundred times what is allowed are set
    aside one by one, in every format, and so are all rows of an item that is too large for its
    bucket; what stands behind them is read, the other items are made, and memory stays at what the
    limits allow.
    """
    names = ("gz lines of 60 MB", "JSON elements of 60 MB", "CSV quote never closed, one line")
    names += ("parquet dictionary", "parquet cell of 1 GB", "XML text of 1 GB")
    names += ("xlsx cell of 240 MB", "XML attribute of 500 MB", "1000 rows of one id")
    run, found = measured(shop, written(shop, *names), *LOWER)
    assert run.code in (0, 1), run.err
    assert is_accounted_for(run)
    assert found.peak_bytes < PROGRAMS_BYTES + READ_BYTES
    counted = reasons(run)
    assert counted.keys() == {"record-too-large", "bucket-too-large"}
    assert counted["bucket-too-large"] == 1_000
    # All lines of the packed file, which in full is refused as a bomb at some line.
    assert HOSTILE["gz lines of 60 MB"].records is None
    expected = 21 + sum(HOSTILE[name].records or 0 for name in names)
    assert run.manifest["counts"]["records_in"] == expected
    assert {"good", "a"} <= {row["item_id"] for row in run.rows("items")}


class Talkative(ChatServer):
    """Answers with megabytes of words. size: bytes of an answer."""

    size = 5 * SIXTEENTH

    async def behave(
        self, name: str, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        text = "word " * (self.size // 5)
        return web.json_response(completion({**body, "logprobs": False}, text))


def test_answers_that_do_not_end_take_little(shop: Shop) -> None:
    """Of an answer that is longer than allowed its beginning is kept, in the quarantine too, and
    its item goes on with a flag that says so.
    """
    most = 4_096
    Talkative.size = 5 * MB if IS_FULL else 16 * most
    records = [{"sku": f"s{n}", "name": f"Thing {n}"} for n in range(60)]
    options = ("--describe-backend", "openai", "--describe-model", "tiny", "--max-retries", "0")
    limit = () if IS_FULL else ("--max-answer-bytes", str(most))
    with Talkative() as server:
        run, found = measured(
            shop, [shop.file("in.jsonl", records)], *options, "--endpoint", server.url, *limit
        )
    assert run.code in (0, 1), run.err
    assert is_accounted_for(run)
    assert found.peak_bytes < PROGRAMS_BYTES + READ_BYTES
    assert len(run.rows("items")) == 60
    if not IS_FULL:
        kept = [row for row in run.rows("quarantine") if row["input"] == "model-answer"]
        assert {row["reason"] for row in kept} == {"answer-too-large"}
        assert max(len(row["raw"]) for row in kept) <= most


@pytest.mark.skipif(not IS_FULL, reason="make test-memory: gigabytes, some half an hour")
@pytest.mark.parametrize("name", HOSTILE)
def test_in_full_it_stays_below_a_gigabyte(shop: Shop, name: str) -> None:
    """Each input at its full size, with the limits that a run has by itself."""
    print(f"\n{name}: ", end="")
    run, found = measured(shop, HOSTILE[name].write(shop, MB))
    assert run.code in (0, 1), run.err
    assert found.peak_bytes < 1_000_000_000
    assert is_accounted_for(run)
    if (records := HOSTILE[name].records) is not None:
        assert run.manifest["counts"]["records_in"] == records

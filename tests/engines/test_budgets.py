"""What a run on an object store costs: requests and bytes, as an S3 server counts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import enrich
from tests.engines.catalogs import TEXT_TEMPLATE, texts
from tests.engines.s3 import CountingServer
from tests.support import FAKE_MODELS

BUCKET = "engines"
RECORDS, BUCKETS = 1_500, 8
# Those of today, of which no more than 20 and 2 are wanted.
REQUESTS_PER_BUCKET, TIMES_READ = 60, 4


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingServer]:
    with CountingServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.client.create_bucket(Bucket=BUCKET)
        yield server


def test_a_first_run_reads_little_and_asks_seldom(server: CountingServer, tmp_path: Path) -> None:
    """A first run with input, output and intermediate files on S3 asks so often a bucket, whatever
    the number of items, and reads so many times what comes in and stays.
    """
    (tmp_path / "template.yaml").write_text(TEXT_TEMPLATE)
    catalog = texts(tmp_path / "catalog.jsonl", RECORDS)
    server.client.put_object(Bucket=BUCKET, Key="catalog.jsonl", Body=catalog.read_bytes())
    server.reset()
    command = ["--template", str(tmp_path / "template.yaml"), *FAKE_MODELS, "--no-report"]
    command += ["--input", f"s3://{BUCKET}/catalog.jsonl", "--output", f"s3://{BUCKET}/out"]
    assert enrich.main([*command, "--workers", "1", "--buckets", str(BUCKETS)]) == 0
    traffic, kept = server.traffic, server.sizes(BUCKET, "out/")
    catalog_bytes, kept_bytes = catalog.stat().st_size, sum(kept)
    told = f"{catalog_bytes:,} bytes in, {kept_bytes:,} stay in {len(kept)}; {traffic.told()}"
    print(told)
    assert traffic.asked <= 100 + REQUESTS_PER_BUCKET * BUCKETS, told
    assert traffic.read_bytes <= TIMES_READ * (catalog_bytes + kept_bytes), told

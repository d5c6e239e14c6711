"""A snapshot that the real job wrote, to be altered as a fault of the writer, a disk or a catalog
would alter it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.run.accounting import add_up, run_row
from pipelines.run.carry_over import compared_of
from pipelines.snapshots.manifest import read_manifest
from pipelines.snapshots.snapshot import read_snapshot
from schemas.loading import load_template
from schemas.template import Template
from tests.support import Run, Shop
from transforms.describe.usage import Usage
from transforms.readers import SplitReport
from transforms.runtime.parquet import DataFile
from transforms.tables.bucket_report import BucketReport
from transforms.validation.drift import Compared, shifts
from transforms.validation.gate import CheckResult, check_drift, check_run, check_tables

BUCKETS = 2
ITEMS = 300
QUARANTINED = 6

TEMPLATE = """
name: gated
version: 1.0.0
record:
  id: sku
  images: {columns: photo}
attributes:
  - {name: title, type: string, role: title, from: name, required: true, max_length: 60, description: Title.}
  - {name: about, type: string, role: text, from: text, description: Text.}
  - {name: code, type: string, from: code, pattern: '[A-Z]{2}-[0-9]{3}', description: Code of the maker.}
  - {name: ean, type: identifier, scheme: gtin, from: ean, description: Bar code.}
  - {name: color, type: enum, from: color, values: [Red, Blue, Green], fill: true, description: Colour.}
  - {name: tags, type: multi_enum, from: tags, values: [new, sale, eco], description: Tags.}
  - name: weight
    type: number
    unit: g
    min: 1
    max: 5000
    from: weight
    expect: {min_coverage: 0.4, severity: critical}
    description: Weight.
  - {name: proof, type: boolean, from: proof, description: Waterproof.}
"""


def records(count: int = ITEMS) -> list[dict[str, Any]]:
    """A catalog with something of everything; a third of the colours has to be filled from titles."""
    from stdnum import ean

    colors = ("Red", "Blue", "Green")
    rows: list[dict[str, Any]] = []
    for n in range(count):
        color, stem = colors[n % 3], f"40063813{n:04}"
        rows.append(
            {
                "sku": f"s{n:04}",
                "name": f"{color} mug {n}",
                "text": f"A mug for {n % 9 + 1} cups of tea, made by hand.",
                "code": f"AB-{n % 1000:03}",
                "ean": stem + ean.calc_check_digit(stem),
                "color": color if n % 3 or n % 2 else None,
                "tags": ["new"] if n % 2 else ["sale", "eco"],
                "weight": f"{200 + 7 * (n % 50)} g" if n % 4 else None,
                "proof": "yes" if n % 5 else "no",
                "photo": f"{n % 10}.png",
            }
        )
    return [*rows, *({"name": f"nobody {n}"} for n in range(QUARANTINED))]


def make(shop: Shop) -> tuple[Run, Run]:
    """A published snapshot and the next one, which differs by one record."""
    gated = replace_template(shop)
    for n in range(10):
        gated.picture(f"{n}.png", ("red", "blue", "green", "white", "black")[n % 5], (48, 24 + n))
    catalog = gated.file("in.jsonl", records())
    first = gated.run(catalog, options=("--buckets", str(BUCKETS)))
    gated.file("in.jsonl", [{**records()[0], "name": "Red mug, large"}, *records()[1:]])
    second = gated.run(catalog, options=("--buckets", str(BUCKETS)))
    assert (first.code, second.code) == (0, 0), first.err + second.out + second.err
    return first, second


def replace_template(shop: Shop) -> Shop:
    return Shop(shop.folder, TEMPLATE)


@dataclass
class Snapshot:
    """A copy of a snapshot that may be spoilt.

    inputs: what was read of the catalog; account: changes of its numbers.

    before: what it is compared with.
    """

    folder: Path
    template: Template
    before: Compared
    reports: list[BucketReport]
    inputs: list[SplitReport]
    account: dict[str, float] = field(default_factory=dict)

    @classmethod
    def copy(cls, folder: Path, first: Run, second: Run) -> Snapshot:
        published = sorted((second.output / "snapshots").iterdir())
        shutil.copytree(published[-1], folder)
        template = load_template(str(second.output.parent / "template.yaml"))
        before = compared_of(read_snapshot(str(published[0])))
        reports = msgspec.json.decode(
            (folder / "buckets.json").read_bytes(), type=list[BucketReport]
        )
        inputs = read_manifest(str(folder / "manifest.json")).inputs
        return cls(folder, template, before, reports, inputs)

    def path(self, table: str, bucket: int = 0) -> Path:
        return self.folder / table / f"bucket-{bucket:05d}.parquet"

    def edit(
        self,
        table: str,
        change: Callable[[pa.Table], pa.Table],
        bucket: int | None = 0,
        **write: Any,
    ) -> None:
        """Write a table's file again, of one bucket or of all, as the job would: reported with its
        rows and digest.
        """
        for number in range(BUCKETS) if bucket is None else (bucket,):
            path = self.path(table, number)
            pq.write_table(change(pq.read_table(path)), path, **write)
            self.sign(table, number)

    def sign(self, table: str, bucket: int) -> None:
        path, data = self.path(table, bucket), self.path(table, bucket).read_bytes()
        rows, digest = pq.read_metadata(path).num_rows, hashlib.sha256(data).hexdigest()
        signed = DataFile(table, f"{table}/{path.name}", rows, len(data), digest)
        report = self.reports[bucket]
        self.reports[bucket] = replace(
            report, files=tuple(signed if f.table == table else f for f in report.files)
        )

    def set(
        self,
        name: str,
        value: Callable[[dict[str, Any]], Any],
        bucket: int | None = 0,
        rows: int | None = 1,
    ) -> None:
        """Set a column of items in their first rows (None: in all) to what `value` makes of the
        row.
        """

        def change(table: pa.Table) -> pa.Table:
            content = table.to_pylist()
            for row in content[:rows]:
                row[name] = value(row)
            return with_rows(table, content)

        self.edit("items", change, bucket)

    def drop_items(self, keep: Callable[[str], bool]) -> None:
        """Take items out of all tables, as if the catalog had not had them."""
        for table in ("items", "embeddings/text", "embeddings/image", "records"):
            self.edit(
                table,
                lambda t: t.filter(
                    pa.array([i is None or keep(i) for i in t["item_id"].to_pylist()])
                ),
                None,
            )
        there = sum(
            file.rows for report in self.reports for file in report.files if file.table == "items"
        )
        self.inputs = [replace(self.inputs[0], records=there + QUARANTINED, known=0, rejects=0)]

    def gate(self, accepted: bool = False) -> list[CheckResult]:
        """What the job's gate says of it."""
        results, found = check_tables(str(self.folder), self.template, self.reports, BUCKETS)
        account = add_up(self.inputs, self.reports, found, [Usage()])
        rate = account.records_quarantined / max(1, account.records_in)
        now = replace(self.before, distributions=found.distributions, quarantine_rate=rate)
        drifted = check_drift(shifts(self.template.gate, self.before, now, accepted=accepted))
        return [
            *check_run(self.template, {**run_row(account), **self.account}, found),
            *drifted,
            *results,
        ]


def with_rows(table: pa.Table, content: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(content), schema=table.schema)


def with_vectors(
    table: pa.Table, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
) -> pa.Table:
    """The embeddings table with other vectors; change: of an array of shape (rows, dimension)."""
    column = table.column(1).combine_chunks()
    matrix = change(column.flatten().to_numpy().reshape(len(column), -1).copy()).astype(np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])
    name = table.column_names[1]
    schema = table.schema.set(
        1, pa.field(name, vectors.type, False, table.schema.field(1).metadata)
    )
    return pa.table([table.column(0), vectors], schema=schema)

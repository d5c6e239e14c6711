"""Buckets whose tables of vectors are made or dropped while all their other files stay: which they
are, where they lie, and what becomes of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pipelines.configuration.plan import Plan
from pipelines.run.vectors.changes import VectorChanges
from pipelines.run.vectors.graph import REVISED
from pipelines.snapshots.layout import RunDirs
from pipelines.snapshots.snapshot import Snapshot
from schemas.tables.specs import tables_of
from transforms.embed.finished import FinishedItems
from transforms.runtime.json_files import read_reports
from transforms.tables.bucket_report import BucketReport
from transforms.tables.finished import FinishedBucket, Revised, without_tables


def revised_file(dirs: RunDirs) -> str:
    """Return where the reports of the buckets lie whose tables of vectors were made."""
    return f"{dirs.reports}/{REVISED}.json"


def finished_items(
    plan: Plan, earlier: Snapshot, changes: VectorChanges, dirs: RunDirs
) -> FinishedItems:
    """Return the buckets that have to be looked at: all of them where vectors are made, else those
    whose items may have flags of the tables that go.

    Those that this run wrote lie in its own snapshot, the others in the earlier one.
    """
    new = read_reports(f"{dirs.reports}/buckets.json", BucketReport)
    written = {report.bucket for report in new}
    buckets = [FinishedBucket(dirs.snapshot, report, is_new=True) for report in new]
    buckets += [
        FinishedBucket(earlier.path, report)
        for report in earlier.reports
        if report.bucket not in written
    ]
    spaces = tuple(space for space in plan.spaces if space.name in changes.made)
    chosen = {b.report.bucket: b for b in buckets if spaces or b.has_flagged_vectors}
    return FinishedItems(plan.template, chosen, spaces, changes.gone)


def revised_buckets(
    plan: Plan, reports: Collection[BucketReport], dirs: RunDirs
) -> Iterator[Revised]:
    """Yield what became of buckets; of those that no vector was made of, only tables that are no
    more are left out.
    """
    made = {each.report.bucket: each for each in read_reports(revised_file(dirs), Revised)}
    tables = tables_of(plan.template.spaces)
    for report in reports:
        yield made.get(report.bucket) or Revised(without_tables(report, tables))

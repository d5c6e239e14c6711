"""The scan of an incremental run: which records have to be read, and which rows stay.

The catalog is read once, in a pipeline of its own: records that the snapshot knows are counted and
not parsed. The others are normalised and spooled for the main pipeline, with all records of the
items that they belong to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.configuration.plan import Plan
from pipelines.configuration.runners import Runner, new_pipeline
from pipelines.run.selection import Selection
from pipelines.run.work import Delta, Refs, picture_access, pictures_of
from pipelines.snapshots.layout import RunDirs
from pipelines.snapshots.snapshot import Snapshot
from schemas.elements import Reject
from schemas.tables.specs import tables_of
from transforms.incremental.changes import ChangeSet, Mask, PreviousRecords
from transforms.readers import SplitReport, read_split
from transforms.readers.known_keys import (
    KeyFilter,
    Keys,
    KnownFile,
    add_up_seen,
    all_reread,
    as_keys,
)
from transforms.runtime.json_files import read_json, read_reports, write_json
from transforms.runtime.metrics import Meter
from transforms.runtime.parquet import read_parquet
from transforms.tables.merge import Base, write_drops

if TYPE_CHECKING:
    import apache_beam as beam

    from transforms.readers.read import ReadOutputs
    from transforms.runtime.spool import SpoolRef

SPOOLED = ("rows", "image_refs")
_MAX_SCANS = 4
# So much is looked through before a pipeline has begun.
GLANCE_BYTES = 8 << 20
_RESTLESS = "the catalog changes while it is being read; run again when it is written"


def find_delta(
    plan: Plan,
    earlier: Snapshot,
    dirs: RunDirs,
    runner: Runner,
    selection: Selection,
) -> Delta:
    """Read the catalog as far as the snapshot does not know it."""
    damaged = earlier.damaged_buckets()
    previous = PreviousRecords(earlier.records(damaged), plan.config.reuse.keep_deleted)
    notes = [f"{fault}; the records of its bucket are rebuilt" for fault in damaged.values()]
    if selection.item_ids is not None:
        previous.reread_items(selection.item_ids)
    elif selection.reasons is not None:
        previous.reread(
            np.isin(_keys(previous.records), quarantined_keys(earlier, selection.reasons))
        )
    else:
        previous.reread(_set_aside_once(plan, earlier, previous))
        previous.reread(previous.records["retry"].to_numpy(zero_copy_only=False).astype(np.bool_))
        previous.reread_items(changed_pictures(plan, dirs, earlier, damaged))
        previous.reread_divided_items()
    if selection.is_partial:
        changes, scanned = _read_part(plan, previous, earlier, dirs, runner, selection)
        notes += _left(previous, selection)
    else:
        changes, scanned = _read(plan, previous, dirs, runner)
    drops = f"{dirs.spool}/drops.arrow"
    write_drops(drops, changes.drops)
    touched = {*pc.unique(changes.drops["bucket"]).to_pylist(), *damaged}
    touched |= {bucket for bucket, _ in scanned.refs["rows"]}
    numbers = tuple(sorted(touched))
    files = {
        r.bucket: r.files
        for r in earlier.reports
        if r.bucket in touched and r.bucket not in damaged
    }
    untouched = tuple(report.bucket for report in earlier.reports if report.bucket not in touched)
    base = Base(
        earlier.path,
        files,
        drops,
        frozenset() if selection.embed else _text_tables(plan),
    )
    trusted = frozenset(earlier.manifest.trusted_comparisons or ())
    return Delta(
        scanned.refs,
        scanned.splits,
        base,
        numbers,
        untouched,
        changes.counts(),
        trusted,
        changes.gone,
        tuple(notes),
    )


def _text_tables(plan: Plan) -> frozenset[str]:
    texts = {space.name for space in plan.spaces if space.modality == "text"}
    tables = tables_of(plan.template.spaces).items()
    return frozenset(name for name, spec in tables if spec.space in texts)


def _set_aside_once(plan: Plan, earlier: Snapshot, previous: PreviousRecords) -> Mask:
    """Return duplicates that an earlier version set aside and that are merged today."""
    reason = "duplicate-id"
    if plan.template.record.duplicates != "merge" or not earlier.manifest.counts.quarantined.get(
        reason
    ):
        return np.zeros(previous.records.num_rows, np.bool_)
    return np.isin(_keys(previous.records), quarantined_keys(earlier, {reason}))


def quarantined_keys(earlier: Snapshot, reasons: Collection[str]) -> Keys:
    """Sorted keys of the records that are in quarantine for one of these reasons."""
    keys = []
    for file in earlier.files_of("quarantine"):
        table = read_parquet(earlier.path, file, ["reason", "input", "raw_key"])
        chosen = pc.is_in(table["reason"], value_set=pa.array(sorted(reasons)))
        keys += table.filter(chosen)["raw_key"].to_pylist()
    return np.unique(as_keys(keys))


def _keys(records: pa.Table) -> Keys:
    return as_keys(records["raw_key"].to_pylist())


def _left(previous: PreviousRecords, selection: Selection) -> list[str]:
    left = int(previous.left.sum())
    reason = (
        "the catalog no longer holds them, or others of their items, as they were; the next run "
        "takes up what changed"
    )
    if selection.reasons is not None:
        reason = (
            "they belong to items that are not in quarantine; only a whole run (--full) reads "
            "these too"
        )
    return [f"{left:,} records were not rebuilt: {reason}"] if left else []


def changed_pictures(
    plan: Plan, dirs: RunDirs, earlier: Snapshot, without: Mapping[int, str]
) -> set[str]:
    """Items of which a picture file is not the one that was read; versions are compared, not
    contents.
    """
    if not (plan.config.images_root or plan.config.fetch_images):
        return set()
    pictures = earlier.pictures(without)
    distinct = pc.unique(pictures["path"].combine_chunks()).to_pylist()
    found, meter = pictures_of(plan, dirs), Meter("recheck", dirs.heartbeats)
    if asked := len(found.fetched(distinct)):
        meter.watch({"asked": asked})
    found.get_ready(distinct, lambda count: meter.watch({"done": count}))
    if asked:
        meter.beat()
    versions = {path: found.version(path) for path in distinct}
    now = pa.array([versions[path] for path in pictures["path"].to_pylist()], pa.string())
    changed = pc.not_equal(pc.fill_null(pictures["version"], ""), pa.chunked_array([now]))
    return set(pictures["item_id"].filter(changed).to_pylist())


@dataclass(frozen=True)
class _Scanned:
    splits: tuple[SplitReport, ...]
    refs: Refs
    saved: tuple[str, ...]


def _read_part(
    plan: Plan,
    previous: PreviousRecords,
    earlier: Snapshot,
    dirs: RunDirs,
    runner: Runner,
    selection: Selection,
) -> tuple[ChangeSet, _Scanned]:
    """Read what has to be read again, and nothing else: from the catalog, or from where the
    quarantine keeps it.
    """
    from transforms.runtime.spool import by_kind, read_spool

    for _ in range(_MAX_SCANS):
        known = KnownFile.write(previous.known, dirs.spool, previous.wanted)
        pipeline = new_pipeline(runner)
        if selection.reasons is None:
            _scan(pipeline, plan, dirs, known)
        else:
            _keep_all(_replay(pipeline, plan, earlier, dirs, known), dirs)
        pipeline.run().wait_until_finish()
        scanned = _collected(dirs)
        rejects = read_spool(by_kind(ref for _, ref in scanned.refs["rows"])["Reject"], Reject)
        unreadable = [reject.message for reject in rejects if reject.reason == "file-unreadable"]
        # A run would count them, and the gate refuse; here nothing else of the catalog is read.
        if unreadable:
            raise OSError("; ".join(unreadable))
        changes = previous.compare_selected(all_reread(scanned.saved))
        if changes is not None:
            return changes, scanned
    raise RuntimeError(_RESTLESS)


def _replay(
    pipeline: beam.Pipeline, plan: Plan, earlier: Snapshot, dirs: RunDirs, known: KnownFile
) -> ReadOutputs:
    from transforms.readers.read import ReplayQuarantine

    replay = ReplayQuarantine(
        earlier.files_of("quarantine"),
        earlier.path,
        plan.template,
        plan.buckets,
        dirs.spool,
        known,
        dirs.heartbeats,
        picture_access(plan, dirs),
        plan.config.read_limits,
        plan.bucket_bytes,
    )
    read: ReadOutputs = pipeline | "Read" >> replay
    return read


def _read(
    plan: Plan,
    previous: PreviousRecords,
    dirs: RunDirs,
    runner: Runner,
) -> tuple[ChangeSet, _Scanned]:
    """Read until no unread record shares an item with one that was read; twice is mostly enough."""
    unchanged = _glance(plan, previous, dirs)
    if unchanged is not None:
        return unchanged
    for _ in range(_MAX_SCANS):
        known = previous.known
        file = KnownFile.write(known, dirs.spool)
        pipeline = new_pipeline(runner)
        _scan(pipeline, plan, dirs, file)
        pipeline.run().wait_until_finish()
        scanned = _collected(dirs)
        reread = all_reread(scanned.saved)
        changes = previous.compare(add_up_seen(scanned.saved, len(known)), reread)
        if changes is not None:
            return changes, scanned
    raise RuntimeError(_RESTLESS)


def _glance(
    plan: Plan, previous: PreviousRecords, dirs: RunDirs
) -> tuple[ChangeSet, _Scanned] | None:
    """Look through a small catalog in this process, as the pipeline would; None where any record
    has to be read, or the catalog is large.

    A pipeline takes a second to load and another before it has read a record: mostly all are known.
    """
    size_bytes = sum(split.size_bytes for split in plan.splits)
    if previous.again.any() or size_bytes > GLANCE_BYTES:
        return None
    known, meter = KeyFilter(previous.known, dirs.spool), Meter("read", dirs.heartbeats)
    reports = []
    for split in plan.splits:
        for element in read_split(split, plan.config.read_limits, known.choose):
            if not isinstance(element, SplitReport):
                return None
            reports.append(element)
            meter.add("known", element.known)
    meter.beat()
    saved = known.save()
    changes = previous.compare(add_up_seen([saved], len(known.known)), all_reread([saved]))
    if changes is None:
        return None
    reports.sort(key=repr)  # as they are collected of a pipeline
    write_json(f"{dirs.reports}/splits.json", reports)
    return changes, _Scanned(tuple(reports), dict.fromkeys(SPOOLED, ()), (saved,))


def _scan(pipeline: beam.Pipeline, plan: Plan, dirs: RunDirs, known: KnownFile) -> None:
    from transforms.readers.read import ReadCatalog

    reading = ReadCatalog(
        plan.splits,
        plan.template,
        plan.config.read_limits,
        plan.buckets,
        dirs.spool,
        dirs.heartbeats,
        known,
        picture_access(plan, dirs),
        plan.bucket_bytes,
    )
    read: ReadOutputs = pipeline | "Read" >> reading
    _keep_all(read, dirs)


def _keep_all(read: ReadOutputs, dirs: RunDirs) -> None:
    """Spool what was read, and keep where it lies for the main pipeline."""
    from transforms.runtime.stages.reports import WriteReports

    paths = [f"{dirs.reports}/scan-{name}.json" for name in SPOOLED]
    paths += [_seen_file(dirs), f"{dirs.reports}/splits.json"]
    reports = (*(getattr(read, name) for name in SPOOLED), read.seen, read.reports)
    _ = reports | "Reports" >> WriteReports(paths)


def _seen_file(dirs: RunDirs) -> str:
    return f"{dirs.reports}/scan-seen.json"


def _collected(dirs: RunDirs) -> _Scanned:
    refs = {name: _read_refs(f"{dirs.reports}/scan-{name}.json") for name in SPOOLED}
    splits = tuple(read_reports(f"{dirs.reports}/splits.json", SplitReport))
    return _Scanned(splits, refs, tuple(read_json(_seen_file(dirs))))


def _read_refs(path: str) -> list[tuple[int, SpoolRef]]:
    # JSON has no tuples, and references are compared with those that Beam carries.
    return [(bucket, tuple(ref)) for bucket, ref in read_json(path)]

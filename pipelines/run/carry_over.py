"""Parts of an earlier snapshot that a new one takes over: data files, probes, the pool of
demonstrations, answers of a language model, and rows of deleted items.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.configuration.plan import Plan
from pipelines.run.start import RunState
from pipelines.run.vectors.changes import same_spaces
from pipelines.run.versions import DESCRIPTION, asked_of
from pipelines.run.work import Delta, Kept, PreviousAnswers
from pipelines.snapshots.layout import RunDirs
from pipelines.snapshots.snapshot import POOL, STATISTICS, Snapshot
from schemas.elements import DELETED, Example
from schemas.expectations import derive_checks
from schemas.tables.arrow import PROVENANCE_SUFFIX
from schemas.template import Template
from transforms.caching.answers import forget_answers
from transforms.incremental.deleted_items import add_deleted_items
from transforms.incremental.previous_answers import PreviousAnswersConfig
from transforms.models import build_chat_model
from transforms.probes.learn import EarlierProbe
from transforms.probes.report import ProbeReport
from transforms.probes.store import FOLDER
from transforms.runtime import storage
from transforms.runtime.json_files import read_json, write_json
from transforms.runtime.parquet import DataFile, read_parquet
from transforms.runtime.sealed import DamagedFileError
from transforms.runtime.spool import SpoolRef
from transforms.tables.bucket_report import BucketReport
from transforms.tables.build import TableContext
from transforms.tables.finished import Revised
from transforms.tables.merge import EarlierRows
from transforms.validation.drift import Compared
from transforms.validation.frames import Found
from transforms.validation.gate import Checked, CheckResult

COPIED_AT_ONCE = 100


def take_over_files(earlier: Snapshot, buckets: Iterable[Revised], snapshot: str) -> None:
    """Give the new snapshot the files of these buckets that it has not written: as hard links where
    the disk allows it, else as copies.
    """
    _copy(
        (file.place(earlier.path), file.place(snapshot))
        for each in buckets
        for file in each.report.files
        if file.table not in each.written
    )


def take_over_learnt(plan: Plan, earlier: Snapshot, dirs: RunDirs) -> Kept:
    """Give the new snapshot what the earlier one has learnt of all items."""
    probes = take_over_probes(earlier, dirs.snapshot) if plan.learns else []
    return Kept(probes, take_over_pool(earlier, dirs.snapshot))


def keep_reports(dirs: RunDirs, kept: Kept) -> None:
    """Write the reports of a run that makes no item."""
    for name, reports in (("buckets", []), ("usage", []), ("probes", list(kept.probes))):
        write_json(f"{dirs.reports}/{name}.json", reports)


def take_over_probes(earlier: Snapshot, snapshot: str) -> list[ProbeReport]:
    """Give the new snapshot the earlier one's probes; their reports name the copies."""
    reports = earlier.manifest.probes
    moved = [
        replace(report, path=f"{snapshot}/{FOLDER}/{_name(report.path)}", reused=True)
        for report in reports
    ]
    _copy(
        (f"{earlier.path}/{report.path}", new.path)
        for report, new in zip(reports, moved, strict=True)
    )
    return moved


def keep_pool(dirs: RunDirs) -> list[str]:
    """Give the snapshot the items that demonstrations were chosen from; returns their
    files' names.
    """
    path = f"{dirs.reports}/{POOL}.json"
    if not storage.exists(path):
        return []
    refs: list[SpoolRef] = [tuple(ref) for ref in read_json(path)]
    kept = {name: f"{number:05d}-{index}.arrow" for number, (name, index, _) in enumerate(refs)}
    _copy((name, f"{dirs.snapshot}/{POOL}/{copy}") for name, copy in kept.items())
    return sorted(kept.values())


def take_over_pool(earlier: Snapshot, snapshot: str) -> list[SpoolRef]:
    """Give the new snapshot the earlier one's; where they lie now."""
    names = earlier.manifest.pool
    _copy((f"{earlier.path}/{POOL}/{name}", f"{snapshot}/{POOL}/{name}") for name in names)
    return [
        (
            f"{snapshot}/{POOL}/{name}",
            int(name.removesuffix(".arrow").rsplit("-", 1)[1]),
            Example.__name__,
        )
        for name in names
    ]


def earlier_probes(earlier: Snapshot) -> dict[str, EarlierProbe]:
    """Return the snapshot's probes by attribute, for training to see whether they still fit; those
    whose file is damaged are trained again.
    """
    placed = [
        replace(report, path=f"{earlier.path}/{report.path}") for report in earlier.sound_probes()
    ]
    return {
        report.attribute: EarlierProbe(report.stored, report.key, report.labels)
        for report in placed
    }


def reused_answers(
    plan: Plan,
    earlier: Snapshot,
    buckets: Iterable[int] | None,
    ask_again: Collection[str] | None = None,
    whole: bool = False,
) -> PreviousAnswers | None:
    """Return the answers of a language model on items of these buckets (None: of all) that still
    hold; None if nothing can.

    ask_again: attributes whose answers are not taken over; whole: all is, however it would be asked
    today.
    """
    asked, before = asked_of(plan), earlier.manifest.asked
    # Where no language model is asked any more, nothing better will come.
    whole = whole or (plan.config.reuse.keep_old and not plan.asks_model)
    same = {name for name, key in asked.items() if before.get(name) == key} - set(ask_again or ())
    same = set(before) if whole else same
    if not before or not (same or plan.config.reuse.keep_old):
        return None
    if buckets is None:
        damaged = earlier.damaged_buckets()
        buckets = [report.bucket for report in earlier.reports if report.bucket not in damaged]
    config = PreviousAnswersConfig(
        earlier.path,
        plan.template,
        frozenset(same - {DESCRIPTION}),
        DESCRIPTION in same,
        plan.config.reuse.keep_old,
        plan.buckets,
        None if whole else (build_chat_model(plan.models).model, plan.config.ask.prompt().hash),
    )
    return PreviousAnswers(config, earlier.files_of("items", buckets))


def earlier_rows(plan: Plan, earlier: Snapshot) -> EarlierRows | None:
    """Return the snapshot's rows, if items lie in the buckets that they will lie in."""
    if earlier.manifest.buckets != plan.buckets:
        return None
    files: dict[int, dict[str, DataFile]] = {}
    for report in earlier.reports:
        files[report.bucket] = {file.table: file for file in report.files}
    return EarlierRows(earlier.path, files, same_spaces(plan, earlier))


def keep_deleted(
    state: RunState,
    earlier: Snapshot,
    delta: Delta | None,
    reports: Sequence[BucketReport],
    dirs: RunDirs,
) -> list[BucketReport]:
    """Take over items whose records have left the catalog into the buckets that were written; their
    reports then.

    delta: None where everything was rebuilt; items of another template's snapshot are not taken
    over.
    """
    plan = state.plan
    gone = _gone_since(plan, earlier, reports, dirs) if delta is None else delta.gone
    if not gone.num_rows:
        return list(reports)
    buckets = set(gone["bucket"].to_pylist())
    files = {report.bucket: report.files for report in earlier.reports if report.bucket in buckets}
    context = TableContext(dirs.snapshot, plan.template, state.encoders, state.info)
    return add_deleted_items(earlier.path, files, gone, context, reports, plan.buckets)


def _gone_since(
    plan: Plan, earlier: Snapshot, reports: Sequence[BucketReport], dirs: RunDirs
) -> pa.Table:
    """item_id and bucket of earlier items, deleted or not, that no record of a whole new snapshot
    belongs to.
    """
    records = earlier.records(earlier.damaged_buckets())
    if earlier.manifest.versions.get("template") != plan.template.name:
        return records.slice(0, 0)
    files = [file for report in reports for file in report.files if file.table == "records"]
    ids = []
    for file in files:
        table = read_parquet(dirs.snapshot, file, ["item_id", "input"])
        # Rows of an image table alone are no item.
        ids.append(
            table.filter(pc.equal(table["input"], "catalog"))["item_id"]
            .combine_chunks()
            .drop_null()
        )
    there = pc.is_in(
        records["item_id"], value_set=pa.concat_arrays([pa.array([], pa.string()), *ids])
    )
    was_item = pc.is_in(records["fate"], value_set=pa.array(["item", DELETED]))
    return records.filter(pc.and_(was_item, pc.invert(there)))


def checked_before(earlier: Snapshot, template: Template) -> Checked:
    """Return what the gate found in the snapshot, by its manifest.

    Raises KeyError where it was checked otherwise.
    """
    entries = {(entry.column, entry.check): entry for entry in earlier.manifest.checks}
    results = []
    for check in derive_checks(template):
        if check.frame != "run":
            entry = entries[f"{check.frame}.{check.column}", check.meaning]
            results.append(CheckResult(check, entry.values, entry.unexpected))
    counts = earlier.manifest.counts
    by_input = {
        "catalog": counts.quarantined,
        "image-table": counts.image_rows_quarantined,
        "model-answer": counts.answers_quarantined,
    }
    return results, Found(
        counts.items,
        {kind: Counter(reasons) for kind, reasons in by_input.items() if reasons},
        deleted=counts.items_deleted,
        distributions=compared_of(earlier).distributions,
    )


def compared_of(earlier: Snapshot) -> Compared:
    """Return what a snapshot is compared by.

    Raises KeyError where it does not say, as those of earlier versions, and DamagedFileError.
    """
    path = f"{earlier.path}/{STATISTICS}"
    if STATISTICS not in earlier.manifest.beside and storage.is_missing(path):
        raise KeyError(path)
    data = earlier.read_beside(STATISTICS)
    try:
        return Compared.of_row(msgspec.json.decode(data))
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path} is damaged: {error}") from error


def digests_beside(snapshot: str, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files of a snapshot, by their paths below it."""
    paths = {name: storage.join(snapshot, *name.split("/")) for name in names}
    return {
        name: hashlib.sha256(storage.read_bytes(path)).hexdigest() for name, path in paths.items()
    }


def _copy(pairs: Iterable[tuple[str, str]]) -> None:
    remote = []
    for source, target in pairs:
        if not (storage.is_local(source) and storage.is_local(target)):
            remote.append((source, target))
            continue
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another disk, or one without links
            storage.copy_files([source], [target])
    for begin in range(0, len(remote), COPIED_AT_ONCE):
        sources, targets = zip(*remote[begin : begin + COPIED_AT_ONCE], strict=True)
        storage.copy_files(sources, targets)


def _name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def forget(
    earlier: Snapshot, answers: str, item_ids: Collection[str], attributes: Collection[str]
) -> int:
    """Discard the cached answers that these items' values came from, and return how many.

    answers: the folder that they are in; attributes: whose answers; all if none are named. The
    caller holds the lock: what is discarded here is paid for again.
    """
    wanted = pa.array(sorted(item_ids), pa.string())
    fingerprints: set[str | None] = set()
    for file in earlier.files_of("items"):
        table = read_parquet(earlier.path, file)
        table = table.filter(pc.is_in(table["item_id"], value_set=wanted))
        for name in table.column_names:
            attribute = name.removesuffix(PROVENANCE_SUFFIX)
            if attribute != name and (not attributes or attribute in attributes):
                fingerprints.update(_fingerprints(table[name].combine_chunks()))
    return forget_answers(answers, {each for each in fingerprints if each is not None})


def _fingerprints(provenance: pa.StructArray) -> list[str | None]:
    """Return the fingerprints of the answers among what values stem from."""
    method = pc.fill_null(pc.struct_field(provenance, "method"), "")
    from_model = pc.starts_with(method, "mllm:")
    return list(pc.struct_field(provenance, "fingerprint").filter(from_model).to_pylist())

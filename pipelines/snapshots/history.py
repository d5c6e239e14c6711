"""The snapshots of an output: listing, publishing, rollback.

All commands read this one history. Files may be shared by several snapshots of a local disk (hard
links), see pruning.py for their removal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipelines.snapshots.layout import MANIFEST, POINTER, SNAPSHOTS, Layout
from pipelines.snapshots.locks import output_lock
from pipelines.snapshots.manifest import read_manifest
from pipelines.snapshots.publication import (
    Pointer,
    PointerError,
    is_run_id,
    mend_link,
    move_pointer,
    pointer_version,
    read_pointer,
)
from pipelines.snapshots.snapshot import Snapshot
from transforms.runtime import storage
from transforms.runtime.conditional import ChangedError
from transforms.runtime.listing import folder_names
from transforms.runtime.sealed import DamagedFileError

HALF_WRITTEN = f"it has no {MANIFEST}: half written"


class HistoryError(Exception):
    """A request that cannot be met; the message says why, and what can be asked."""


class RefusedError(HistoryError):
    """A request that makes sense and would do harm; the message says which."""


class DamagedSnapshotError(HistoryError, DamagedFileError):
    """The snapshot that was asked for is there, and cannot be read; the message says why."""

    remedy = "`catalog-enrich snapshots OUTPUT` lists those that can be read"


class UnreadablePointerError(HistoryError, DamagedFileError):
    """Nobody can tell which snapshot readers are sent to; the message says what mends it."""

    remedy = ""


@dataclass(frozen=True, slots=True)
class BrokenSnapshot:
    """A folder below `snapshots/` that is not a snapshot for readers. problem: why not."""

    run_id: str
    path: str
    is_current: bool
    problem: str

    @property
    def is_half(self) -> bool:
        """Whether its run never came to the manifest, which is written last."""
        return self.problem == HALF_WRITTEN


def list_snapshots(output: str) -> list[Snapshot]:
    """Return the snapshots of an output, oldest first by the time their runs began."""
    return list_folders(output)[0]


def list_folders(output: str) -> tuple[list[Snapshot], list[BrokenSnapshot]]:
    """Return the snapshots of an output, oldest first, and the folders that are none, by run id.

    Folders with other names than runs give are neither.
    """
    pointer, is_known = known_pointer(output)
    current = "" if pointer is None else pointer.run_id
    seen = None  # nothing but the manifests says which readers have seen
    if is_known:
        seen = _listed(pointer)
    snapshots, broken = [], []
    for run_id in filter(is_run_id, folder_names(storage.join(output, SNAPSHOTS))):
        path = storage.join(output, SNAPSHOTS, run_id)
        found = _read_folder(path, run_id, is_current=run_id == current)
        if isinstance(found, BrokenSnapshot):
            broken.append(found)
            continue
        was_seen = seen is None or run_id in seen
        snapshots.append(replace(found, is_published=found.manifest.published and was_seen))
    return sorted(snapshots, key=lambda each: (each.manifest.started, each.run_id)), broken


def known_pointer(output: str) -> tuple[Pointer | None, bool]:
    """Return the pointer, None where there is none, and whether it is known that this is so."""
    try:
        return read_pointer(output), True
    except PointerError:
        return None, False


def _listed(pointer: Pointer | None) -> tuple[str, ...] | None:
    """Return the run ids that readers have seen; None where a pointer does not list them."""
    if pointer is None:
        return ()
    if pointer.published is None:
        return None
    missing = () if pointer.run_id in pointer.published else (pointer.run_id,)
    return (*pointer.published, *missing)


def foreign_folders(output: str) -> list[str]:
    """Return names of folders among the snapshots that no run has made."""
    names = folder_names(storage.join(output, SNAPSHOTS))
    return [name for name in names if not is_run_id(name)]


def current_run(output: str) -> str:
    """Return the run id that readers are sent to, or the empty string, also where the pointer
    cannot be read.
    """
    try:
        return pointed_to(output)
    except HistoryError:
        return ""


def pointed_to(output: str) -> str:
    """Return the run id that readers are sent to, empty where there is no pointer.

    Raises HistoryError if it is no use.
    """
    try:
        pointer = read_pointer(output)
    except PointerError as error:
        raise UnreadablePointerError(str(error)) from error
    return "" if pointer is None else pointer.run_id


def pointer_fault(output: str) -> str:
    """Return what is wrong with the pointer, or the empty string: also that snapshots lie there and
    it names none of them.
    """
    try:
        run_id = pointed_to(output)
    except HistoryError as error:
        return str(error)
    snapshots, broken = list_folders(output)
    is_there = any(info.is_current for info in snapshots) or any(b.is_current for b in broken)
    if is_there or not (run_id or any(info.manifest.published for info in snapshots)):
        return ""
    return str(_without_current(output))


@dataclass(slots=True)
class Held:
    """An output whose lock is held.

    pointer: version of the pointer as this process knows it; warnings: for the operator, to which
    one is added if the lock is lost.
    """

    output: str
    pointer: str
    warnings: list[str]

    def move_pointer(self, run_id: str, published: Sequence[str]) -> list[str]:
        """Let readers see another snapshot; returns warnings for the operator.

        Raises RefusedError where another command has moved the pointer although the lock was held:
        a lock in an object store keeps nobody off who does not see it.
        """
        try:
            self.pointer, warnings = move_pointer(self.output, run_id, published, self.pointer)
        except ChangedError as error:
            raise RefusedError(
                f"another command has changed {storage.join(self.output, POINTER)} meanwhile; "
                "readers see what it published, run this again"
            ) from error
        return warnings


@contextmanager
def held_output(output: str, run_id: str, command: str) -> Iterator[Held]:
    """Hold the output as its one writer, with a link that says what the pointer says.

    Raises as `output_lock` does.
    """
    with output_lock(output, run_id, command) as warnings:
        warnings += mend_link(output)
        yield Held(output, pointer_version(output), warnings)


def publish(layout: Layout, held: Held) -> list[str]:
    """Make a snapshot that is written whole the current one; returns warnings for the operator.

    The caller has called `layout.sync`: on a local disk everything is on the platter before the
    pointer names it. Raises RefusedError.
    """
    before = [each for each in seen_runs(layout.output) if each != layout.run_id]
    return held.move_pointer(layout.run_id, [*before, layout.run_id])


def seen_runs(output: str) -> list[str]:
    """Return the run ids that readers have seen, in the order in which they first did."""
    pointer, is_known = known_pointer(output)
    listed = _listed(pointer) if is_known else None
    if listed is not None:
        return list(listed)
    return [info.run_id for info in list_snapshots(output) if info.is_published]


def published_run(output: str, named: str) -> Snapshot:
    """Return a published snapshot by run id, `current` or `previous`.

    Raises HistoryError, DamagedSnapshotError where it is there and cannot be read.
    """
    if named in ("current", "previous"):
        pointed_to(output)  # raises where nobody can tell which they are
    infos = _seen_folders(output)
    at = {info.run_id: number for number, info in enumerate(infos)}
    current = next((number for number, info in enumerate(infos) if info.is_current), None)
    number = at.get(named)
    if named in ("current", "previous"):
        if current is None:
            raise _without_current(output)
        number = current if named == "current" else current - 1
    if number is None or number < 0:
        known = ", ".join(at) or "none"
        what = (
            "no snapshot before the current one"
            if named == "previous"
            else f"no published snapshot {named!r}"
        )
        raise HistoryError(f"{output!r} has {what}; published are: {known}")
    return _whole(infos[number])


def _without_current(output: str) -> HistoryError:
    """Return what to raise where no folder is the one that readers are sent to."""
    pointed, path = pointed_to(output), storage.join(output, POINTER)
    fix = (
        f"`catalog-enrich rollback {output} --to RUN_ID` publishes a snapshot, "
        f"`catalog-enrich snapshots {output}` lists them"
    )
    if pointed:
        return UnreadablePointerError(f"{path} names run {pointed}, which is not there; {fix}")
    if _passed(output):
        return UnreadablePointerError(f"{path} is missing; {fix}")
    return HistoryError(
        f"{output!r} has no current snapshot; `catalog-enrich snapshots {output}` lists all"
    )


def snapshots_without_pointer(output: str) -> list[Snapshot]:
    """Return the snapshots that passed their gate where there is no pointer: it was lost, or a
    first run was killed just before it. Raises UnreadablePointerError.
    """
    return [] if pointed_to(output) else list(_passed(output).values())


def _seen_folders(output: str) -> list[Snapshot | BrokenSnapshot]:
    """Return what readers have seen, oldest first, with what cannot be read any more: else
    `previous` would name another snapshot than it did.
    """
    snapshots, broken = list_folders(output)
    seen = set(seen_runs(output))
    folders: list[Snapshot | BrokenSnapshot] = [info for info in snapshots if info.is_published]
    folders += [each for each in broken if each.run_id in seen or each.is_current]
    began = {info.run_id: info.manifest.started for info in snapshots}
    return sorted(folders, key=lambda each: (began.get(each.run_id) or _began(each), each.run_id))


def _began(folder: Snapshot | BrokenSnapshot) -> dt.datetime:
    """Return when a run began, by its id."""
    then = dt.datetime.strptime(folder.run_id.partition("-")[0], "%Y%m%dT%H%M%SZ")
    return then.replace(tzinfo=dt.UTC)


def _whole(found: Snapshot | BrokenSnapshot) -> Snapshot:
    """Return a snapshot that can be read. Raises DamagedSnapshotError."""
    if isinstance(found, BrokenSnapshot):
        raise DamagedSnapshotError(f"{found.path} cannot be looked at: {found.problem}")
    return found


def named_snapshot(output: str, named: str) -> Snapshot:
    """Return a snapshot to look at: by its folder's path, or of `output` by run id (refused ones
    too), `current`, `previous`.

    Raises HistoryError.
    """
    found: Snapshot | BrokenSnapshot | None
    if "/" in named:
        found = _read_folder(named.rstrip("/"))
    elif not output:
        raise HistoryError(
            f"{named}: name its --output, or write the path of a snapshot's folder (./{named})"
        )
    else:
        snapshots, broken = list_folders(output)
        folders: list[Snapshot | BrokenSnapshot] = [*snapshots, *broken]
        found = next((each for each in folders if each.run_id == named), None)
    if found is None:
        return published_run(output, named)
    if isinstance(found, BrokenSnapshot) and found.is_half and not found.is_current:
        raise HistoryError(f"{found.path} is not a snapshot to look at: {found.problem}")
    return _whole(found)


def roll_back(
    held: Held, named: str = "previous", before_moving: Callable[[], None] = lambda: None
) -> tuple[Snapshot, list[str]]:
    """Make an earlier snapshot the current one, if all its files are whole. Gives warnings too.

    Where the pointer is lost any snapshot that passed its gate may be named. before_moving: called
    when every file has been read, before readers see another snapshot. Raises HistoryError,
    RefusedError where files are damaged.
    """
    output = held.output
    info = None if current_run(output) else _passed(output).get(named)
    info = info or published_run(output, named)
    faults = info.faults()
    if faults:
        listed = "; ".join(faults[:5])
        if len(faults) > 5:
            listed += f" and {len(faults) - 5} more"
        raise RefusedError(
            f"{info.run_id} is damaged, readers keep the current snapshot: {listed}; "
            f"`catalog-enrich rollback {output} --to RUN_ID` goes back to another"
        )
    seen = seen_runs(output)
    seen += [] if info.run_id in seen else [info.run_id]
    before_moving()
    return info, held.move_pointer(info.run_id, seen)


def _passed(output: str) -> dict[str, Snapshot]:
    return {info.run_id: info for info in list_snapshots(output) if info.manifest.published}


def _reason(error: Exception, path: str) -> str:
    if isinstance(error, DamagedFileError):
        return str(error).removeprefix(f"{path} ")
    return f"{type(error).__name__}: {error}"


def _read_folder(
    path: str, run_id: str = "", *, is_current: bool = False
) -> Snapshot | BrokenSnapshot:
    """Return the snapshot in a folder. run_id: empty for what the manifest says."""
    manifest_path = storage.join(path, MANIFEST)
    try:
        manifest = read_manifest(manifest_path)
    except Exception as error:  # whatever half a file, or an object store, brings
        # Half-written ones are removed; a disk that fails for a moment must not make one of a whole
        # snapshot.
        problem = f"its {MANIFEST} cannot be read ({_reason(error, manifest_path)})"
        if storage.is_missing(manifest_path):
            problem = HALF_WRITTEN
        return BrokenSnapshot(run_id, path, is_current, problem)
    if run_id and manifest.run_id != run_id:
        problem = f"its {MANIFEST} is that of run {manifest.run_id}"
        return BrokenSnapshot(run_id, path, is_current, problem)
    return Snapshot(run_id or manifest.run_id, path, manifest, is_current, manifest.published)

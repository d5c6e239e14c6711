"""The snapshots of an output: listing, rollback, and removal of those that nobody needs.

Files may be shared by several snapshots of a local disk (hard links): removing a folder takes
nothing from others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipelines.snapshots.layout import (
    KEPT,
    MANIFEST,
    POINTER,
    SNAPSHOTS,
    WORK,
    point_to,
    read_pointer,
)
from pipelines.snapshots.manifest import read_manifest
from pipelines.snapshots.snapshot import Snapshot
from transforms.runtime import storage

HALF_WRITTEN = "it has no manifest: half written"


class HistoryError(Exception):
    """A request that cannot be met; the message says why, and what can be asked."""


class RefusedError(HistoryError):
    """A request that makes sense and would do harm; the message says which."""


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
    """Return the snapshots of an output, oldest first, and the folders that are none, by run id."""
    current, snapshots, broken = current_run(output), [], []
    for run_id in storage.folder_names(storage.join(output, SNAPSHOTS)):
        path = storage.join(output, SNAPSHOTS, run_id)
        found = _read_folder(path, run_id, is_current=run_id == current)
        snapshots.append(found) if isinstance(found, Snapshot) else broken.append(found)
    return sorted(snapshots, key=lambda each: (each.manifest.started, each.run_id)), broken


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
    except Exception as error:  # whatever half a file, or an object store, brings
        raise HistoryError(
            f"{storage.join(output, POINTER)} cannot be read ({type(error).__name__}: {error});"
            f" `catalog-enrich rollback {output} --to RUN_ID` writes it again"
        ) from error
    return "" if pointer is None else pointer.run_id


def published_run(output: str, named: str) -> Snapshot:
    """Return a published snapshot by run id, `current` or `previous`. Raises HistoryError."""
    infos = [info for info in list_snapshots(output) if info.manifest.published]
    at = {info.run_id: number for number, info in enumerate(infos)}
    current = next((number for number, info in enumerate(infos) if info.is_current), None)
    number = at.get(named)
    if named in ("current", "previous"):
        if current is None:
            raise HistoryError(
                f"{output!r} has no current snapshot; `catalog-enrich snapshots {output}` lists all"
            )
        number = current if named == "current" else current - 1
    if number is None or number < 0:
        known = ", ".join(at) or "none"
        what = (
            "no snapshot before the current one"
            if named == "previous"
            else f"no published snapshot {named!r}"
        )
        raise HistoryError(f"{output!r} has {what}; published are: {known}")
    return infos[number]


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
    if isinstance(found, BrokenSnapshot):
        raise HistoryError(f"{found.path} is not a snapshot to look at: {found.problem}")
    return found


def roll_back(output: str, named: str = "previous") -> tuple[Snapshot, list[str]]:
    """Make an earlier snapshot the current one, if all its files are whole. Gives warnings too.

    Raises HistoryError, RefusedError where files are damaged. The caller holds the lock.
    """
    info = published_run(output, named)
    faults = info.faults()
    if faults:
        listed = "; ".join(faults[:5])
        if len(faults) > 5:
            listed += f" and {len(faults) - 5} more"
        raise RefusedError(f"{info.run_id} is damaged, readers keep the current snapshot: {listed}")
    return info, point_to(output, info.run_id)


def to_prune(infos: Sequence[Snapshot], keep: int) -> list[Snapshot]:
    """Return what goes when `keep` published snapshots stay: older ones, and of refused ones all
    but the newest `keep`.

    The current one always stays, and counts.
    """
    published = [info for info in infos if info.manifest.published and not info.is_current]
    refused = [info for info in infos if not info.manifest.published]
    kept = keep - any(info.is_current for info in infos)
    return [*published[: max(0, len(published) - kept)], *refused[: max(0, len(refused) - keep)]]


def prune(output: str, keep: int) -> list[Snapshot]:
    """Remove what `to_prune` names; returns what is gone. The caller holds the lock.

    Where the pointer cannot be read nothing goes: it might name one of them.
    """
    try:
        pointed_to(output)
    except HistoryError:
        return []
    return (
        [info for info in to_prune(list_snapshots(output), keep) if _remove(info)] if keep else []
    )


def _remove(info: Snapshot) -> bool:
    """Remove a snapshot; the manifest goes first, so that what a killed prune leaves does not look
    whole.
    """
    try:
        storage.delete_files([storage.join(info.path, MANIFEST)])
    except Exception:  # a folder that nobody may write: it stays, whole
        return False
    storage.remove_folder(info.path)
    return True


def leftovers(output: str, own: Collection[str] = ()) -> list[str]:
    """Folders of runs that broke off without a word: half-written snapshots and work.

    own: run ids to leave out.
    """
    _, broken = list_folders(output)
    halves = [
        each.path
        for each in broken
        if each.is_half and not each.is_current and each.run_id not in own
    ]
    work = storage.join(output, WORK)
    dead = [
        storage.join(work, run_id) for run_id in storage.folder_names(work) if run_id not in own
    ]
    return [
        *halves,
        *(path for path in dead if not storage.exists(storage.join(path, KEPT))),
    ]


def remove_leftovers(output: str, own: Collection[str] = ()) -> list[str]:
    """Remove what killed runs left; returns what is gone.

    The caller holds the lock, so none of them is at work.
    """
    found = leftovers(output, own)
    for path in found:
        storage.remove_folder(path)
    still = set(leftovers(output, own)) if found else set()
    return [path for path in found if path not in still]


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
        problem = f"its manifest cannot be read ({type(error).__name__}: {error})"
        if storage.is_missing(manifest_path):
            problem = HALF_WRITTEN
        return BrokenSnapshot(run_id, path, is_current, problem)
    return Snapshot(run_id or manifest.run_id, path, manifest, is_current)

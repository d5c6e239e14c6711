"""What nobody needs any more: snapshots beyond those that are kept, and what dead runs have left.

What is removed is a run's: a real folder, named as runs name theirs, below the output's own folder;
what else lies there, links included, is left alone. Files may be shared by several snapshots of a
local disk (hard links): removing a folder takes nothing from others.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pipelines.snapshots.history import (
    Held,
    RefusedError,
    known_pointer,
    list_folders,
    list_snapshots,
    pointed_to,
    seen_runs,
)
from pipelines.snapshots.layout import KEPT, MANIFEST, POINTER, SNAPSHOTS, WORK
from pipelines.snapshots.publication import is_run_id
from pipelines.snapshots.snapshot import Snapshot
from transforms.runtime import storage
from transforms.runtime.listing import folder_names


def to_prune(output: str, keep: int) -> list[Snapshot]:
    """Return what goes when `keep` published snapshots stay: older ones, and of those that no
    reader has seen (refused, or killed before they were published) all but the newest `keep`.

    The current one always stays, and counts. Raises HistoryError where the pointer cannot be read,
    RefusedError where the current snapshot is not whole, or the pointer is gone: one of the others
    may be all that readers can go back to.
    """
    run_id, infos = pointed_to(output), list_snapshots(output)
    current = next((info for info in infos if info.is_current), None)
    if run_id:
        _refuse_damaged(output, run_id, current)
    elif any(info.manifest.published for info in infos):
        # Not known is which of them readers have seen.
        raise RefusedError(
            f"{storage.join(output, POINTER)} is missing, so all snapshots are kept; "
            f"`catalog-enrich rollback {output} --to RUN_ID` publishes one of them again"
        )
    published = [info for info in infos if info.is_published and not info.is_current]
    unseen = [info for info in infos if not info.is_published and not info.is_current]
    kept = keep if current is None else keep - 1
    going = [*published[: max(0, len(published) - kept)], *unseen[: max(0, len(unseen) - keep)]]
    return [info for info in going if _is_own(output, SNAPSHOTS, info.run_id)]


def _refuse_damaged(output: str, run_id: str, current: Snapshot | None) -> None:
    fault = f"{POINTER} names it, and its folder is gone"
    broken = {each.run_id: each.problem for each in list_folders(output)[1]}
    if run_id in broken:
        fault = broken[run_id]
    elif current is not None:
        fault = next(iter(current.quick_faults()), "")
    if fault:
        raise RefusedError(
            f"the published snapshot {run_id} is damaged ({fault}), so all others are kept; "
            f"`catalog-enrich rollback {output}` goes back to one that is whole, and the next run "
            "mends it"
        )


def kept_though_damaged(output: str) -> list[str]:
    """Return what is wrong with snapshots that no `prune` removes, since they cannot be read."""
    seen = set(seen_runs(output))
    broken = list_folders(output)[1]
    return [
        f"{each.path}: {each.problem}" for each in broken if not each.is_half or each.run_id in seen
    ]


def prune(held: Held, keep: int) -> list[Snapshot]:
    """Remove what `to_prune` names; returns what is gone.

    They leave the history first: what a killed prune leaves is no published snapshot any more.
    Raises what `to_prune` does.
    """
    output = held.output
    going = to_prune(output, keep)
    gone = {info.run_id for info in going}
    current = pointed_to(output)
    if going and current:
        held.move_pointer(current, [each for each in seen_runs(output) if each not in gone])
    return [info for info in going if _remove(info)]


def _is_own(output: str, *parts: str) -> bool:
    """Tell whether a run made a folder below the output: a real one, and by its name."""
    if not is_run_id(parts[-1]):
        return False
    if not storage.is_local(output):
        return True
    path = Path(output, *parts)
    return path.is_dir() and path.resolve() == Path(output).resolve().joinpath(*parts)


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
    _, is_known = known_pointer(output)
    seen = seen_runs(output)
    # Where the pointer cannot be read, readers may have seen any of them.
    halves = [
        each.path
        for each in broken
        if is_known
        and each.is_half
        and not each.is_current
        and each.run_id not in (*seen, *own)
        and _is_own(output, SNAPSHOTS, each.run_id)
    ]
    work = storage.join(output, WORK)
    dead = [
        storage.join(work, run_id)
        for run_id in folder_names(work)
        if run_id not in own and _is_own(output, WORK, run_id)
    ]
    return [
        *halves,
        *(path for path in dead if not _is_kept(path)),
    ]


def _is_kept(work: str) -> bool:
    """Tell whether a run's work was kept on purpose; whatever has the mark's name says so."""
    mark = storage.join(work, KEPT)
    return storage.exists(mark) or (storage.is_local(mark) and Path(mark).is_symlink())


def remove_leftovers(output: str, own: Collection[str] = ()) -> list[str]:
    """Remove what killed runs left; returns what is gone.

    The caller holds the lock, so none of them is at work.
    """
    found = leftovers(output, own)
    for path in found:
        storage.remove_folder(path)
    still = set(leftovers(output, own)) if found else set()
    return [path for path in found if path not in still]

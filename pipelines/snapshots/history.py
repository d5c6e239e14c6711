"""The snapshots of an output: listed, gone back to, and removed when nobody needs them.

Files may be shared by several snapshots of a local disk (hard links): removing a folder takes
nothing from others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.snapshots.layout import KEPT, is_local, point_to, remove_folder
from pipelines.snapshots.published import MANIFEST, POINTER
from transforms.runtime.parquet import DamagedFileError, DataFile, read_bytes

SNAPSHOTS, WORK = "snapshots", "_work"
HALF_WRITTEN = "it has no manifest: half written"


class HistoryError(Exception):
    """What was asked of the snapshots cannot be done; the message says why and what can."""


class RefusedError(HistoryError):
    """What was asked makes sense, and would do harm; the message says which."""


class _Counts(msgspec.Struct):
    items: int
    records_quarantined: int
    values: dict[str, dict[str, int]]


class _Told(msgspec.Struct):
    """What of a manifest nothing here can do without; it may say more."""

    run_id: str
    published: bool
    buckets: int
    counts: _Counts
    files: list[DataFile]


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A folder of a snapshot.

    problem: why it is none for readers, empty where it is one; manifest: empty then.
    """

    run_id: str
    path: str
    is_current: bool
    manifest: Mapping[str, Any]
    problem: str = ""

    @property
    def is_half(self) -> bool:
        """Whether its run never came to the manifest, which is written last."""
        return self.problem == HALF_WRITTEN

    @property
    def is_published(self) -> bool:
        return bool(self.manifest.get("published"))

    @property
    def based_on(self) -> str:
        """The run that it went on from, or the empty string."""
        return str(self.manifest.get("based_on") or "")

    @property
    def filled(self) -> int:
        """Values that the source did not give."""
        by_source = [
            each for values in self.manifest["counts"]["values"].values() for each in values.items()
        ]
        return sum(
            number
            for source, number in by_source
            if source != "record" and not source.startswith("unknown:")
        )

    @property
    def files(self) -> list[DataFile]:
        return msgspec.convert(self.manifest["files"], list[DataFile])


def list_snapshots(output: str) -> list[SnapshotInfo]:
    """All folders below snapshots/, oldest first by the time their runs began, then by run id."""
    current = current_run(output)
    found = [_info(output, run_id, current) for run_id in _run_ids(output)]
    return sorted(found, key=lambda info: (str(info.manifest.get("started", "")), info.run_id))


def current_run(output: str) -> str:
    """The run id that readers are sent to, or the empty string, also where the pointer cannot be
    read.
    """
    try:
        return pointed_to(output)
    except HistoryError:
        return ""


def pointed_to(output: str) -> str:
    """The run id that readers are sent to, empty where there is no pointer.

    Raises HistoryError if it is no use.
    """
    path = FileSystems.join(output, POINTER)
    try:
        return str(_read_json(path)["run_id"])
    except Exception as error:  # whatever half a file, or an object store, brings
        if _is_missing(path):
            return ""
        mended = f"`catalog-enrich rollback {output} --to RUN_ID` writes it anew"
        raise HistoryError(
            f"{path} cannot be read ({type(error).__name__}: {error}); {mended}"
        ) from error


def published_run(output: str, named: str) -> SnapshotInfo:
    """A published snapshot by run id, `current` or `previous`. Raises HistoryError."""
    infos = [info for info in list_snapshots(output) if info.is_published]
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


def named_snapshot(output: str, named: str) -> SnapshotInfo:
    """A snapshot to look at: by its folder's path, or of `output` by run id (refused ones too),
    `current`, `previous`.

    Raises HistoryError.
    """
    if "/" in named:
        info = _info_at(named.rstrip("/"))
    elif not output:
        raise HistoryError(
            f"{named}: name its --output, or write the path of a snapshot's folder (./{named})"
        )
    else:
        every = {info.run_id: info for info in list_snapshots(output)}
        info = every[named] if named in every else published_run(output, named)
    if info.problem:
        raise HistoryError(f"{info.path} is no snapshot to look at: {info.problem}")
    return info


def faults_of(info: SnapshotInfo) -> Iterator[str]:
    """What is wrong with the files that a manifest names."""
    for file in info.files:
        try:
            read_bytes(info.path, file)
        except DamagedFileError as error:
            yield str(error)
        except Exception as error:  # each object store has its own exceptions for what is missing
            yield f"{file.path} cannot be read ({type(error).__name__})"


def roll_back(output: str, named: str = "previous") -> tuple[SnapshotInfo, list[str]]:
    """Make an earlier snapshot the current one, if all its files are whole. Gives warnings too.

    Raises HistoryError, RefusedError where files are damaged. The caller holds the lock.
    """
    info = published_run(output, named)
    faults = list(faults_of(info))
    if faults:
        shown = "; ".join(faults[:5]) + (f" and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise RefusedError(f"{info.run_id} is not whole, readers keep what they have: {shown}")
    return info, point_to(output, info.run_id)


def to_prune(infos: Sequence[SnapshotInfo], keep: int) -> list[SnapshotInfo]:
    """What goes when `keep` published snapshots stay: older ones, and of refused ones all but the
    newest `keep`.

    The current one always stays, and counts.
    """
    published = [info for info in infos if info.is_published and not info.is_current]
    refused = [info for info in infos if not info.is_published and not info.problem]
    kept = keep - any(info.is_current for info in infos)
    return [*published[: max(0, len(published) - kept)], *refused[: max(0, len(refused) - keep)]]


def prune(output: str, keep: int) -> list[SnapshotInfo]:
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


def _remove(info: SnapshotInfo) -> bool:
    """Remove a snapshot; the manifest goes first, so that what a killed prune leaves does not look
    whole.
    """
    try:
        FileSystems.delete([FileSystems.join(info.path, MANIFEST)])
    except Exception:  # a folder that nobody may write: it stays, whole
        return False
    remove_folder(info.path)
    return True


def leftovers(output: str, own: Collection[str] = ()) -> list[str]:
    """Folders of runs that broke off without a word: half-written snapshots and work.

    own: run ids to leave out.
    """
    infos = list_snapshots(output)
    halves = [
        info.path
        for info in infos
        if info.is_half and not info.is_current and info.run_id not in own
    ]
    work = FileSystems.join(output, WORK)
    dead = [FileSystems.join(work, run_id) for run_id in _folders(work) if run_id not in own]
    return [
        *halves,
        *(path for path in dead if not FileSystems.exists(FileSystems.join(path, KEPT))),
    ]


def remove_leftovers(output: str, own: Collection[str] = ()) -> list[str]:
    """Remove what killed runs left; returns what is gone.

    The caller holds the lock, so none of them is at work.
    """
    found = leftovers(output, own)
    for path in found:
        remove_folder(path)
    still = set(leftovers(output, own)) if found else set()
    return [path for path in found if path not in still]


def size_bytes(info: SnapshotInfo) -> int:
    """Of all data files, shared ones too."""
    return sum(file.bytes for file in info.files)


def _info(output: str, run_id: str, current: str) -> SnapshotInfo:
    return _info_at(
        FileSystems.join(output, SNAPSHOTS, run_id), run_id, is_current=run_id == current
    )


def _info_at(path: str, run_id: str = "", *, is_current: bool = False) -> SnapshotInfo:
    """The snapshot in a folder. run_id: empty for what the manifest says."""
    manifest_path = FileSystems.join(path, MANIFEST)
    try:
        manifest = _read_json(manifest_path)
        told = msgspec.convert(manifest, _Told)
    except Exception as error:  # whatever half a file, or an object store, brings
        # Half-written ones are removed; a disk that fails for a moment must not make one of a whole
        # snapshot.
        unread = f"its manifest cannot be read ({type(error).__name__}: {error})"
        problem = HALF_WRITTEN if _is_missing(manifest_path) else unread
        return SnapshotInfo(run_id, path, is_current, {}, problem)
    return SnapshotInfo(run_id or told.run_id, path, is_current, manifest)


def _is_missing(path: str) -> bool:
    """Whether it is sure that there is no such file."""
    try:
        return not Path(path).exists() if is_local(path) else not FileSystems.exists(path)
    except Exception:  # nobody can tell
        return False


def _run_ids(output: str) -> list[str]:
    return _folders(FileSystems.join(output, SNAPSHOTS))


def _folders(path: str) -> list[str]:
    if is_local(path):
        return (
            sorted(each.name for each in Path(path).iterdir() if each.is_dir())
            if Path(path).is_dir()
            else []
        )
    # An object store has no folders but the beginnings of names.
    found = FileSystems.match([FileSystems.join(path, "**")])[0].metadata_list
    beginning = path.rstrip("/") + "/"
    return sorted({each.path.removeprefix(beginning).split("/", 1)[0] for each in found})


def _read_json(path: str) -> Any:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return msgspec.json.decode(file.read())

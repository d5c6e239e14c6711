"""The snapshots of an output: listed, gone back to, and removed when nobody needs them.

Files may be shared by several snapshots of a local disk (hard links): removing a folder takes nothing from others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.earlier_snapshot import MANIFEST, POINTER
from pipelines.snapshots import KEPT, is_local, point_to, remove_folder
from transforms.data_files import DamagedFileError, DataFile, read_bytes

SNAPSHOTS, WORK = "snapshots", "_work"
HALF_WRITTEN = "it has no manifest: half written"


class HistoryError(Exception):
    """What was asked of the snapshots cannot be done; the message says why and what can."""


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A folder below snapshots/. problem: why it is none for readers, empty where it is one."""

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


def list_snapshots(output: str) -> list[SnapshotInfo]:
    """All folders below snapshots/, oldest first by the time their runs began, then by run id."""
    current = current_run(output)
    found = [_info(output, run_id, current) for run_id in _run_ids(output)]
    return sorted(found, key=lambda info: (str(info.manifest.get("started", "")), info.run_id))


def current_run(output: str) -> str:
    """The run id that readers are sent to, or the empty string."""
    try:
        return str(_read_json(FileSystems.join(output, POINTER))["run_id"])
    except Exception:  # there is no pointer, or no sense in it
        return ""


def published_run(output: str, named: str) -> SnapshotInfo:
    """A published snapshot by run id, `current` or `previous`. Raises HistoryError."""
    infos = [info for info in list_snapshots(output) if info.is_published]
    at = {info.run_id: number for number, info in enumerate(infos)}
    current = next((number for number, info in enumerate(infos) if info.is_current), None)
    number = at.get(named)
    if named in ("current", "previous"):
        if current is None:
            raise HistoryError(f"{output!r} has no current snapshot; `catalog-enrich snapshots {output}` lists all")
        number = current if named == "current" else current - 1
    if number is None or number < 0:
        known = ", ".join(at) or "none"
        what = "no snapshot before the current one" if named == "previous" else f"no published snapshot {named!r}"
        raise HistoryError(f"{output!r} has {what}; published are: {known}")
    return infos[number]


def faults_of(info: SnapshotInfo) -> Iterator[str]:
    """What is wrong with the files that a manifest names."""
    for row in info.manifest.get("files", ()):
        try:
            read_bytes(info.path, msgspec.convert(row, DataFile))
        except DamagedFileError as error:
            yield str(error)


def roll_back(output: str, named: str = "previous") -> tuple[SnapshotInfo, list[str]]:
    """Make an earlier snapshot the current one, if all its files are whole. Raises HistoryError. Gives warnings too."""
    info = published_run(output, named)
    faults = list(faults_of(info))
    if faults:
        shown = "; ".join(faults[:5]) + (f" and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise HistoryError(f"{info.run_id} is not whole, readers keep what they have: {shown}")
    return info, point_to(output, info.run_id)


def to_prune(infos: Sequence[SnapshotInfo], keep: int) -> list[SnapshotInfo]:
    """What goes when `keep` published snapshots stay: older ones, and of refused ones all but the newest `keep`.

    The current one always stays, and counts.
    """
    published = [info for info in infos if info.is_published and not info.is_current]
    refused = [info for info in infos if not info.is_published and not info.problem]
    kept = keep - any(info.is_current for info in infos)
    return [*published[: max(0, len(published) - kept)], *refused[: max(0, len(refused) - keep)]]


def prune(output: str, keep: int) -> list[SnapshotInfo]:
    """Remove what `to_prune` names; returns it. The caller holds the lock."""
    gone = to_prune(list_snapshots(output), keep) if keep else []
    for info in gone:
        remove_folder(info.path)
    return gone


def leftovers(output: str, own: Collection[str] = ()) -> list[str]:
    """Folders of runs that broke off without a word: half-written snapshots and work. own: run ids to leave out."""
    infos = list_snapshots(output)
    halves = [info.path for info in infos if info.is_half and not info.is_current and info.run_id not in own]
    work = FileSystems.join(output, WORK)
    dead = [FileSystems.join(work, run_id) for run_id in _folders(work) if run_id not in own]
    return [*halves, *(path for path in dead if not FileSystems.exists(FileSystems.join(path, KEPT)))]


def remove_leftovers(output: str, own: Collection[str] = ()) -> list[str]:
    """Remove what killed runs left; returns the folders. The caller holds the lock, so none of them is at work."""
    gone = leftovers(output, own)
    for path in gone:
        remove_folder(path)
    return gone


def size_bytes(info: SnapshotInfo) -> int:
    """Of all data files, shared ones too."""
    return sum(int(row["bytes"]) for row in info.manifest.get("files", ()))


def _info(output: str, run_id: str, current: str) -> SnapshotInfo:
    path = FileSystems.join(output, SNAPSHOTS, run_id)
    try:
        manifest = _read_json(FileSystems.join(path, MANIFEST))
        if not isinstance(manifest, dict):
            raise TypeError("no object")
    except (OSError, BeamIOError):
        return SnapshotInfo(run_id, path, run_id == current, {}, HALF_WRITTEN)
    except Exception as error:  # whatever half a file brings
        return SnapshotInfo(run_id, path, run_id == current, {}, f"its manifest cannot be read ({error})")
    return SnapshotInfo(run_id, path, run_id == current, manifest)


def _run_ids(output: str) -> list[str]:
    return _folders(FileSystems.join(output, SNAPSHOTS))


def _folders(path: str) -> list[str]:
    if is_local(path):
        return sorted(each.name for each in Path(path).iterdir() if each.is_dir()) if Path(path).is_dir() else []
    # An object store has no folders but the beginnings of names.
    found = FileSystems.match([FileSystems.join(path, "**")])[0].metadata_list
    beginning = path.rstrip("/") + "/"
    return sorted({each.path.removeprefix(beginning).split("/", 1)[0] for each in found})


def _read_json(path: str) -> Any:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return msgspec.json.decode(file.read())

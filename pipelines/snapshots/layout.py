"""Where snapshots lie and how one becomes current.

OUTPUT/current.json               names the published snapshot; replaced in one atomic step
OUTPUT/current                    the same as a symbolic link, on local disks
OUTPUT/snapshots/<run id>/        items/ embeddings/ quarantine/ probes/ manifest.json
OUTPUT/answers/                   answers of language models, for all runs (caching/answers.py)
OUTPUT/picture-features/          features of images, for all runs (caching/image_features.py)
OUTPUT/_work/<run id>/            intermediate files, removed at the end
A snapshot without a manifest does not exist for readers.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.snapshots.manifest import Manifest, write_manifest
from transforms.runtime.reports import write_json

POINTER = "current.json"
KEPT = "kept-on-purpose"
MANIFEST = "manifest.json"
SNAPSHOTS, WORK = "snapshots", "_work"


class Pointer(msgspec.Struct, frozen=True):
    """The content of POINTER. snapshot: the folder, relative to the output."""

    run_id: str
    snapshot: str


def is_local(path: str) -> bool:
    return "://" not in path


def new_run_id(now: dt.datetime) -> str:
    """Sortable by time, unique by chance: 20260131T120000Z-1f3c9a."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one run below an output folder or object-store prefix."""

    output: str
    run_id: str
    work_root: str = ""

    @property
    def snapshot(self) -> str:
        return FileSystems.join(self.output, SNAPSHOTS, self.run_id)

    @property
    def work(self) -> str:
        return FileSystems.join(self.work_root or FileSystems.join(self.output, WORK), self.run_id)

    def create(self) -> RunDirs:
        """Make the run's folders. Raises OSError when the output cannot be written."""
        parts = [
            FileSystems.join(self.work, part)
            for part in ("spool", "reports", "pictures", "heartbeats")
        ]
        answers, features = (
            FileSystems.join(self.output, kept) for kept in ("answers", "picture-features")
        )
        for path in (self.snapshot, *parts):
            if is_local(path):
                Path(path).mkdir(parents=True)
        spool, reports, pictures, heartbeats = parts
        shared = RunDirs(self.snapshot, spool, reports, pictures, answers, features)
        if not is_local(self.work):
            return shared
        purse, log = (FileSystems.join(self.work, name) for name in ("budget.json", "workers.log"))
        return replace(shared, purse=purse, heartbeats=heartbeats, log=log)

    def keep_work(self) -> None:
        """Mark the intermediate files as kept on purpose, so that no later run takes them for a
        killed one's.
        """
        with contextlib.suppress(Exception):  # the run's own end is what matters
            write_json(FileSystems.join(self.work, KEPT), self.run_id)

    def remove_work(self) -> None:
        remove_folder(self.work)
        if is_local(self.work):
            with contextlib.suppress(OSError):  # other runs may be at work
                Path(self.work).parent.rmdir()

    def remove_snapshot(self) -> None:
        """Remove the half-written snapshot of a run that broke off."""
        remove_folder(self.snapshot)

    def write_manifest(self, manifest: Manifest) -> str:
        """Write the manifest, which makes the folder a snapshot; returns its path."""
        path: str = FileSystems.join(self.snapshot, MANIFEST)
        write_manifest(path, manifest)
        return path

    def publish(self) -> list[str]:
        """Make this snapshot the current one; returns warnings for the operator.

        On a local disk everything is on the platter before the pointer names it.
        """
        if is_local(self.output):
            for written in sorted(Path(self.snapshot).rglob("*")):
                _sync(written)
            _sync(Path(self.snapshot))
        return point_to(self.output, self.run_id)


def read_pointer(output: str) -> Pointer | None:
    """Return which snapshot readers are sent to, None where nothing is published yet.

    Raises what the file system and msgspec raise where the pointer cannot be read.
    """
    path = FileSystems.join(output, POINTER)
    if not FileSystems.exists(path):
        return None
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return msgspec.json.decode(file.read(), type=Pointer)


def point_to(output: str, run_id: str) -> list[str]:
    """Make a run's snapshot the one that readers see, in one step; returns warnings for the
    operator.
    """
    pointer = Pointer(run_id, f"{SNAPSHOTS}/{run_id}")
    path = FileSystems.join(output, POINTER)
    if not is_local(output):
        # An object store replaces an object as a whole.
        write_json(path, pointer)
        return []
    _replace_file(Path(path), msgspec.json.format(msgspec.json.encode(pointer), indent=1), run_id)
    return _replace_link(Path(output) / "current", pointer.snapshot, run_id)


def remove_folder(path: str) -> None:
    """Remove a folder or prefix; cleaning up must not hide why a run ended, so nothing is
    raised.
    """
    if is_local(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(Exception):
        # Beam's object stores delete a prefix only when its name ends like a folder's.
        FileSystems.delete([path.rstrip("/") + "/"])


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace_file(path: Path, content: bytes, run_id: str) -> None:
    half = path.with_name(f".{path.name}.{run_id}")
    with half.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    _sync(path.parent)


def _replace_link(link: Path, target: str, run_id: str) -> list[str]:
    half = link.with_name(f".{link.name}.{run_id}")
    try:
        half.unlink(missing_ok=True)  # of a run that was killed right here
        half.symlink_to(target, target_is_directory=True)
        half.replace(link)
    except OSError as error:
        half.unlink(missing_ok=True)
        return [
            f"{link} could not be set to {target} ({error}); {POINTER} names the published snapshot"
        ]
    return []


@dataclass(frozen=True, slots=True)
class RunDirs:
    """Where a run keeps things.

    snapshot: data files; spool: between stages; reports: what stages counted.

    pictures: made ready for a language model; answers: of language models, kept for later runs;
    features: of pictures, likewise; purse: local file with what is spent of the budget, empty where
    work is not local.
    heartbeats, log: local paths for the live view and the workers' stderr, empty where work is not
    local.
    """

    snapshot: str
    spool: str
    reports: str
    pictures: str = ""
    answers: str = ""
    features: str = ""
    purse: str = ""
    heartbeats: str = ""
    log: str = ""

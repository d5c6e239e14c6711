"""The folders of an output, and how a snapshot becomes the current one.

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
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from pipelines.snapshots.manifest import Manifest, write_manifest
from transforms.runtime import storage
from transforms.runtime.reports import write_json

POINTER = "current.json"
KEPT = "kept-on-purpose"
MANIFEST = "manifest.json"
SNAPSHOTS, WORK = "snapshots", "_work"


class Pointer(msgspec.Struct, frozen=True):
    """The content of POINTER. snapshot: the folder, relative to the output."""

    run_id: str
    snapshot: str


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
        return storage.join(self.output, SNAPSHOTS, self.run_id)

    @property
    def work(self) -> str:
        return storage.join(self.work_root or storage.join(self.output, WORK), self.run_id)

    def create(self) -> RunDirs:
        """Make the run's folders. Raises OSError when the output cannot be written."""
        parts = [
            storage.join(self.work, part) for part in ("spool", "reports", "pictures", "heartbeats")
        ]
        answers, features = (
            storage.join(self.output, kept) for kept in ("answers", "picture-features")
        )
        for path in (self.snapshot, *parts):
            if storage.is_local(path):
                Path(path).mkdir(parents=True)
        spool, reports, pictures, heartbeats = parts
        shared = RunDirs(self.snapshot, spool, reports, pictures, answers, features)
        if not storage.is_local(self.work):
            return shared
        budget_file, log = (
            storage.join(self.work, name) for name in ("budget.json", "workers.log")
        )
        return replace(shared, budget_file=budget_file, heartbeats=heartbeats, log=log)

    def keep_work(self) -> None:
        """Mark the intermediate files as kept on purpose, so that no later run takes them for a
        killed one's.
        """
        with contextlib.suppress(Exception):  # the run's own end is what matters
            write_json(storage.join(self.work, KEPT), self.run_id)

    def remove_work(self) -> None:
        storage.remove_folder(self.work)
        if storage.is_local(self.work):
            with contextlib.suppress(OSError):  # other runs may be at work
                Path(self.work).parent.rmdir()

    def remove_snapshot(self) -> None:
        """Remove the half-written snapshot of a run that broke off."""
        storage.remove_folder(self.snapshot)

    def write_manifest(self, manifest: Manifest) -> str:
        """Write the manifest, which makes the folder a snapshot; returns its path."""
        path = storage.join(self.snapshot, MANIFEST)
        write_manifest(path, manifest)
        return path

    def publish(self) -> list[str]:
        """Make this snapshot the current one; returns warnings for the operator.

        On a local disk everything is on the platter before the pointer names it.
        """
        if storage.is_local(self.output):
            for written in sorted(Path(self.snapshot).rglob("*")):
                storage.sync(written)
            storage.sync(self.snapshot)
        return point_to(self.output, self.run_id)


def read_pointer(output: str) -> Pointer | None:
    """Return which snapshot readers are sent to, None where nothing is published yet.

    Raises what the file system and msgspec raise where the pointer cannot be read.
    """
    path = storage.join(output, POINTER)
    if not storage.exists(path):
        return None
    return msgspec.json.decode(storage.read_bytes(path), type=Pointer)


def point_to(output: str, run_id: str) -> list[str]:
    """Make a run's snapshot the one that readers see, in one step; returns warnings for the
    operator.
    """
    pointer = Pointer(run_id, f"{SNAPSHOTS}/{run_id}")
    path = storage.join(output, POINTER)
    if not storage.is_local(output):
        # An object store replaces an object as a whole.
        write_json(path, pointer)
        return []
    content = msgspec.json.format(msgspec.json.encode(pointer), indent=1)
    storage.write_whole(path, content, storage.join(output, f".{POINTER}.{run_id}"))
    return _replace_link(Path(output) / "current", pointer.snapshot, run_id)


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
    """The folders and files of a run.

    snapshot: data files; spool: between stages; reports: what stages counted.

    pictures: made ready for a language model; answers: of language models, kept for later runs;
    features: of pictures, likewise; budget_file: local file with what is spent of the budget, empty
    where work is not local.
    heartbeats, log: local paths for the live view and the workers' stderr, empty where work is not
    local.
    """

    snapshot: str
    spool: str
    reports: str
    pictures: str = ""
    answers: str = ""
    features: str = ""
    budget_file: str = ""
    heartbeats: str = ""
    log: str = ""

"""The folders of an output.

OUTPUT/current.json               names the published snapshot (publication.py)
OUTPUT/current                    the same as a symbolic link, on local disks
OUTPUT/snapshots/<run id>/        items/ embeddings/ quarantine/ probes/ manifest.json
OUTPUT/answers/                   answers of language models, for all runs (caching/answers.py)
OUTPUT/servers/                   what model servers accept, for all runs (models/http/servers)
OUTPUT/picture-features/          features of images, for all runs (caching/image_features.py)
OUTPUT/kept-pictures/             pictures that records held, or that were fetched, by content
OUTPUT/_work/<run id>/            intermediate files, removed at the end
A snapshot without a manifest does not exist for readers.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.snapshots.manifest import Manifest, write_manifest
from transforms.runtime import storage
from transforms.runtime.json_files import write_json

POINTER, LINK = "current.json", "current"
KEPT, ANSWERS = "kept-on-purpose", "answers"
MANIFEST = "manifest.json"
SNAPSHOTS, WORK = "snapshots", "_work"
KEPT_PICTURES = "kept-pictures"


def kept_pictures(snapshot: str) -> str:
    """Return the folder of pictures that records held or that were fetched, beside a snapshot."""
    folder = snapshot.rstrip("/")
    above = 1 if storage.name_of(folder) == LINK else 2
    return storage.join(folder.rsplit("/", above)[0], KEPT_PICTURES)


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
            storage.join(self.output, kept) for kept in (ANSWERS, "picture-features")
        )
        for path in (self.snapshot, *parts):
            if storage.is_local(path):
                Path(path).mkdir(parents=True)
        spool, reports, pictures, heartbeats = parts
        kept = kept_pictures(self.snapshot)
        shared = RunDirs(
            self.snapshot, spool, reports, pictures, answers, features, kept_pictures=kept
        )
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

    def sync(self) -> None:
        """Wait until the snapshot, on a local disk, survives a power cut."""
        if storage.is_local(self.output):
            for written in sorted(Path(self.snapshot).rglob("*")):
                storage.sync(written)
            storage.sync(self.snapshot)


@dataclass(frozen=True, slots=True)
class RunDirs:
    """The folders and files of a run.

    snapshot: data files; spool: between stages; reports: what stages counted.

    pictures: made ready for a language model; answers: of language models, kept for later runs;
    features: of pictures, likewise; budget_file: local file with what is spent of the budget, empty
    where work is not local.
    kept_pictures: that records held, or that were fetched, likewise.
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
    kept_pictures: str = ""

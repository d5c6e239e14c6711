"""Where snapshots lie and how one becomes current.

OUTPUT/current.json               names the published snapshot; replaced in one atomic step
OUTPUT/current                    the same as a symbolic link, on local disks
OUTPUT/snapshots/<run id>/        items/ embeddings/ quarantine/ manifest.json
OUTPUT/_work/<run id>/            intermediate files, removed at the end
A snapshot without a manifest does not exist for readers.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.graph import Places
from transforms.report import write_json

POINTER = "current.json"
MANIFEST = "manifest.json"


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
        return FileSystems.join(self.output, "snapshots", self.run_id)

    @property
    def work(self) -> str:
        return FileSystems.join(self.work_root or FileSystems.join(self.output, "_work"), self.run_id)

    def create(self) -> Places:
        """Make the run's folders. Raises OSError when the output cannot be written."""
        parts = [FileSystems.join(self.work, part) for part in ("spool", "reports", "heartbeats")]
        for path in (self.snapshot, *parts):
            if is_local(path):
                Path(path).mkdir(parents=True)
        spool, reports, heartbeats = parts
        if not is_local(self.work):
            return Places(self.snapshot, spool, reports)
        return Places(self.snapshot, spool, reports, heartbeats, FileSystems.join(self.work, "workers.log"))

    def remove_work(self) -> None:
        self._remove(self.work)

    def remove_snapshot(self) -> None:
        """Remove the half-written snapshot of a run that broke off."""
        self._remove(self.snapshot)

    @staticmethod
    def _remove(path: str) -> None:
        with contextlib.suppress(Exception):  # cleaning up must not hide why a run ended
            if FileSystems.exists(path) or not is_local(path):
                FileSystems.delete([path])
            parent = Path(path).parent
            if is_local(path) and parent.name == "_work":
                parent.rmdir()

    def write_manifest(self, manifest: dict[str, Any]) -> str:
        path = FileSystems.join(self.snapshot, MANIFEST)
        write_json(path, manifest)
        return path

    def publish(self) -> None:
        """Make this snapshot the current one."""
        pointer = {"run_id": self.run_id, "snapshot": f"snapshots/{self.run_id}"}
        path = FileSystems.join(self.output, POINTER)
        if not is_local(self.output):
            # An object store replaces an object as a whole.
            write_json(path, pointer)
            return
        _replace_file(Path(path), json.dumps(pointer, indent=1))
        _replace_link(Path(self.output) / "current", pointer["snapshot"])


def read_current(output: str) -> dict[str, Any] | None:
    """The manifest of the published snapshot, or None when nothing was published yet."""
    pointer = FileSystems.join(output, POINTER)
    if not FileSystems.exists(pointer):
        return None
    snapshot = FileSystems.join(output, *_read_json(pointer)["snapshot"].split("/"))
    return _read_json(FileSystems.join(snapshot, MANIFEST))


def _read_json(path: str) -> dict[str, Any]:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        content: dict[str, Any] = json.loads(file.read())
        return content


def _replace_file(path: Path, text: str) -> None:
    half = path.with_name(f".{path.name}.{os.getpid()}")
    with half.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def _replace_link(link: Path, target: str) -> None:
    # A file system without symbolic links still has current.json.
    with contextlib.suppress(OSError):
        half = link.with_name(f".{link.name}.{os.getpid()}")
        half.symlink_to(target, target_is_directory=True)
        half.replace(link)

"""Pictures that are kept beside an output, and what of them no snapshot needs any more.

Kept are the contents that records held or that were fetched, and what is known of addresses. Both
are needed while a kept snapshot has the picture, or a run asked for the address since the oldest of
them: what a later run would have to fetch again, or could not show any more, stays.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.snapshots.history import list_folders
from pipelines.snapshots.layout import KEPT_PICTURES
from pipelines.snapshots.snapshot import Snapshot
from transforms.images.remote.known import ADDRESSES, Kept
from transforms.normalise.pictures import BY_CONTENT
from transforms.runtime import storage

# A clock of another machine may be behind, and what was just written is of a run at work.
SLACK = dt.timedelta(days=1)
_CONTENT = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{32}\.part)?")
_ADDRESS = re.compile(r"[0-9a-f]{64}\.json(\.[0-9a-f]{32}\.part)?")
_FOLDER = re.compile(r"[0-9a-f]{2}")
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Unneeded:
    """Files below OUTPUT/kept-pictures that may go. pictures: how many of them are contents."""

    paths: tuple[Path, ...] = ()
    pictures: int = 0
    size_bytes: int = 0


def unneeded_pictures(output: str, going: Iterable[Snapshot] = ()) -> Unneeded:
    """Return what no snapshot needs, once those that are `going` are gone.

    Nothing where that cannot be told: a snapshot that cannot be read may need any of it. Nothing in
    object stores, where to look at each of millions of files is dear; rules of the store do that.
    """
    root = Path(output, KEPT_PICTURES)
    is_own = storage.is_local(output) and root.is_dir() and _is_real(root, output)
    gone = {info.run_id for info in going}
    snapshots, broken = list_folders(output) if is_own else ([], [])
    left = [info for info in snapshots if info.run_id not in gone]
    if not left or any(not each.is_half for each in broken):
        return Unneeded()
    try:
        needed = _needed_by(left)
    except (OSError, pa.ArrowException, KeyError):
        return Unneeded()
    oldest = min(info.run_id for info in left)
    before = min(info.manifest.started for info in left) - SLACK
    addresses = list(_unasked(root / ADDRESSES, oldest, before.timestamp(), needed))
    contents = [
        path
        for path in _files(root, _CONTENT, before.timestamp())
        if bytes.fromhex(path.name[: 2 * _DIGEST_BYTES]) not in needed
    ]
    sizes = [path.stat().st_size for path in contents]
    return Unneeded((*addresses, *contents), len(contents), sum(sizes))


def remove_unneeded(found: Unneeded) -> None:
    """Remove the files, addresses before the contents they name; what cannot be removed stays."""
    for path in found.paths:
        with suppress(OSError):
            path.unlink()


def _is_real(folder: Path, output: str) -> bool:
    return folder.resolve() == Path(output).resolve() / folder.name


def _needed_by(snapshots: Sequence[Snapshot]) -> set[bytes]:
    """Return the digests of all pictures that items have, of files that several share once."""
    files = {
        file.digest: file.place(info.path) for info in snapshots for file in info.files_of("items")
    }
    needed: set[bytes] = set()
    for path in files.values():
        lists = pq.ParquetFile(path).read(["images"], use_threads=False)["images"]
        images = pc.list_flatten(lists.combine_chunks())
        for name in ("digest", "path"):
            values = pc.unique(pc.struct_field(images, name)).to_pylist()
            needed.update(filter(None, map(_digest_in, values)))
    return needed


def _digest_in(text: str | None) -> bytes | None:
    """Return the digest that a column names, by itself or as a reference by content."""
    digest = (text or "").removeprefix(BY_CONTENT)
    return bytes.fromhex(digest) if _CONTENT.fullmatch(digest) else None


def _unasked(folder: Path, oldest: str, before: float, needed: set[bytes]) -> Iterator[Path]:
    """Yield what is known of addresses that no run asks for any more; adds to `needed` what the
    others name.
    """
    for path in _files(folder, _ADDRESS):
        is_old = path.stat().st_mtime < before
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            if is_old and path.suffix == ".part":
                yield path
            continue
        digest = _digest_in(kept.digest)
        if is_old and kept.run < oldest and digest not in needed:
            yield path
        elif digest is not None:
            needed.add(digest)


def _files(folder: Path, names: re.Pattern[str], before: float = math.inf) -> Iterator[Path]:
    """Yield the files in folders of two digits that have such names and are older."""
    for inner in folder.iterdir() if folder.is_dir() else ():
        if not _FOLDER.fullmatch(inner.name) or inner.is_symlink() or not inner.is_dir():
            continue
        for path in inner.iterdir():
            is_own = names.fullmatch(path.name) and path.is_file() and not path.is_symlink()
            if is_own and path.stat().st_mtime < before:
                yield path

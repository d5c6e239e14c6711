"""Which snapshot readers see, and which they have seen: one pointer, moved in one step.

OUTPUT/current.json is the only word on both. It names the snapshot of today, and lists the run ids
of all that it has named and that are kept. A snapshot that it does not list was never seen by a
reader, whatever its own manifest says: its run may have been killed just before the pointer moved.
The link OUTPUT/current follows from the pointer, and whoever writes to the output mends it first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from pipelines.snapshots.layout import LINK, POINTER, SNAPSHOTS
from transforms.runtime import storage
from transforms.runtime.conditional import replace_if, version_of
from transforms.runtime.sealed import DamagedFileError, decode_json, sealed_json

# As `new_run_id` makes them: nothing else below an output is taken for a run's.
RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


class PointerError(DamagedFileError):
    """The pointer cannot be believed; the message says why, and what mends it."""

    remedy = ""


class Pointer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of POINTER.

    snapshot: the folder, relative to the output. published: run ids of the snapshots that readers
    have seen and that are kept, in the order in which they first saw them; None where an earlier
    version wrote the pointer, which kept no such list.
    """

    run_id: str
    snapshot: str
    published: tuple[str, ...] | None = None


def read_pointer(output: str) -> Pointer | None:
    """Return which snapshot readers are sent to, None where nothing is published yet.

    Raises PointerError where the file cannot be read, or does not say one thing.
    """
    path = storage.join(output, POINTER)
    try:
        if not storage.exists(path):
            return None
        pointer = decode_json(storage.read_bytes(path), Pointer, path)
    except DamagedFileError as error:
        raise PointerError(_useless(output, str(error).removeprefix(f"{path} "))) from error
    except Exception as error:  # whatever half a file, or an object store, brings
        raise PointerError(_useless(output, f"{type(error).__name__}: {error}")) from error
    if pointer.snapshot != f"{SNAPSHOTS}/{pointer.run_id}":
        fault = f"it names run {pointer.run_id!r} and the folder {pointer.snapshot!r}"
        raise PointerError(_useless(output, fault))
    strange = [each for each in (pointer.run_id, *(pointer.published or ())) if not is_run_id(each)]
    if strange:
        raise PointerError(_useless(output, f"{strange[0]!r} is not the id of a run"))
    return pointer


def is_run_id(name: str) -> bool:
    """Tell whether a folder's name is one that a run gives.

    >>> is_run_id("20260131T120000Z-1f3c9a"), is_run_id("vm-2024")
    (True, False)
    """
    return RUN_ID.fullmatch(name) is not None


def pointer_version(output: str) -> str:
    """Return what tells today's pointer from every other, empty where there is none.

    Raises PointerError where something else lies there.
    """
    path = storage.join(output, POINTER)
    try:
        return version_of(path)
    except IsADirectoryError as error:
        raise PointerError(
            f"{path} is a folder; move it away, and `catalog-enrich rollback {output} --to RUN_ID` "
            "writes the file again"
        ) from error


def move_pointer(
    output: str, run_id: str, published: Sequence[str], version: str | None = None
) -> tuple[str, list[str]]:
    """Make a run's snapshot the one that readers see, in one step; returns the version that the
    pointer has from then on, and warnings for the operator.

    published: run ids of all that readers have seen and that are kept, this one included.
    version: that the pointer has to have; None for whatever it has. Raises ChangedError where it
    has another one.
    """
    content = sealed_json(Pointer(run_id, f"{SNAPSHOTS}/{run_id}", tuple(published)))
    seen = pointer_version(output) if version is None else version
    unfinished = storage.join(output, f".{POINTER}.{run_id}")
    now = replace_if(storage.join(output, POINTER), content, seen, unfinished)
    return now, mend_link(output)


def mend_link(output: str) -> list[str]:
    """Let the link name what the pointer names; returns a warning where it cannot be set.

    The caller holds the lock. Does nothing where there is no pointer that can be believed, and in
    object stores, which have no links.
    """
    if not storage.is_local(output):
        return []
    try:
        pointer = read_pointer(output)
    except PointerError:
        return []
    link = Path(output) / LINK
    if pointer is None or (link.is_symlink() and str(link.readlink()) == pointer.snapshot):
        return []
    half = link.with_name(f".{LINK}.{pointer.run_id}")
    try:
        half.unlink(missing_ok=True)  # of a run that was killed right here
        half.symlink_to(pointer.snapshot, target_is_directory=True)
        half.replace(link)
        storage.sync(output)
    except OSError as error:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        return [
            f"{link} could not be set to {pointer.snapshot} ({error}); {POINTER} names the "
            "published snapshot"
        ]
    return []


def _useless(output: str, fault: str) -> str:
    path = storage.join(output, POINTER)
    return (
        f"{path} cannot be used ({fault}); `catalog-enrich rollback {output} --to RUN_ID` writes "
        f"it again, `catalog-enrich snapshots {output}` lists the snapshots"
    )

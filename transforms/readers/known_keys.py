"""Which records of a catalog an earlier run knows: by key, as sorted arrays that all workers of a
machine share.

A record is known by its bytes (`RawRecord.key`). What each split holds of the known ones is counted
and saved; the launching process adds the counts up and so sees which records are gone.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.elements import KEY_BYTES, RawRecord
from transforms.readers import Unread
from transforms.runtime import storage

KEY = np.dtype(f"V{KEY_BYTES}")

REREAD = pa.schema(
    [
        pa.field("item_id", pa.string()),
        pa.field("raw_key", pa.binary(KEY_BYTES)),
        pa.field("input", pa.string()),
        pa.field("group", pa.string()),
    ]
)

Keys = np.ndarray[Any, np.dtype[np.void]]
Counts = np.ndarray[Any, np.dtype[np.int64]]


def as_keys(keys: Iterable[bytes]) -> Keys:
    """Return an array of KEY of as many keys; not sorted."""
    return np.frombuffer(b"".join(keys), KEY)


def places_of(keys: Keys, known: Keys) -> Counts:
    """For each key its index in `known`, sorted and without repetition; -1 where it is not
    there.
    """
    if not len(known):
        return np.full(len(keys), -1, np.int64)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[at] == keys, at, -1)


@dataclass
class KeyFilter:
    """Lets unknown records through, or only the `wanted` ones, and counts the known ones of a
    split.
    """

    known: Keys
    seen_dir: str
    wanted: Keys | None = None

    def __post_init__(self) -> None:
        self._seen: list[Counts] = []
        self._reread: list[tuple[str | None, bytes, str, str | None]] = []

    def choose(self, batch: Sequence[Unread]) -> list[Unread]:
        """Return the records that are not known."""
        keys = as_keys([key_of(data) for data, key_of, _, _ in batch])
        places = places_of(keys, self.known)
        self._seen.append(places[places >= 0])
        chosen = places < 0 if self.wanted is None else places_of(keys, self.wanted) >= 0
        return [batch[int(at)] for at in np.flatnonzero(chosen)]

    def wants(self, key: bytes) -> bool:
        """Return whether a single record is to be read again."""
        return self.wanted is not None and bool(places_of(as_keys([key]), self.wanted)[0] >= 0)

    def note(self, item_id: str | None, raw: RawRecord, group: str = "") -> None:
        """Keep that a record was read, and whose it is."""
        self._reread.append((item_id or None, raw.key, raw.kind, group or None))

    def save(self) -> str:
        """Write what was seen and read; return the path of both files without their
        endings.
        """
        seen = np.concatenate(self._seen) if self._seen else np.array([], np.int64)
        places, counts = np.unique(seen, return_counts=True)
        path = storage.join(self.seen_dir, uuid.uuid4().hex)
        _save(f"{path}.npy", np.stack([places, counts]))
        columns = zip(*self._reread, strict=True) if self._reread else ([], [], [], [])
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, REREAD, strict=True)
        ]
        storage.write_bytes(f"{path}.arrow", _as_ipc(pa.Table.from_arrays(arrays, schema=REREAD)))
        return path


@dataclass(frozen=True, slots=True)
class KnownFile:
    """The known keys in a file.

    seen_dir: where splits leave what they saw; wanted: file of all that is let through.
    """

    path: str
    seen_dir: str
    wanted: str = ""

    @classmethod
    def write(cls, known: Keys, folder: str, wanted: Keys | None = None) -> KnownFile:
        """Keep sorted distinct keys in a folder of the run."""
        name, chosen = storage.join(folder, f"known-{uuid.uuid4().hex}"), ""
        _save_keys(f"{name}.keys.npy", known)
        if wanted is not None:
            chosen = f"{name}.wanted.npy"
            _save_keys(chosen, wanted)
        return cls(f"{name}.keys.npy", folder, chosen)

    def key_filter(self) -> KeyFilter:
        return KeyFilter(
            _load_keys(self.path), self.seen_dir, _load_keys(self.wanted) if self.wanted else None
        )


def add_up_seen(saved: Iterable[str], known: int) -> Counts:
    """Return how often each of `known` keys was seen in all splits; int64 (known,)."""
    total = np.zeros(known, np.int64)
    for path in saved:
        places, counts = _load(f"{path}.npy")
        total[places] += counts
    return total


def all_reread(saved: Iterable[str]) -> pa.Table:
    """Return item_id, raw_key, input and group of the records that were read, in no order."""
    tables = [
        pa.ipc.open_file(pa.BufferReader(storage.read_bytes(f"{path}.arrow"))).read_all()
        for path in saved
    ]
    return pa.concat_tables([REREAD.empty_table(), *tables])


def _save_keys(path: str, keys: Keys) -> None:
    _save(
        path,
        keys.view(np.uint8).reshape(-1, KEY_BYTES)
        if len(keys)
        else np.zeros((0, KEY_BYTES), np.uint8),
    )


@lru_cache(maxsize=2)
def _load_keys(path: str) -> Keys:
    # Mapped on a local disk, so that the workers of a machine share one copy.
    stored = (
        np.load(path, mmap_mode="r", allow_pickle=False) if storage.is_local(path) else _load(path)
    )
    keys: Keys = np.asarray(stored).view(KEY).reshape(-1) if len(stored) else np.array([], KEY)
    return keys


def _save(path: str, array: np.ndarray[Any, Any]) -> None:
    sink = io.BytesIO()
    np.save(sink, np.ascontiguousarray(array), allow_pickle=False)
    storage.write_bytes(path, sink.getvalue())


def _load(path: str) -> np.ndarray[Any, Any]:
    loaded: np.ndarray[Any, Any] = np.load(io.BytesIO(storage.read_bytes(path)), allow_pickle=False)
    return loaded


def _as_ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data

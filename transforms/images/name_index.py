"""Many files by the stems of their names, packed: a million of them take some 100 MB.

(path, size, time of modification) of each file → the files of a stem.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.images.names import stem
from transforms.runtime.storage import FoundFile

_CHUNK_FILES = 1 << 15
_SCHEMA = pa.schema(
    {
        "stem": pa.int64(),
        "path": pa.large_string(),
        "size_bytes": pa.int64(),
        "modified_secs": pa.float64(),
    }
)


def stem_of(path: str) -> str:
    """Return the stem of a path's last part."""
    return stem(path.rpartition("/")[2])


class NameIndex:
    """Files below a folder, which is read to its end.

    is_whole: it has all of them. Else there are more than `most`, and it has those of `stems`
    alone; no files, and no stems, where these are more, too.
    """

    def __init__(self, files: Iterable[FoundFile], most: int, stems: Collection[str] = ()) -> None:
        self.is_whole, self.stems = True, frozenset(stems)
        # Hashes of this process, which is as long as an index lives.
        wanted = pa.array(sorted(map(hash, self.stems)), pa.int64())
        kept: list[pa.Table] = []
        for chunk in _chunks(files):
            kept.append(chunk if self.is_whole else _only(chunk, wanted))
            if self.is_whole and sum(map(len, kept)) > most:
                self.is_whole = False
                kept = [_only(each, wanted) for each in kept]
            if sum(map(len, kept)) > most:
                kept, self.stems = [], frozenset()
                break
        files_of = pa.concat_tables([*kept, _SCHEMA.empty_table()]).combine_chunks()
        order = np.argsort(files_of["stem"].to_numpy(), kind="stable")
        self._files = files_of.take(pa.array(order)).combine_chunks()
        self._stems = self._files["stem"].to_numpy()

    def has(self, name_stem: str) -> bool:
        """Tell whether all files of a stem are here."""
        return self.is_whole or name_stem in self.stems

    def named(self, name_stem: str) -> Iterator[FoundFile]:
        """Yield the files of a stem, in the order in which they came."""
        key = hash(name_stem)
        first, last = (int(np.searchsorted(self._stems, key, side)) for side in ("left", "right"))
        for row in self._files.slice(first, last - first).drop("stem").to_pylist():
            if stem_of(row["path"]) == name_stem:
                yield FoundFile(**row)

    def find(self, path: str) -> FoundFile | None:
        """Return the file of this very path."""
        return next((each for each in self.named(stem_of(path)) if each.path == path), None)


def _chunks(files: Iterable[FoundFile]) -> Iterator[pa.Table]:
    left = iter(files)
    while part := list(islice(left, _CHUNK_FILES)):
        paths, sizes, times = zip(*part, strict=True)
        stems = [hash(stem_of(path)) for path in paths]
        yield pa.table([stems, paths, sizes, times], schema=_SCHEMA)


def _only(files: pa.Table, stems: pa.Array) -> pa.Table:
    return files.filter(pc.is_in(files["stem"], value_set=stems))

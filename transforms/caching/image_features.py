"""Features of pictures, kept beside the snapshots by content: a picture is described once, over all
runs.

FOLDER/<first>-<last>-<id>.parquet, named as the files of answers are (transforms/caching/files.py).
Whoever works on a range of digests reads the files that may hold them and adds what is new in small
files, so that a killed run loses little; when the range is done they are put into one file,
together with those of earlier runs where these are many.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from schemas.elements import ImageFeatures, decoder, encode
from transforms.caching.files import AnswerFile, list_files, remove, write_table
from transforms.runtime.parquet import parquet_table_as

FLUSH_SECS = 10.0
# Files of earlier runs that a range may have before they are put together.
MANY_FILES = 8
# Of the vectors in ImageFeatures. A file may be anything, and a broken number would stop whoever
# reads it.
VECTOR_ENTRY_BYTES, STYLE_ENTRY_BYTES = 4, 2

_SCHEMA = pa.schema(
    [
        pa.field("digest", pa.string(), nullable=False),
        pa.field("made_by", pa.string(), nullable=False),
        pa.field("features", pa.large_binary(), nullable=False),
    ]
)
_log = logging.getLogger(__name__)


@dataclass
class PictureStore:
    """Features of the pictures whose digests lie between `first` and `last`, and those that come to
    them.

    made_by: digest of everything but the picture that features depend on; others' stay in the
    files, and are not seen.
    """

    folder: str
    made_by: str
    first: str
    last: str
    _known: dict[str, bytes] = field(default_factory=dict)
    _earlier: list[str] = field(default_factory=list)
    _fresh: dict[str, bytes] = field(default_factory=dict)
    _pieces: list[str] = field(default_factory=list)
    _flushed_at: float = field(default_factory=time.monotonic)

    def load(self) -> None:
        """Read what earlier runs have left. What cannot be read is made again."""
        try:
            files = list_files(self.folder, self.first, self.last)
        except Exception as error:  # each storage has errors of its own
            _log.warning(
                "%s cannot be listed (%s); pictures are described again", self.folder, error
            )
            return
        for file in files:
            table = _read(file)
            if table is not None:
                for digest, made_by, features in zip(
                    *(column.to_pylist() for column in table.columns), strict=True
                ):
                    if made_by == self.made_by:
                        self._known[digest] = features
                if (
                    self.first <= file.first and file.last <= self.last
                ):  # others read what reaches beyond
                    self._earlier.append(file.path)

    def get(self, digest: str) -> ImageFeatures | None:
        known = self._known.get(digest)
        if known is None:
            return None
        try:
            features = decoder(ImageFeatures).decode(known)
        except (msgspec.DecodeError, ValueError):  # of another version
            return None
        whole = (
            len(features.vector) % VECTOR_ENTRY_BYTES == 0
            and len(features.style) % STYLE_ENTRY_BYTES == 0
        )
        return features if whole and features.digest == digest else None

    def put(self, features: ImageFeatures) -> None:
        """Keep the features of a picture that no model failed on.

        Raises what the storage raises.
        """
        if features.failure is None:
            self._fresh[features.digest] = encode(features)
        if time.monotonic() - self._flushed_at >= FLUSH_SECS:
            self.flush()

    def flush(self) -> None:
        """Write what came since the last time."""
        if self._fresh:
            columns = [
                list(self._fresh),
                [self.made_by] * len(self._fresh),
                list(self._fresh.values()),
            ]
            arrays = [
                pa.array(column, kind.type) for column, kind in zip(columns, _SCHEMA, strict=True)
            ]
            table = pa.Table.from_arrays(arrays, schema=_SCHEMA)
            self._pieces.append(write_table(self.folder, self.first, self.last, table))
            self._fresh = {}
        self._flushed_at = time.monotonic()

    def close(self) -> None:
        """Write the rest, and put what lies in pieces into one file. Raises what `flush` raises."""
        self.flush()
        merged = [*self._pieces, *(self._earlier if len(self._earlier) > MANY_FILES else [])]
        if len(merged) < 2:
            return
        try:
            tables = {path: _read(AnswerFile(path, self.first, self.last)) for path in merged}
            # What has become unreadable stays as it is.
            whole = {path: table for path, table in tables.items() if table is not None}
            latest = {
                (row["digest"], row["made_by"]): row
                for table in whole.values()
                for row in table.to_pylist()
            }
            rows = pa.Table.from_pylist([latest[key] for key in sorted(latest)], schema=_SCHEMA)
            write_table(self.folder, self.first, self.last, rows)
            remove([*whole])
        except Exception as error:  # each storage has errors of its own; the pieces hold everything
            _log.warning("%s: features of pictures stay in small files: %s", self.folder, error)


def _read(file: AnswerFile) -> pa.Table | None:
    try:
        with FileSystems.open(file.path, compression_type=CompressionTypes.UNCOMPRESSED) as opened:
            data: Any = opened.read()
        return parquet_table_as(data, _SCHEMA)
    except Exception as error:  # each storage has errors of its own, and a file may be anything
        _log.warning("%s cannot be used (%s); what it held is made again", file.path, error)
        return None

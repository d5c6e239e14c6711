"""Answers of language models, kept beside the snapshots: what was asked once is never paid for again.

OUTPUT/answers/<first>-<last>-<id>.parquet. `first` and `last` bound the keys of the jobs whose answers are in the
file, as four hexadecimal digits each, so that whoever works on a part of the jobs reads the files of that part only.
Answers are written in small files as they come, which a killed run leaves behind for the next one, and are put into
one file when the part is done.
"""

from __future__ import annotations

import datetime as dt
import io
import logging
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from schemas.columns import ANSWERS
from transforms.models.chat import ChatAnswer, ChatRequest

FLUSH_ANSWERS = 64
FLUSH_SECS = 5.0

_DIGITS = 4
_NAME = re.compile(r"([0-9a-f]{4})-([0-9a-f]{4})-[0-9a-f]+\.parquet")
_SCHEMA = pa.schema(ANSWERS)
_log = logging.getLogger(__name__)


def part_of(key: str, parts: int) -> int:
    """The number of the part that a job's key, hexadecimal, belongs to; parts are contiguous ranges of keys.

    >>> part_of("ffff" + 60 * "0", 4), part_of("00ab", 4)
    (3, 0)
    """
    return int(key[:_DIGITS], 16) * parts >> 4 * _DIGITS


def bounds_of(part: int, parts: int) -> tuple[str, str]:
    """The first and last key of a part, by their first four digits.

    >>> bounds_of(3, 4)
    ('c000', 'ffff')
    """
    size = 1 << 4 * _DIGITS
    first, after = (-(-number * size // parts) for number in (part, part + 1))
    return f"{first:04x}", f"{after - 1:04x}"


@dataclass
class AnswerStore:
    """The answers of the jobs between `first` and `last` in `folder`, held in memory, and those that come to it.

    run_id and model are written beside each answer; unreadable: files that `load` could not use.
    """

    folder: str
    first: str
    last: str
    run_id: str
    model: str
    unreadable: list[str] = field(default_factory=list)
    _known: dict[str, ChatAnswer] = field(default_factory=dict)
    _fresh: list[dict[str, object]] = field(default_factory=list)
    _files: list[tuple[str, pa.Table]] = field(default_factory=list)
    _flushed_at: float = field(default_factory=time.monotonic)

    def load(self) -> None:
        """Read what earlier runs, or an earlier try of this one, have left. What cannot be read is asked for again."""
        for path in _files_between(self.folder, self.first, self.last):
            try:
                with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                    table = pq.read_table(pa.BufferReader(file.read()), schema=_SCHEMA)
            except (OSError, BeamIOError, pa.ArrowException) as error:
                self.unreadable.append(path)
                _log.warning("%s cannot be read (%s); its answers are asked for again", path, error)
                continue
            self._known |= {row["fingerprint"]: _answer(row) for row in table.to_pylist()}

    def get(self, fingerprint: str) -> ChatAnswer | None:
        return self._known.get(fingerprint)

    def put(self, fingerprint: str, request: ChatRequest, answer: ChatAnswer) -> None:
        """Keep an answer; it is durable after FLUSH_ANSWERS more of them, or with the first after FLUSH_SECS."""
        self._known[fingerprint] = answer
        self._fresh.append(_row(fingerprint, request, answer, self.run_id, self.model))
        if len(self._fresh) >= FLUSH_ANSWERS or time.monotonic() - self._flushed_at >= FLUSH_SECS:
            self.flush()

    def flush(self) -> None:
        """Write what came since the last time."""
        if self._fresh:
            table = pa.Table.from_pylist(self._fresh, schema=_SCHEMA)
            self._files.append((self._write(table), table))
            self._fresh = []
        self._flushed_at = time.monotonic()

    def close(self) -> None:
        """Write the rest, and put what was written in pieces into one file."""
        self.flush()
        if len(self._files) > 1:
            pieces = self._files
            self._files = [(self._write(pa.concat_tables(table for _, table in pieces)), pieces[0][1])]
            with suppress(BeamIOError, OSError):  # answers that are there twice do no harm
                FileSystems.delete([path for path, _ in pieces])

    def _write(self, table: pa.Table) -> str:
        sink = io.BytesIO()
        pq.write_table(table.sort_by("fingerprint"), sink, compression="zstd")
        name = f"{self.first}-{self.last}-{uuid.uuid4().hex}.parquet"
        path: str = FileSystems.join(self.folder, name)
        # Under another name first: a reader must not take half a file for a damaged one.
        half = f"{path}.part"
        with FileSystems.create(half, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(sink.getbuffer())
        FileSystems.rename([half], [path])
        return path


def _files_between(folder: str, first: str, last: str) -> Iterator[str]:
    try:
        found = FileSystems.match([FileSystems.join(folder, "*.parquet")])[0].metadata_list
    except BeamIOError:  # there is no such folder before the first answer
        return
    for metadata in sorted(found, key=lambda each: each.path):
        name = _NAME.fullmatch(FileSystems.split(metadata.path)[1])
        if name and name[1] <= last and name[2] >= first:
            yield metadata.path


def _row(fingerprint: str, request: ChatRequest, answer: ChatAnswer, run_id: str, model: str) -> dict[str, object]:
    return {
        "fingerprint": fingerprint,
        "content": answer.content,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "image_tokens": answer.image_tokens,
        "completion_tokens": answer.completion_tokens,
        "probabilities": sorted(answer.probabilities.items()),
        "model": model,
        "prompt_hash": request.prompt_hash,
        "run_id": run_id,
        "answered_ts": dt.datetime.now(dt.UTC),
    }


def _answer(row: Mapping[str, object]) -> ChatAnswer:
    kept = {name: row[name] for name in ("finish_reason", "prompt_tokens", "image_tokens", "completion_tokens")}
    return ChatAnswer(str(row["content"]), probabilities=dict(row["probabilities"]), **kept)  # type: ignore[arg-type,call-overload]

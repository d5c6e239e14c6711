"""Answers of language models, kept beside the snapshots: what was asked once is never paid for
again.

Whoever works on a part of the jobs reads the files of OUTPUT/answers that may hold its answers, and
keeps each new one
as it comes: on a local disk at once, as a line of a journal, so that a kill loses what is under way
and nothing else; in an object store, where nothing can be added to a file, in small files. When the
part is done they are put into one file, together with what killed runs have left and with the files
of earlier runs where these are many.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from transforms.caching.files import (
    AnswerFile,
    Journal,
    Row,
    claim,
    is_local,
    newest,
    read_file,
    read_files,
    remove,
    write_rows,
)
from transforms.models.chat import ChatAnswer, ChatRequest

# In object stores an answer is safe after so many more of them, or with the first after so long.
FLUSH_ANSWERS = 32
FLUSH_SECS = 2.0
# Files of earlier runs that a part may have before they are put together.
MANY_FILES = 8

_log = logging.getLogger(__name__)


@dataclass
class AnswerStore:
    """The answers of the jobs between `first` and `last` in `folder`, held in memory, and those
    that come to it.

    run_id and model are written beside each answer; unreadable: files that `load` could not use, or
    not wholly.
    read_only: what comes is known until the part is done, and nothing on the storage changes.
    """

    folder: str
    first: str
    last: str
    run_id: str
    model: str
    read_only: bool = False
    unreadable: list[str] = field(default_factory=list)
    _known: dict[str, ChatAnswer] = field(default_factory=dict)
    _earlier: list[AnswerFile] = field(default_factory=list)
    _fresh: list[Row] = field(default_factory=list)
    _kept: list[Row] = field(default_factory=list)
    _pieces: list[str] = field(default_factory=list)
    _journal: Journal | None = None
    _flushed_at: float = field(default_factory=time.monotonic)

    def load(self) -> None:
        """Read what earlier runs, or an earlier try of this one, have left.

        What cannot be read is asked for again.

        Raises what the storage raises when its files cannot be listed.
        """
        rows: list[Row] = []
        for file, contents in read_files(self.folder, self.first, self.last):
            rows += contents.rows
            if contents.problem:
                self.unreadable.append(file.path)
                _log.warning(
                    "%s: %s; what it cannot tell is asked for again", file.path, contents.problem
                )
            else:
                self._earlier.append(file)
        self._known |= {fingerprint: _answer(row) for fingerprint, row in newest(rows).items()}

    def get(self, fingerprint: str) -> ChatAnswer | None:
        return self._known.get(fingerprint)

    def put(self, fingerprint: str, request: ChatRequest, answer: ChatAnswer) -> None:
        """Keep an answer: on a local disk at once, else after FLUSH_ANSWERS or with the first after
        FLUSH_SECS.

        Raises what the storage raises, for example OSError when the disk is full.
        """
        self._known[fingerprint] = answer
        if self.read_only:
            return
        self._fresh.append(_row(fingerprint, request, answer, self.run_id, self.model))
        if is_local(self.folder) or len(self._fresh) >= FLUSH_ANSWERS or self._flush_is_due():
            self.flush()

    def flush(self) -> None:
        """Write what came since the last time."""
        if not self._fresh:
            return
        if is_local(self.folder):
            self._journal = self._journal or Journal(self.folder, self.first, self.last)
            for row in self._fresh:
                self._journal.append(row)
            if self._flush_is_due():
                self._journal.sync()
                self._flushed_at = time.monotonic()
        else:
            self._pieces.append(write_rows(self.folder, self.first, self.last, self._fresh))
            self._flushed_at = time.monotonic()
        self._kept += self._fresh
        self._fresh = []

    def close(self) -> None:
        """Write the rest, and put what lies in pieces into one file. Raises what `flush` raises."""
        if self.read_only:
            return
        self.flush()
        try:
            self._put_together()
        except (
            Exception
        ) as error:  # each storage has errors of its own; the pieces hold all answers
            _log.warning("%s: answers stay in small files: %s", self.folder, error)
        finally:
            if self._journal is not None:
                self._journal.close()
            self._journal, self._pieces, self._kept, self._earlier = None, [], [], []

    def _flush_is_due(self) -> bool:
        return time.monotonic() - self._flushed_at >= FLUSH_SECS

    def _put_together(self) -> None:
        with ExitStack() as claims:
            earlier = {
                file.path: read_file(file)
                for file in self._to_merge()
                if claims.enter_context(claim(file))
            }
            # What has become unreadable stays as it is.
            whole = {
                path: contents.rows for path, contents in earlier.items() if not contents.problem
            }
            journal = [] if self._journal is None else [self._journal.path]
            if not whole and not journal and len(self._pieces) < 2:
                return
            rows = newest([*(row for rows in whole.values() for row in rows), *self._kept])
            if rows:
                write_rows(self.folder, self.first, self.last, rows.values())
            remove([*whole, *journal, *self._pieces])

    def _to_merge(self) -> list[AnswerFile]:
        """Journals that killed runs have left, and all files where they are many.

        Only what lies within this part's bounds: others read what reaches beyond them.
        """
        own = [
            file for file in self._earlier if self.first <= file.first and file.last <= self.last
        ]
        return own if len(own) > MANY_FILES else [file for file in own if file.is_journal]


def forget_answers(folder: str, fingerprints: Collection[str]) -> int:
    """Drop these answers, so that the next run asks again; returns how many there were.

    Files that cannot be read stay and are named in a warning. Of a damaged journal the rows that
    are whole are kept, and the damaged file is put aside as `<name>.damaged`. Raises
    BlockingIOError when a run is writing such an answer's journal, else what the storage raises;
    what was dropped until then stays dropped.
    """
    unwanted = frozenset(fingerprints)
    forgotten: set[str] = set()
    for file, contents in read_files(folder):
        if contents.problem:
            _log.warning("%s: %s; answers in it may be found again", file.path, contents.problem)
        found = {row["fingerprint"] for row in contents.rows} & unwanted
        if not found:
            continue
        with claim(file) as claimed:
            if not claimed:
                raise BlockingIOError(
                    f"{file.path} is being written; wait until that run has ended"
                )
            rest = [row for row in read_file(file).rows if row["fingerprint"] not in unwanted]
            if rest:
                write_rows(folder, file.first, file.last, rest)
            if contents.problem:
                Path(file.path).rename(f"{file.path}.damaged")
            else:
                remove([file.path])
        forgotten |= found
    return len(forgotten)


def _row(
    fingerprint: str, request: ChatRequest, answer: ChatAnswer, run_id: str, model: str
) -> dict[str, object]:
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
    kept = {
        name: row[name]
        for name in ("finish_reason", "prompt_tokens", "image_tokens", "completion_tokens")
    }
    return ChatAnswer(str(row["content"]), probabilities=dict(row["probabilities"]), **kept)  # type: ignore[arg-type,call-overload]

"""Answers of language models, cached so that no request is ever paid for twice.

OUTPUT/answers, by the range of the jobs' keys (transforms/caching/key_range.py).
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import pyarrow as pa

from schemas.tables.columns import ANSWERS
from transforms.caching.files import (
    JsonColumn,
    Row,
    RowLayout,
    claim,
    read_file,
    read_files,
    remove,
    write_rows,
)
from transforms.models.chat import ChatAnswer
from transforms.models.metering import REPORTED

LAYOUT = RowLayout(
    pa.schema(ANSWERS),
    key=("fingerprint",),
    newest_by="answered_ts",
    later_columns=frozenset({"counted"}),
    json_columns={
        "answered_ts": JsonColumn(dt.datetime.isoformat, dt.datetime.fromisoformat),
        # JSON has no tuples, and a Parquet map is read as pairs.
        "probabilities": JsonColumn(list, lambda pairs: [tuple(pair) for pair in pairs]),
    },
)
_ANSWER_COLUMNS = ("finish_reason", "prompt_tokens", "image_tokens", "completion_tokens", "counted")

_log = logging.getLogger(__name__)


class CachedAnswer(NamedTuple):
    """An answer with the hash of the prompt that it was given to."""

    answer: ChatAnswer
    prompt_hash: str


@dataclass(frozen=True, slots=True)
class AnswerCodec:
    """Answers as rows, by the fingerprint of their request.

    run_id, model: written with each new answer.
    """

    run_id: str
    model: str

    layout: ClassVar[RowLayout] = LAYOUT
    journalled: ClassVar[bool] = True
    # In object stores: few enough to lose, and not so few that requests cost more than answers.
    flush_rows: ClassVar[float] = 32
    flush_secs: ClassVar[float] = 2.0
    required: ClassVar[bool] = True

    def row_of(self, key: str, value: CachedAnswer) -> Row:
        answer = value.answer
        return {
            "fingerprint": key,
            "content": answer.content,
            **{name: getattr(answer, name) for name in _ANSWER_COLUMNS},
            "probabilities": sorted(answer.probabilities.items()),
            "model": self.model,
            "prompt_hash": value.prompt_hash,
            "run_id": self.run_id,
            "answered_ts": dt.datetime.now(dt.UTC),
        }

    def key_of(self, row: Row) -> str:
        return str(row["fingerprint"])

    def value_of(self, row: Row) -> CachedAnswer:
        answer = ChatAnswer(
            row["content"],
            probabilities=dict(row["probabilities"]),
            # Earlier versions did not write what the tokens were counted by, and believed all.
            **{name: row[name] for name in _ANSWER_COLUMNS}
            | {"counted": row["counted"] or REPORTED},
        )
        return CachedAnswer(answer, row["prompt_hash"])


def forget_answers(folder: str, fingerprints: Collection[str]) -> int:
    """Drop these answers, so that the next run asks again; return how many there were.

    Files that cannot be read stay and are named in a warning. Of a damaged journal the rows that
    are whole are kept, and the damaged file is renamed to `<name>.damaged`. Raises BlockingIOError
    when a run is writing such an answer's journal, else what the storage raises; what was dropped
    until then stays dropped.
    """
    unwanted = frozenset(fingerprints)
    forgotten: set[str] = set()
    for file, contents in read_files(folder, LAYOUT):
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
            # Read again: until the claim a run may have added to it.
            rows = read_file(file, LAYOUT).rows
            rest = [row for row in rows if row["fingerprint"] not in unwanted]
            if rest:
                write_rows(folder, LAYOUT, file.first, file.last, rest)
            if contents.problem:
                Path(file.path).rename(f"{file.path}.damaged")
            else:
                remove([file.path])
        forgotten |= found
    return len(forgotten)

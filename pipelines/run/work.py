"""Types of a run's work: what is new, what is used again, and what was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from transforms.incremental.previous_answers import PreviousAnswersConfig
from transforms.readers import SplitReport
from transforms.runtime.parquet import DataFile
from transforms.runtime.spool import SpoolRef
from transforms.tables.merge import Base

# Whom demonstrations are chosen from: kept in the snapshot, for runs that continue from it.
POOL = "pool"

Refs = Mapping[str, Sequence[tuple[int, SpoolRef]]]


@dataclass(frozen=True)
class Delta:
    """The work of a run that continues from a snapshot.

    refs: spooled elements by name; splits: what was read of the
    catalog; base: what stays.

    numbers: buckets to write; untouched: the others; counts: items new, changed, made_again,
    unchanged, deleted.
    gone: bucket and item_id of items whose records have left the catalog.
    trusted: comparisons that the whole catalog can be judged by, see FindContradictions.
    notes: for whoever started the run.
    """

    refs: Refs
    splits: tuple[SplitReport, ...]
    base: Base
    numbers: tuple[int, ...]
    untouched: tuple[int, ...]
    counts: dict[str, int]
    trusted: frozenset[tuple[str, str]]
    gone: pa.Table
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.numbers


@dataclass(frozen=True, slots=True)
class Made:
    """The result of a run's pipelines.

    delta: what was new, None where everything was rebuilt; rebuild_reasons: why it was.
    stages, distributions: metrics by stage, empty where no pipeline ran.
    """

    delta: Delta | None
    rebuild_reasons: tuple[str, ...] = ()
    stages: dict[str, dict[str, int]] = field(default_factory=dict)
    distributions: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)


@dataclass(frozen=True)
class PreviousAnswers:
    """Answers of a language model in earlier runs, and the items tables that they are read from."""

    config: PreviousAnswersConfig
    files: Sequence[DataFile]

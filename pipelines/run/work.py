"""Types of a run's work: what is new, what is used again, and what was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import add
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from pipelines.configuration.plan import Plan
from pipelines.snapshots.layout import RunDirs
from transforms.caching.answers import AnswerCodec
from transforms.caching.files import damaged_files
from transforms.caching.image_features import FeatureCodec
from transforms.caching.image_vectors import VectorCodec
from transforms.caching.key_range import DAMAGED
from transforms.images.finding import Pictures
from transforms.images.remote.hosts import Bucket, Host, parse_source
from transforms.images.remote.options import FetchOptions
from transforms.normalise.pictures import PictureAccess
from transforms.probes.report import ProbeReport
from transforms.readers import SplitReport
from transforms.runtime import storage
from transforms.runtime.listing import folder_names
from transforms.runtime.parquet import DataFile
from transforms.tables.merge import Base

if TYPE_CHECKING:
    from transforms.incremental.previous_answers import PreviousAnswersConfig
    from transforms.runtime.spool import SpoolRef


def pictures_of(plan: Plan, dirs: RunDirs) -> Pictures:
    """Return where the run finds the pictures that records name or hold."""
    return Pictures(plan.config.images_root, dirs.kept_pictures, fetching(plan, dirs))


def fetching(plan: Plan, dirs: RunDirs) -> FetchOptions | None:
    """Return how the run fetches pictures of addresses; None where no host or bucket was named."""
    config = plan.config
    if not config.fetch_images:
        return None
    sources = list(map(parse_source, config.fetch_images))
    return FetchOptions(
        tuple(each for each in sources if isinstance(each, Host)),
        dirs.kept_pictures,
        storage.name_of(dirs.snapshot),
        config.image_limits.max_bytes,
        config.fetch_timeout_secs,
        config.fetch_per_host,
        config.fetch_per_min,
        tuple(each for each in sources if isinstance(each, Bucket)),
    )


def picture_access(plan: Plan, dirs: RunDirs) -> PictureAccess:
    """Return what readers of records need for their pictures."""
    pictures = pictures_of(plan, dirs)
    return PictureAccess(pictures.is_there, pictures.keep)


def damaged_caches(dirs: RunDirs, stages: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return warnings for files of kept answers and picture features that workers could not read.

    Which they are is looked for only where a worker found one.
    """
    kept = [("describe", dirs.answers, AnswerCodec.layout)]
    kept += [("prepare", dirs.features, FeatureCodec.layout)]
    if stages.get("prepare", {}).get(DAMAGED):
        further = (storage.join(dirs.features, name) for name in folder_names(dirs.features))
        kept += [("prepare", folder, VectorCodec.layout) for folder in further]
    found = [
        damaged_files(folder, layout)
        for stage, folder, layout in kept
        if stages.get(stage, {}).get(DAMAGED)
    ]
    return [
        f"{each}; what it held was made again where it was needed, move it away if it cannot be "
        "restored"
        for every in found
        for each in every
    ]


Refs: TypeAlias = "Mapping[str, Sequence[tuple[int, SpoolRef]]]"


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

    def followed_by(self, more: Made) -> Made:
        """Return the result with what a further pipeline of the same run measured."""
        return replace(
            self,
            stages=_added_up(self.stages, more.stages),
            distributions=_joined(self.distributions, more.distributions),
        )


def _added_up(
    one: Mapping[str, Mapping[str, int]], other: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    total = {stage: Counter(counters) for stage, counters in one.items()}
    for stage, counters in other.items():
        total.setdefault(stage, Counter()).update(counters)
    return {stage: dict(total[stage]) for stage in sorted(total)}


# How two summaries of a distribution become one.
_JOINED: Mapping[str, Callable[[int, int], int]] = {
    "count": add,
    "sum": add,
    "min": min,
    "max": max,
}


def _joined(
    one: Mapping[str, Mapping[str, Mapping[str, int]]],
    other: Mapping[str, Mapping[str, Mapping[str, int]]],
) -> dict[str, dict[str, dict[str, int]]]:
    total: dict[str, dict[str, dict[str, int]]] = {}
    for stages in (one, other):
        for stage, measures in stages.items():
            known = total.setdefault(stage, {})
            for what, found in measures.items():
                before = known.get(what, {})
                known[what] = {
                    name: _JOINED[name](before[name], number) if name in before else number
                    for name, number in found.items()
                }
    return dict(sorted(total.items()))


@dataclass(frozen=True)
class PreviousAnswers:
    """Answers of a language model in earlier runs, and the items tables that they are read from."""

    config: PreviousAnswersConfig
    files: Sequence[DataFile]


@dataclass(frozen=True, slots=True)
class Kept:
    """The parts of the last snapshot that an incremental run takes as they are, not learnt again.

    probes, pool: now below the new snapshot; answers: of a language model, for the new rows.
    """

    probes: Sequence[ProbeReport] = ()
    pool: Sequence[SpoolRef] = ()
    answers: PreviousAnswers | None = None

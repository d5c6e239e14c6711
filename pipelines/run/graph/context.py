"""What the functions of the graph are given: the `Build` they belong to, and what the stages before
them have made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import apache_beam as beam

from pipelines.configuration.plan import Plan
from pipelines.run.work import PreviousAnswers
from pipelines.snapshots.layout import RunDirs
from transforms.fill.ahead import AheadOutputs
from transforms.fill.cascade import Cascade
from transforms.items.mask import Mask
from transforms.models.contract import ModelOptions
from transforms.models.spaces import VectorSpace
from transforms.probes.learn import EarlierProbe, Examples
from transforms.probes.report import ProbeReport
from transforms.readers import SplitReport
from transforms.runtime.spool import SpoolRef, SpoolRefs
from transforms.runtime.stages.fused import FusedStep
from transforms.runtime.stages.reports import WriteReports
from transforms.tables.build import RunInfo
from transforms.tables.merge import EarlierRows
from transforms.vectors.contract import VectorContract
from transforms.vectors.stage import CanaryWatch

# References to spooled elements by bucket.
ByBucket: TypeAlias = "beam.PCollection[tuple[int, SpoolRef]]"

# The report that has the number of image references.
PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class Build:
    """The context of a graph: what is to be done, for which run, and where.

    mask: what an evaluation hides from every stage after reading.
    label: begins the names of these stages, so that one pipeline can fill a catalog several times.
    spaces: of vectors that are made; None: all of the plan.
    contracts: of the vector tables that are made, by table; none where no vectors are written.
    overlaps: whether one process does stages that follow each other as they come, so that it pays
    to ask a language model meanwhile.
    collected: paths, each with small reports that the launching process reads there; see `collect`.
    """

    plan: Plan
    run: RunInfo
    dirs: RunDirs
    mask: Mask | None = None
    label: str = ""
    spaces: tuple[VectorSpace, ...] | None = None
    contracts: Mapping[str, VectorContract] = field(default_factory=dict)
    overlaps: bool = False
    collected: list[tuple[str, beam.PCollection[Any]]] = field(default_factory=list)

    @property
    def made(self) -> tuple[VectorSpace, ...]:
        """The spaces whose vectors are made."""
        return self.plan.spaces if self.spaces is None else self.spaces

    @property
    def watch(self) -> CanaryWatch | None:
        """What looks at the canaries wherever an encoder is loaded."""
        if not self.contracts:
            return None
        return CanaryWatch(canary_folder(self.dirs), self.contracts)

    @property
    def element_secs(self) -> float:
        """Processor time for one record, picture or answer."""
        return self.plan.config.read_limits.max_element_secs

    @property
    def cascade(self) -> Cascade:
        """What fills missing values."""
        return Cascade(self.plan.template, self.plan.config.rules, self.element_secs)

    @property
    def is_dry_run(self) -> bool:
        """Tell whether nothing is written but what a language model would be asked."""
        return self.plan.dry_run is not None

    @property
    def models(self) -> ModelOptions:
        """Model options of this run's workers."""
        return self.plan.models_of(self.run.run_id, self.dirs.budget_file)

    def collect(self, name: str, reports: beam.PCollection[Any]) -> None:
        """Note reports that `write_reports` will write as a list."""
        self.collected.append((self.report(name), reports))

    def write_reports(self) -> None:
        """Add what writes all reports that were collected; the last thing that a graph is given."""
        if self.collected:
            paths, reports = zip(*self.collected, strict=True)
            _ = reports | "Reports" >> WriteReports(paths)

    def report(self, name: str) -> str:
        """Return the path of a report that the launching process reads."""
        return f"{self.dirs.reports}/{name}.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A catalog that was read, with its images, spooled: what its buckets are put together from.

    reports: of the splits that were read, None where they were read before. ahead: what a language
    model was asked meanwhile.
    """

    spooled: tuple[ByBucket, ...]
    reports: beam.PCollection[SplitReport] | None = None
    ahead: AheadOutputs | None = None

    def adding(self, spooled: ByBucket) -> Prepared:
        """Return the catalog with further elements for its buckets."""
        return replace(self, spooled=(*self.spooled, spooled))


@dataclass(frozen=True, slots=True)
class Assembled:
    """A catalog whose buckets were put together and spooled.

    buckets: all parts of each; findings: what comparing items with each other found, which counts
    or does not by `statistics`, None where they were not compared. examples: of its items, None
    where none were made yet. ahead: as of Prepared.
    """

    buckets: beam.PCollection[tuple[int, SpoolRefs]]
    findings: ByBucket | None = None
    statistics: beam.PCollection[str] | None = None
    examples: Examples | None = None
    ahead: AheadOutputs | None = None


@dataclass(frozen=True, slots=True)
class Filled:
    """References to spooled buckets, and the steps that open and fill them.

    Whoever goes on with buckets does so in the same stage, so that no bucket leaves one.
    """

    spooled: beam.PCollection[Any]
    steps: tuple[FusedStep, ...]


@dataclass(frozen=True, slots=True)
class Previous:
    """The parts of the last snapshot that a full build may use again.

    probes: by attribute, used where the labels have not moved; answers: of a language model;
    rows: those that may turn out the same, text vectors for instance.
    """

    probes: Mapping[str, EarlierProbe] = field(default_factory=dict)
    answers: PreviousAnswers | None = None
    rows: EarlierRows | None = None


@dataclass(frozen=True, slots=True)
class Learnt:
    """The probes and examples that fill values besides rules; None where no probe is trained.

    pool: the items that demonstrations are chosen from; examples: of the items to be filled, where
    they are not among the parts of their buckets.
    """

    reports: beam.PCollection[ProbeReport] | None = None
    pool: beam.PCollection[SpoolRef] | None = None
    examples: beam.PCollection[tuple[int, SpoolRefs]] | None = None


def canary_folder(dirs: RunDirs) -> str:
    """Return where workers leave what their encoders made of the canaries."""
    return f"{dirs.reports}/canaries"

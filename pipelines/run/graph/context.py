"""What the functions of the graph are given: the `Build` they belong to, and what the stages before
them have made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import apache_beam as beam

from pipelines.configuration.plan import Plan
from pipelines.run.work import PreviousAnswers
from pipelines.snapshots.layout import RunDirs
from transforms.fill.ahead import AheadOutputs
from transforms.fill.cascade import Cascade
from transforms.items.mask import Mask
from transforms.models.contract import ModelOptions
from transforms.models.spaces import VectorSpace
from transforms.probes.learn import EarlierProbe
from transforms.probes.report import ProbeReport
from transforms.readers import SplitReport
from transforms.runtime.spool import SpoolRef
from transforms.tables.build import RunInfo
from transforms.tables.merge import EarlierRows
from transforms.vectors.contract import VectorContract
from transforms.vectors.stage import CanaryWatch

# References to spooled elements by bucket, and by the kind of catalog that they are from.
ByBucket: TypeAlias = "beam.PCollection[tuple[int, SpoolRef]]"
ByCatalog: TypeAlias = "beam.PCollection[tuple[str, SpoolRef]]"

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
    """

    plan: Plan
    run: RunInfo
    dirs: RunDirs
    mask: Mask | None = None
    label: str = ""
    spaces: tuple[VectorSpace, ...] | None = None
    contracts: Mapping[str, VectorContract] = field(default_factory=dict)
    overlaps: bool = False

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

    def report(self, name: str) -> str:
        """Return the path of a report that the launching process reads."""
        return f"{self.dirs.reports}/{name}.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A catalog that was read, with its images, spooled by bucket.

    spooled: by the name of the elements; reports: of the splits that were read, None where they
    were read before. ahead: what a language model was asked meanwhile.
    """

    spooled: dict[str, ByBucket]
    reports: beam.PCollection[SplitReport] | None = None
    ahead: AheadOutputs | None = None

    def adding(self, name: str, spooled: ByBucket) -> Prepared:
        """Return the catalog with further elements for its buckets."""
        return replace(self, spooled={**self.spooled, name: spooled})


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

    pool: the items that demonstrations are chosen from.
    """

    reports: beam.PCollection[ProbeReport] | None = None
    pool: ByBucket | None = None


def canary_folder(dirs: RunDirs) -> str:
    """Return where workers leave what their encoders made of the canaries."""
    return f"{dirs.reports}/canaries"

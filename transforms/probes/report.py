"""What is said of a probe: its figures on held-back rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from schemas.template import Template
from transforms.probes.store import FOLDER, StoredProbe
from transforms.probes.training import (
    Probe,
)


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What became of one attribute's probe: a row of the manifest.

    threshold: None where it abstains.
    """

    attribute: str
    path: str
    digest: str
    key: str
    kind: str
    view: str
    labelled: int
    absent: int
    classes: int
    right_when_forced: float
    target_precision: float
    threshold: float | None
    expected_precision: float
    expected_coverage: float
    calibration: str
    note: str
    reused: bool
    disagreements: int
    labels: dict[str, int]
    rules: dict[str, tuple[int, int]]
    majority: tuple[str, ...] = ()

    @property
    def stored(self) -> StoredProbe:
        return StoredProbe(self.attribute, self.path, self.digest)


def report_of(
    template: Template, probe: Probe, stored: StoredProbe, key: str, labels: Mapping[str, int]
) -> ProbeReport:
    """Return the manifest's row of a probe."""
    return ProbeReport(
        attribute=probe.attribute,
        path=stored.path,
        digest=stored.digest,
        key=key,
        kind=probe.kind,
        view=probe.view,
        labelled=probe.labelled,
        absent=probe.absent,
        classes=probe.classes,
        right_when_forced=round(probe.right, 4),
        target_precision=template.by_name[probe.attribute].target_precision,
        threshold=round(probe.cut.threshold, 4) if probe.cut.threshold <= 1 else None,
        expected_precision=round(probe.cut.precision, 4),
        expected_coverage=round(probe.cut.coverage, 4),
        calibration=probe.calibration.kind,
        note=probe.note,
        reused=False,
        disagreements=len(probe.disagreements),
        labels=dict(labels),
        rules={
            f"{kind} in {place}": counts for (kind, place), counts in sorted(probe.rules.items())
        },
        majority=probe.majority,
    )


def below_snapshot(report: ProbeReport) -> ProbeReport:
    """Return the report with its path below the snapshot, which may be moved."""
    name = report.path.replace("\\", "/").rpartition("/")[2]
    return replace(report, path=f"{FOLDER}/{name}")

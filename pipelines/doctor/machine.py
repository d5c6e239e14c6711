"""Checks of the machine: Python, packages, memory, GPU, disk, output, snapshot, template.

Each check yields findings; what it raises is reported as a finding too.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import Requirement

from pipelines.snapshots.history import pointer_fault
from pipelines.snapshots.locks import read_lock
from pipelines.snapshots.manifest import NewerVersionError
from pipelines.snapshots.snapshot import UnusableSnapshotError, read_published
from schemas.loading import TemplateRefusedError, load_template
from transforms.models.backends import CHAT_MODELS, tagger_of
from transforms.models.contract import ModelOptions
from transforms.runtime.storage import is_local

Status = Literal["ok", "warning", "problem"]

# The models take about 1 GiB a worker, and a bucket and what Beam holds as much again.
WORKER_BYTES = 2 * 2**30
MIN_FREE_BYTES = 5 * 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    found: what there is; fix: what to do, empty where all is well.
    """

    name: str
    status: Status
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What to check: the options of a run that matter here. quick: no model is loaded."""

    models: ModelOptions = field(default_factory=ModelOptions)
    template: str = ""
    output: str = ""
    images_root: str = ""
    quick: bool = False


Check = Callable[[Patient], Iterator[Finding]]


def _python(_: Patient) -> Iterator[Finding]:
    # An older one cannot even import this.
    yield Finding("Python", "ok", sys.version.split()[0])


def _packages(patient: Patient) -> Iterator[Finding]:
    """Versions against what this program asks for; of extras those that the chosen backends
    need.
    """
    extras = {"checks", *_extras_of(patient.models)}
    wrong = [
        line
        for line in metadata.requires("catalog-enrich") or ()
        if _is_wrong(Requirement(line), extras)
    ]
    if wrong:
        fix = (
            f"pip install 'catalog-enrich[{','.join(sorted(extras))}]' --constraint constraints.txt"
        )
        yield Finding(
            "packages",
            "problem",
            f"missing or of another version: {', '.join(map(_bare, wrong))}",
            fix,
        )
    else:
        yield Finding(
            "packages",
            "ok",
            f"as this program asks for, with the extras {', '.join(sorted(extras))}",
        )


def _extras_of(models: ModelOptions) -> set[str]:
    chosen = {
        models.describe_backend,
        models.image.backend,
        models.text.backend,
        tagger_of(models.describe_backend),
    }
    known = set(metadata.metadata("catalog-enrich").get_all("Provides-Extra") or ())
    return chosen & known


def _is_wrong(requirement: Requirement, extras: set[str]) -> bool:
    if requirement.marker and not any(
        requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
    ):
        return False
    try:
        return not requirement.specifier.contains(
            metadata.version(requirement.name), prereleases=True
        )
    except metadata.PackageNotFoundError:
        return True


def _bare(line: str) -> str:
    return line.partition(";")[0].strip()


def _memory(_: Patient) -> Iterator[Finding]:
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    free = psutil.virtual_memory().available
    found = f"{cores} cores, {free / 2**30:.1f} GiB of memory free"
    fits = max(1, int(free // WORKER_BYTES))
    if free < WORKER_BYTES:
        yield Finding(
            "memory",
            "problem",
            found,
            "a worker needs about 2 GiB: free memory, or take a larger machine",
        )
    elif fits < cores:
        yield Finding(
            "memory",
            "warning",
            found,
            f"enough for {fits} workers of about 2 GiB: run with --workers {fits}",
        )
    else:
        yield Finding("memory", "ok", found)


def _gpu(patient: Patient) -> Iterator[Finding]:
    backend = CHAT_MODELS.get(patient.models.describe_backend)
    needs = backend is not None and backend.computes_here
    try:
        import torch
    except ImportError:
        if needs:
            yield Finding(
                "GPU",
                "problem",
                "torch is not installed",
                f"pip install 'catalog-enrich[{patient.models.describe_backend}]'",
            )
        return
    if torch.cuda.is_available():
        names = ", ".join(
            torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())
        )
        yield Finding("GPU", "ok", f"{names}; torch {torch.__version__}, CUDA {torch.version.cuda}")
    elif shutil.which("nvidia-smi"):
        fix = "install the torch build for this driver's CUDA version; `nvidia-smi` tells it"
        yield Finding(
            "GPU", "warning", f"there is a driver, and torch {torch.__version__} sees no GPU", fix
        )
    elif needs:
        fix = "a language model on a CPU is slow: take a machine with a GPU, or an --endpoint"
        yield Finding("GPU", "warning", f"none; torch {torch.__version__}", fix)
    else:
        yield Finding("GPU", "ok", "none, and none is needed for the chosen backends")


def _disk(patient: Patient) -> Iterator[Finding]:
    places = {"temporary files": tempfile.gettempdir()}
    if patient.output and is_local(patient.output):
        places["output"] = str(_existing(Path(patient.output)))
    for name, place in places.items():
        free = shutil.disk_usage(place).free
        found = f"{free / 2**30:.1f} GiB free at {place}"
        if free < MIN_FREE_BYTES:
            fix = (
                "free some, or name another --work-dir or --output; `catalog-enrich prune` "
                "removes old snapshots"
            )
            yield Finding(f"disk for {name}", "warning", found, fix)
        else:
            yield Finding(f"disk for {name}", "ok", found)


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def _output(patient: Patient) -> Iterator[Finding]:
    """Check that the output can be written, renamed in one step and hard-linked."""
    if not patient.output or not is_local(patient.output):
        return
    place = _existing(Path(patient.output))
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".doctor-") as folder:
            one, other = Path(folder) / "one", Path(folder) / "other"
            one.write_bytes(b"x")
            one.replace(other)
            try:
                os.link(other, one)
            except OSError as error:
                fix = (
                    "snapshots will copy unchanged files instead of sharing them: more disk, "
                    "nothing else"
                )
                yield Finding(
                    "output", "warning", f"{place}: no hard links ({error.strerror})", fix
                )
                return
    except OSError as error:
        fix = "name a folder that this user may write to"
        yield Finding("output", "problem", f"{place} cannot be written: {error.strerror}", fix)
        return
    yield Finding("output", "ok", f"{place} can be written, and has hard links")


def _snapshot(patient: Patient) -> Iterator[Finding]:
    """Check that the published snapshot is readable, whole and not of the future; and the lock."""
    if not patient.output or not is_local(patient.output) or not Path(patient.output).is_dir():
        return
    lock = read_lock(patient.output)
    if lock is not None:
        whose = f"run {lock.run_id}, process {lock.pid} on {lock.host}, since {lock.started}"
        yield Finding(
            "lock",
            "warning",
            f"a run is at work: {whose}",
            "wait for it, or see `catalog-enrich unlock`",
        )
    try:
        earlier = read_published(patient.output)
    except NewerVersionError as error:
        yield Finding("snapshot", "problem", str(error), "upgrade catalog-enrich")
        return
    except UnusableSnapshotError as error:
        yield Finding(
            "snapshot",
            "problem",
            str(error),
            f"`catalog-enrich rollback {patient.output} --to RUN_ID`",
        )
        return
    if earlier is None:
        lost = pointer_fault(patient.output)
        if lost:
            fix = "do so, or let the next run build everything, with kept answers"
            yield Finding("snapshot", "problem", lost, fix)
        else:
            yield Finding("snapshot", "ok", "none yet: the first run builds everything")
        return
    damaged = [*earlier.damaged_buckets().values(), *earlier.lost_statistics]
    if damaged or earlier.doubts:
        fix = "the next run rebuilds the records of damaged files; check the disk"
        if earlier.doubts:
            fix = "the next run rebuilds everything; check the disk"
        worst = [*earlier.doubts, *damaged][0]
        yield Finding("snapshot", "warning", f"{earlier.run_id}: {worst}", fix)
    else:
        yield Finding("snapshot", "ok", f"{earlier.run_id}, every file as it was written")
    yield from _clock(earlier.manifest.started)


def _clock(last_started: dt.datetime) -> Iterator[Finding]:
    now = dt.datetime.now(dt.UTC)
    if last_started > now:
        yield Finding(
            "clock",
            "problem",
            f"it says {now:%F %T}Z, the last run began at {last_started:%F %T}Z",
            "set the clock",
        )


def _template(patient: Patient) -> Iterator[Finding]:
    if not patient.template:
        return
    try:
        template = load_template(patient.template)
    except TemplateRefusedError as error:
        problems = "; ".join(str(each) for each in error.errors[:3])
        fix = f"`catalog-enrich template check {patient.template}` lists every error with its line"
        yield Finding("template", "problem", problems, fix)
        return
    yield Finding(
        "template",
        "ok",
        f"{template.name} {template.version}, {len(template.attributes)} attributes",
    )
    if template.record.images.are_read and not patient.images_root:
        yield Finding(
            "pictures",
            "warning",
            "the template reads images",
            "name their folder with --images-root",
        )


def _images_root(patient: Patient) -> Iterator[Finding]:
    if not patient.images_root or "://" in patient.images_root:
        return
    root = Path(patient.images_root)
    if not root.is_dir() or not os.access(root, os.R_OK | os.X_OK):
        fix = "name the folder that image paths are relative to"
        yield Finding(
            "pictures", "problem", f"--images-root {patient.images_root!r} cannot be read", fix
        )
    else:
        yield Finding("pictures", "ok", f"{patient.images_root} can be read")


MACHINE_CHECKS: tuple[Check, ...] = (
    _python,
    _packages,
    _memory,
    _gpu,
    _disk,
    _output,
    _snapshot,
    _template,
    _images_root,
)

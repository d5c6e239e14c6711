"""The configuration of a run: one frozen dataclass, whole before any graph exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.configuration.sizing import BUCKET_BYTES, BUCKET_RECORDS, MAX_BUCKETS
from schemas.loading import packaged_templates
from schemas.sections.inputs import InputDescription, parse_description
from transforms.describe.prompts import AskOptions
from transforms.images.files import ImageLimits
from transforms.models.budget import Budget
from transforms.models.contract import ModelOptions
from transforms.probes.training import MAX_LABELLED, MIN_LABELLED
from transforms.readers import FORMATS, ReadLimits
from transforms.runtime.options import check_ranges, group, option


def _extensions() -> Iterator[str]:
    """Yield the extensions of all input formats."""
    for each in FORMATS.values():
        yield from each.extensions


# Titles of groups in the help.
INPUTS = "what to run on"
FILLING = "what fills missing values besides a language model"
EXECUTION = "how to run"
LIMITS = "limits (what exceeds them is quarantined or skipped, with a reason)"
REUSE = "what is reused of earlier runs"


@dataclass(frozen=True, slots=True)
class ReuseOptions:
    """What is reused of earlier runs, and what is kept for later ones.

    Raises ValueError that names the option of a value outside its range.
    """

    full: bool = option(
        False,
        "rebuild every record, not only changed ones; cached model answers are still used",
        once=True,
    )
    refresh_share: float = option(
        0.2,
        "rebuild everything once more than this share of items was added, removed or changed since "
        "the last full build; probes and comparisons between items are not up to date before",
        metavar="SHARE",
        minimum=0,
        maximum=1,
    )
    keep_old: bool = option(
        False,
        "after a change of model, prompt or template entry, keep previous values until new ones "
        "arrive (default: they become unknown)",
    )
    keep_deleted: bool = option(
        False,
        "keep items whose records have left the catalog, with the time when that was seen in "
        "deleted_ts (default: they are removed)",
    )
    accept_drift: bool = option(
        False, "accept drift beyond gate.drift of the template: warn and publish", once=True
    )
    keep: int = option(
        0, "published snapshots to keep, the current one included; 0: all", minimum=0
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True)
class EnrichConfig:
    """What a run is asked to do.

    options: as they were given, for the manifest and for later commands on the same output.
    Ranges of its own options are checked by `make_plan`, which names all problems at once.
    """

    template: str = option(
        help=f"catalog template: one of {', '.join(packaged_templates())}, or the path of a YAML "
        "file",
        group=INPUTS,
        metavar="NAME|FILE",
        is_path=True,
    )
    input: tuple[str, ...] = option(
        help=f"catalog files or globs: {' '.join(_extensions())}",
        group=INPUTS,
        metavar="FILE",
        is_path=True,
    )
    output: str = option(
        help="where snapshots are kept; current.json names the published one",
        group=INPUTS,
        metavar="DIR",
        once=True,
    )
    input_format: str | None = option(
        None,
        "format of all inputs, for names without a known extension",
        group=INPUTS,
        choices=tuple(sorted(FORMATS)),
    )
    input_as: InputDescription | None = option(
        None,
        "how the input is written, where finding it out goes wrong; over input: of the template. "
        f"Keys: {', '.join(InputDescription.model_fields)}",
        group=INPUTS,
        metavar="KEY=VALUE",
        parse=lambda given: parse_description(given) if given else None,
    )
    images_root: str = option(
        "",
        "folder that image paths are relative to; nothing outside it is read",
        group=INPUTS,
        metavar="DIR",
        is_path=True,
    )
    fetch_images: tuple[str, ...] = option(
        (),
        "hosts and buckets that pictures may be fetched from, such as cdn.shop.example, "
        "*.shop.example, 127.0.0.1:8080, s3://bucket or gs://bucket/folder; without it none is",
        group=INPUTS,
        metavar="HOST",
    )
    fetch_timeout_secs: float = option(
        60.0, "time for fetching one picture, redirects and all", group=INPUTS, minimum=0.1
    )
    fetch_per_host: int = option(4, "pictures fetched from a host at once", group=INPUTS, minimum=1)
    fetch_per_min: float = option(
        0.0, "most pictures asked of a host in a minute, 0 for no limit", group=INPUTS, minimum=0
    )
    image_table: tuple[str, ...] = option(
        (),
        "tables that list further images of items (template: record.images.table)",
        group=INPUTS,
        metavar="FILE",
        is_path=True,
    )
    reference: tuple[str, ...] = option(
        (),
        "additional catalogs, read by the same template, for training probes; not written",
        group=INPUTS,
        metavar="FILE",
        is_path=True,
    )
    rules: bool = option(True, "disable rules", group=FILLING, rebuilds=True)
    probes: bool = option(
        True,
        "disable probes; rule confidences stay at their priors",
        group=FILLING,
        rebuilds=True,
    )
    max_labelled: int = option(
        MAX_LABELLED,
        "most rows with a value that one attribute's probe is trained on",
        group=FILLING,
        minimum=MIN_LABELLED,
        rebuilds=True,
    )
    models: ModelOptions = group(ModelOptions, "models")
    ask: AskOptions = group(AskOptions, "language model: what it is asked")
    budget: Budget = group(Budget, "language model: what it may cost")
    read_limits: ReadLimits = group(ReadLimits, LIMITS)
    image_limits: ImageLimits = group(ImageLimits, LIMITS)
    reuse: ReuseOptions = group(ReuseOptions, REUSE)
    report: bool = option(
        True,
        "write no report.html and no Data Docs next to the tables (saves some seconds)",
        group=EXECUTION,
    )
    workers: int = option(
        0,
        "local processes; 0 chooses as many as pay off",
        group=EXECUTION,
        minimum=0,
    )
    buckets: int = option(
        0,
        "number of hash partitions; one file per table each, and each is held in memory as a "
        f"whole; 0 chooses about {BUCKET_RECORDS:,} records or {BUCKET_BYTES >> 20} MiB of input "
        "each",
        group=EXECUTION,
        minimum=0,
        maximum=MAX_BUCKETS,
    )
    work_dir: str = option(
        "",
        "for intermediate files (default: OUTPUT/_work); remote runners need a shared one",
        group=EXECUTION,
        metavar="DIR",
        is_path=True,
    )
    keep_work: bool = option(
        False, "keep the intermediate files after the run", group=EXECUTION, once=True
    )
    options: Mapping[str, Any] = field(default_factory=dict)

"""The configuration of a run: one frozen dataclass, whole and checked before any graph exists."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.configuration.errors import ConfigError
from pipelines.configuration.sizing import MAX_BUCKETS, choose_buckets, choose_workers, count_cores
from schemas.loading import load_template
from schemas.template import Template
from transforms.describe.budget import Budget
from transforms.describe.prompts import AskOptions
from transforms.images.files import ImageLimits
from transforms.models import (
    TAGS_ONLY,
    build_chat_model,
    build_image_encoder,
    build_tagger,
    build_text_encoder,
    missing_requirements,
)
from transforms.models.contract import Model, ModelOptions
from transforms.models.fake.dry_run import Rates
from transforms.probes.training import MAX_LABELLED, MIN_LABELLED, is_learnable
from transforms.readers import InputRefusedError, InputSplit, Peek, ReadLimits, peek, plan_splits
from transforms.runtime import storage

# Imported where the gate checks, as it takes seconds; of the extra `checks`.
GATE_MODULE = "great_expectations"


@dataclass(frozen=True, slots=True)
class ReuseOptions:
    """What is used again of earlier runs, and what is kept for later ones.

    full: make everything anew; refresh_share: share of the items that may come, go or change before
    that is done.
    keep_old: values of another model, prompt or template entry stand until there are better ones.
    keep: published snapshots that are kept, 0: all.
    keep_deleted: items whose records have left the catalog stay, with the time when that was seen.
    accept_drift: what differs from the last snapshot is meant, and refuses nothing.
    Raises ValueError that names the option of a value outside its range.
    """

    full: bool = False
    refresh_share: float = 0.2
    keep_old: bool = False
    keep: int = 0
    keep_deleted: bool = False
    accept_drift: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.refresh_share <= 1:
            raise ValueError(
                f"--refresh-share is {self.refresh_share}; allowed is a share from 0 to 1, such as "
                "0.2"
            )
        if self.keep < 0:
            raise ValueError(
                f"--keep is {self.keep}; write 0 for all snapshots, or the number of those to keep"
            )


@dataclass(frozen=True, slots=True)
class EnrichConfig:
    """What a run is asked to do. Field names are the long options with `_` for `-`.

    reference: catalogs whose labelled rows probes learn from too; rules, probes: whether these
    steps fill values.
    max_labelled: rows of one attribute that its probe learns from.
    workers, buckets: 0 means: chosen from the input. report: whether pages for people are written
    beside the tables.
    options: as they were given, for the manifest and for later commands on the same output.
    """

    template: str
    input: tuple[str, ...]
    output: str
    images_root: str = ""
    image_table: tuple[str, ...] = ()
    input_format: str | None = None
    reference: tuple[str, ...] = ()
    rules: bool = True
    probes: bool = True
    max_labelled: int = MAX_LABELLED
    models: ModelOptions = field(default_factory=ModelOptions)
    ask: AskOptions = field(default_factory=AskOptions)
    budget: Budget = field(default_factory=Budget)
    image_limits: ImageLimits = field(default_factory=ImageLimits)
    read_limits: ReadLimits = field(default_factory=ReadLimits)
    workers: int = 0
    buckets: int = 0
    work_dir: str = ""
    keep_work: bool = False
    report: bool = True
    reuse: ReuseOptions = field(default_factory=ReuseOptions)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration made concrete: template loaded, input found, sizes chosen.

    dry_run: what a language model would be asked is counted, at these rates, and nothing is asked
    or written.
    """

    config: EnrichConfig
    template: Template
    splits: tuple[InputSplit, ...]
    seen: Peek
    workers: int
    buckets: int
    reference_splits: tuple[InputSplit, ...] = ()
    dry_run: Rates | None = None

    @property
    def models(self) -> ModelOptions:
        """Model options with the processor's cores shared among the workers."""
        return replace(self.config.models, threads=max(1, count_cores() // self.workers))

    @property
    def asks_model(self) -> bool:
        """Whether a language model is asked, or tags are all that is said of pictures."""
        return self.config.models.describe_backend != TAGS_ONLY

    @property
    def learns(self) -> bool:
        """Whether probes are trained: the template has attributes that they may fill."""
        return self.config.probes and any(
            is_learnable(attribute) for attribute in self.template.attributes
        )

    def models_of(self, run_id: str) -> ModelOptions:
        """Model options of one run: its workers share a server, and what may be under way
        at once.
        """
        models = self.models
        chat = replace(
            models.chat,
            session=run_id,
            max_inflight=max(1, models.chat.max_inflight // self.workers),
            requests_per_min=models.chat.requests_per_min / self.workers,
            tokens_per_min=models.chat.tokens_per_min / self.workers,
            max_pictures=self.config.ask.max_pictures,
        )
        return replace(models, chat=chat)

    def unmapped_columns(self) -> list[str]:
        """Raw columns that hold values and that the template does not read."""
        mapped = self.template.mapped_columns
        return [
            column
            for column, filled in self.seen.columns.items()
            if filled and column not in mapped
        ]


def make_plan(config: EnrichConfig) -> Plan:
    """Check everything that can be checked before work begins.

    Raises TemplateRefusedError, or ConfigError with all problems at once.
    """
    template = load_template(config.template)
    problems = [*_option_problems(config, template), *_model_problems(config.models)]
    splits: list[InputSplit] = []
    reference: list[InputSplit] = []
    for found, patterns, kind, form in (
        (splits, config.input, "catalog", config.input_format),
        (splits, config.image_table, "image-table", None),
        (reference, config.reference, "catalog", None),
    ):
        try:
            found += plan_splits(patterns, input_format=form, kind=kind) if patterns else []
        except InputRefusedError as error:
            problems += str(error).splitlines()
    if problems:
        raise ConfigError(problems)
    seen = peek([split for split in splits if split.kind == "catalog"])
    misfit = _misfit(template, config.template, seen)
    if misfit:
        raise ConfigError([misfit])
    workers = config.workers or choose_workers(template, splits)
    buckets = config.buckets or choose_buckets(splits, seen)
    return Plan(config, template, tuple(splits), seen, workers, buckets, tuple(reference))


def _option_problems(config: EnrichConfig, template: Template) -> Iterator[str]:
    images = template.record.images
    if (images.columns or config.image_table) and not config.images_root:
        yield (
            f"--images-root is missing: template {template.name} reads pictures; name their folder"
        )
    if config.images_root and not _is_folder(config.images_root):
        yield (
            f"--images-root {config.images_root!r} is no folder; name the one that picture paths "
            "are relative to"
        )
    if config.image_table and images.table is None:
        entry = "table: {id: <column>, image: <column>}"
        yield f"--image-table needs record.images.table in template {template.name}; add {entry}"
    if config.reference and not config.probes:
        yield "--reference is for probes, which --no-probes switches off; leave one of them out"
    if config.max_labelled < MIN_LABELLED:
        yield (
            f"--max-labelled {config.max_labelled} is below {MIN_LABELLED}, the least that a "
            "probe learns from"
        )
    if config.workers < 0:
        yield (
            f"--workers {config.workers} is negative; write 0 for automatic, or the number of "
            "processes"
        )
    if config.buckets < 0 or config.buckets > MAX_BUCKETS:
        yield f"--buckets {config.buckets} is not between 0 (automatic) and {MAX_BUCKETS}"
    for option, place in (("--output", config.output), ("--work-dir", config.work_dir)):
        problem = _unwritable(place) if place else None
        if problem:
            yield f"{option} {place!r} {problem}; name a folder that you may write to"
    if not storage.is_local(config.images_root):
        try:
            storage.require_file_system(config.images_root)
        except ValueError as error:
            yield (
                f"--images-root {config.images_root!r}: {error}; install the extra for that "
                "storage, for example gcp"
            )


def _model_problems(options: ModelOptions) -> Iterator[str]:
    describing = ("--describe-backend", options.describe_backend, build_chat_model)
    build: Callable[[ModelOptions], Model]
    for option, name, build in (
        *([] if options.describe_backend == TAGS_ONLY else [describing]),
        ("--describe-backend", options.describe_backend, build_tagger),
        ("--image-encoder", options.image_encoder, build_image_encoder),
        ("--text-encoder", options.text_encoder, build_text_encoder),
    ):
        try:
            missing = missing_requirements(build(options))
        except ValueError as error:
            yield f"{option} {name}: {error}"
            continue
        if missing:
            yield (
                f"{option} {name} needs {', '.join(missing)}; pip install 'catalog-enrich[{name}]'"
            )
    if find_spec(GATE_MODULE) is None:
        yield f"the gate needs {GATE_MODULE}; pip install 'catalog-enrich[checks]'"


def _misfit(template: Template, named: str, seen: Peek) -> str | None:
    """A message when the template cannot be meant for this input."""
    if not seen.records or any(seen.columns.get(column) for column in template.record.id):
        return None
    return (
        f"template {named} does not fit the input: none of its id columns "
        f"({', '.join(template.record.id)}) holds "
        f"a value in the first {seen.records} records, whose columns are: "
        f"{', '.join(seen.columns) or 'none'}. "
        "Choose another template, or set record.id"
    )


def _unwritable(place: str) -> str | None:
    """Why a local folder cannot be made or written, or None."""
    if not storage.is_local(place):
        return None
    existing = next(
        path for path in (Path(place), *Path(place).absolute().parents) if path.exists()
    )
    if not existing.is_dir():
        return f"cannot be made: {existing} is a file"
    return (
        None
        if os.access(existing, os.W_OK | os.X_OK)
        else f"cannot be written: {existing} does not allow it"
    )


def _is_folder(path: str) -> bool:
    return not storage.is_local(path) or os.path.isdir(path)  # noqa: PTH112

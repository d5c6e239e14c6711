"""What a configuration comes to: everything checked that can be before work begins, the template
loaded, the input found, sizes chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec

from pipelines.configuration.config import EnrichConfig
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.missing_columns import missing_columns, refused_columns
from pipelines.configuration.places import fetch_problems, root_problems, unwritable
from pipelines.configuration.sizing import bucket_limit, choose_buckets, choose_workers, count_cores
from schemas.loading import load_template
from schemas.sections.inputs import InputDescription
from schemas.template import Template, split_source
from schemas.texts import first_names
from transforms.models import (
    build_chat_model,
    build_image_encoder,
    build_tagger,
    build_text_encoder,
    missing_requirements,
)
from transforms.models.backends import TAGS_ONLY
from transforms.models.budget import Spending
from transforms.models.contract import Model, ModelOptions
from transforms.models.fake.dry_run import Rates
from transforms.models.spaces import (
    VectorSpace,
    own_image_options,
    own_text_options,
    spaces_of,
    with_long_texts,
)
from transforms.normalise.column_groups import columns_read
from transforms.normalise.column_names import ColumnNames, resolve
from transforms.normalise.sources import columns_beside
from transforms.probes.training import is_learnable
from transforms.readers import InputRefusedError, InputSplit, Peek, peek, plan_splits
from transforms.readers.added.fill_down import FillDown
from transforms.readers.splits import SPLIT_BYTES
from transforms.runtime import storage
from transforms.runtime.options import range_problems

# Beside the answers in an output: what model servers accept.
SERVERS = "servers"
# Imported where the gate checks, as it takes seconds; of the extra `checks`.
GATE_MODULE = "great_expectations"
# What files are read as; those of --reference are a catalog, too.
CATALOG, IMAGE_TABLE, REFERENCE = "catalog", "image-table", "reference"


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
    def bucket_bytes(self) -> int:
        """What a bucket may hold, see `transforms.runtime.bounds.admission`."""
        return bucket_limit(
            self.config.read_limits.max_bucket_bytes, self.splits, self.seen, self.buckets
        )

    @property
    def spaces(self) -> tuple[VectorSpace, ...]:
        """The spaces of vectors that are made, with their encoders."""
        return spaces_of(self.template, self.models)

    @property
    def asks_model(self) -> bool:
        """Whether a language model is asked; otherwise images get tags only."""
        return self.config.models.describe_backend != TAGS_ONLY

    @property
    def only_counts(self) -> bool:
        """Whether nothing is made or asked: a dry run without a language model."""
        return self.dry_run is not None and not self.asks_model

    @property
    def learns(self) -> bool:
        """Whether probes are trained: the template has attributes that they may fill."""
        return self.config.probes and any(
            is_learnable(attribute) for attribute in self.template.attributes
        )

    def models_of(self, run_id: str, budget_file: str) -> ModelOptions:
        """Model options of one run: its workers share a server, what may be under way at once, and
        a budget, in a file or, where that is empty, in equal parts.
        """
        models = self.models
        chat = replace(
            models.chat,
            session=run_id,
            max_inflight=max(1, models.chat.max_inflight // self.workers),
            requests_per_min=models.chat.requests_per_min / self.workers,
            tokens_per_min=models.chat.tokens_per_min / self.workers,
            max_pictures=self.config.ask.max_pictures,
            learnt_dir=storage.join(self.config.output, SERVERS) if self.config.output else "",
        )
        spending = Spending(self.config.budget, budget_file, self.buckets)
        return replace(models, chat=chat, spending=spending)

    def missing_columns(self) -> list[str]:
        """Columns that the template reads and none of the first records has."""
        return missing_columns(self.template, self.seen)

    def unmapped_columns(self) -> list[str]:
        """Raw columns that hold values and that the template does not read."""
        mapped = columns_read(self.template, ColumnNames(self.seen.columns))
        mapped |= columns_beside(self.template, tuple(self.seen.columns))
        return [
            column
            for column, filled in self.seen.columns.items()
            if filled and column not in mapped
        ]


def make_plan(config: EnrichConfig) -> Plan:
    """Check everything that can be checked before work begins.

    Raises TemplateRefusedError, or ConfigError with all problems at once.
    """
    template = with_long_texts(load_template(config.template), config.models)
    problems = [*_option_problems(config, template), *_model_problems(config.models, template)]
    splits: list[InputSplit] = []
    reference: list[InputSplit] = []
    for found, kind in ((splits, CATALOG), (splits, IMAGE_TABLE), (reference, REFERENCE)):
        try:
            found += splits_of(config, template, kind)
        except InputRefusedError as error:
            problems += str(error).splitlines()
    if problems:
        raise ConfigError(problems)
    catalog = [split for split in splits if split.kind == "catalog"]
    seen = peek(catalog)
    misfit = _misfit(template, config.template, seen)
    if misfit:
        raise ConfigError([misfit])
    if refused := list(refused_columns(template, seen, catalog)):
        raise ConfigError(refused)
    workers = config.workers or choose_workers(template, splits)
    buckets = config.buckets or choose_buckets(splits, seen)
    return Plan(config, template, tuple(splits), seen, workers, buckets, tuple(reference))


def splits_of(
    config: EnrichConfig, template: Template, kind: str, split_bytes: int = SPLIT_BYTES
) -> list[InputSplit]:
    """Return the splits of the files that an option names: those of the catalog, of tables of
    pictures, or of what --reference names, a catalog of the same kind.

    Raises InputRefusedError with all problems.
    """
    patterns = {
        CATALOG: config.input,
        IMAGE_TABLE: config.image_table,
        REFERENCE: config.reference,
    }[kind]
    if not patterns:
        return []
    if kind == IMAGE_TABLE:
        return plan_splits(patterns, kind=IMAGE_TABLE, split_bytes=split_bytes)
    return plan_splits(
        patterns,
        input_format=config.input_format if kind == CATALOG else None,
        split_bytes=split_bytes,
        description=_description(config, template),
        fill_down=FillDown.of(template),
    )


def _description(config: EnrichConfig, template: Template) -> InputDescription:
    return config.input_as.over(template.input) if config.input_as else template.input


def _option_problems(config: EnrichConfig, template: Template) -> Iterator[str]:
    yield from range_problems(config)
    images = template.record.images
    reads_pictures = images.are_read or config.image_table
    if reads_pictures and not (config.images_root or config.fetch_images):
        yield (
            f"--images-root is missing: template {template.name} reads images; name their folder"
        )
    yield from root_problems(config.images_root)
    yield from fetch_problems(config.fetch_images)
    if config.image_table and images.table is None:
        entry = "table: {id: <column>, image: <column>}"
        yield f"--image-table needs record.images.table in template {template.name}; add {entry}"
    if config.reference and not config.probes:
        yield "--reference is for probes, which --no-probes switches off; leave one of them out"
    for flag, place in (("--output", config.output), ("--work-dir", config.work_dir)):
        problem = unwritable(place) if place else None
        if problem:
            yield f"{flag} {place!r} {problem}; name a folder that you may write to"


def _model_problems(options: ModelOptions, template: Template) -> Iterator[str]:
    built: list[tuple[str, str, Callable[[], Model]]] = [
        ("--describe-backend", options.describe_backend, lambda: build_tagger(options)),
        *_encoders_of(options, template),
    ]
    if options.describe_backend != TAGS_ONLY:
        model = ("--describe-backend", options.describe_backend, lambda: build_chat_model(options))
        built.insert(0, model)
    seen: set[str] = set()
    for flag, name, build in built:
        try:
            missing = missing_requirements(build())
        except ValueError as error:
            problem = f"{flag} {name}: {error}"
        else:
            install = f"pip install 'catalog-enrich[{name}]'"
            problem = f"{flag} {name} needs {', '.join(missing)}; {install}" if missing else ""
        # The command line's encoder may be the run's own and that of several spaces.
        if problem and problem not in seen:
            seen.add(problem)
            yield problem
    if find_spec(GATE_MODULE) is None:
        yield f"the gate needs {GATE_MODULE}; pip install 'catalog-enrich[checks]'"


def _encoders_of(
    options: ModelOptions, template: Template
) -> Iterator[tuple[str, str, Callable[[], Model]]]:
    """Yield what names each encoder, its backend, and what builds it; those of the command line
    once, however many spaces they make.
    """
    flags = {"text": "--text-encoder", "image": "--image-encoder"}
    given = {"text": options.text, "image": options.image}
    text, image = own_text_options(options), own_image_options(options)
    yield flags["text"], text.backend, partial(build_text_encoder, options, text)
    yield flags["image"], image.backend, partial(build_image_encoder, options, image)
    for space in spaces_of(template, options):
        is_given = space.options == given[space.modality]
        named = flags[space.modality] if is_given else f"vectors {space.name}: encoder"
        yield named, space.options.backend, partial(space.build, options)


def _misfit(template: Template, named: str, seen: Peek) -> str | None:
    """Return a message if the template cannot be meant for this input."""
    spelled = resolve(template.record.id, seen.columns)
    ids = [spelled.get(column, column) for column in template.record.id]
    ids += [split_source(column, template.columns)[0] for column in ids]
    if not seen.records or any(seen.columns.get(column) for column in ids):
        return None
    return (
        f"template {named} does not fit the input: none of its id columns "
        f"({', '.join(template.record.id)}) holds "
        f"a value in the first {seen.records} records, whose columns are: "
        f"{first_names(seen.columns) or 'none'}. "
        "Choose another template, or set record.id"
    )

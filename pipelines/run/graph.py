"""The graph of the main job: read → images → (learn) → (describe) → fill → validate → text →
embed → write.

Every function takes the `Build` it belongs to and what the stages before it have made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import apache_beam as beam

from pipelines.configuration.plan import Plan
from pipelines.run.work import (
    Delta,
    Kept,
    PreviousAnswers,
    fetching,
    picture_access,
)
from pipelines.snapshots.layout import RunDirs
from pipelines.snapshots.snapshot import POOL
from schemas.elements import Bucket, ImageRef, ImageResult
from transforms.consistency.outliers import FindOutliers
from transforms.consistency.shared_content import FindSharedContent
from transforms.consistency.within_item import FindContradictions
from transforms.describe.items import DescribeConfig, DescribeItems, DescribeOutputs
from transforms.embed.text_vectors import EmbedText
from transforms.fill.ahead import AheadConfig, AheadOutputs, AskAhead
from transforms.fill.cascade import Cascade, FillAttributes
from transforms.images.prepare import Preparation, PrepareImages
from transforms.incremental.previous_answers import ReadPreviousAnswers
from transforms.items.assemble import (
    ANSWERS,
    EXAMPLES,
    FINDINGS,
    NUMBERS,
    PREVIOUS_ANSWERS,
    AssembleBuckets,
    bucket_numbers,
)
from transforms.items.mask import Mask, mask_bucket
from transforms.items.text import ComposeText
from transforms.models.budget import UNLIMITED
from transforms.models.contract import ModelOptions
from transforms.models.spaces import VectorSpace
from transforms.probes.learn import (
    OWN,
    REFERENCE,
    EarlierProbe,
    LearnConfig,
    LearnProbes,
    MakeExamples,
)
from transforms.probes.report import ProbeReport
from transforms.probes.store import FOLDER
from transforms.readers import InputSplit, SplitReport
from transforms.readers.read import ReadCatalog, combination_of
from transforms.runtime.parquet import DataFile
from transforms.runtime.reports import CollectReports, Gather, WriteSorted, write_json
from transforms.runtime.spool import KEYED_REF, Spool, SpoolRef
from transforms.tables.build import Encoders, RunInfo
from transforms.tables.merge import Base, EarlierRows
from transforms.tables.write import WriteTables
from transforms.validation.rows import SOURCE_CHECKS, ValidateItems
from transforms.vectors.contract import VectorContract
from transforms.vectors.stage import CanaryWatch, EmbedCanaries

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


def build_graph(
    pipeline: beam.Pipeline, build: Build, encoders: Encoders, previous: Previous | None = None
) -> None:
    """Add the whole job to `pipeline`.

    Records and rejects meet again in their bucket, so none can be lost.

    A bucket is put together once for each stage that must have seen all of them: to learn from, to
    see what is open, and to write. That costs far less than keeping whole buckets in between.
    """
    previous = previous or Previous()
    prepared = _read(pipeline, build, build.plan.splits, "", asks=previous.answers is None)
    prepared = _with_previous_answers(prepared, build, previous.answers)
    prepared = prepared.adding(FINDINGS, _find_contradictions(prepared, build))
    filled = fill_catalog(prepared, build, read_reference(pipeline, build), previous.probes)
    _ = prepared.reports | "Collect reads" >> CollectReports(build.report("splits"))
    if filled is not None:
        _write(filled, build, encoders, rows=previous.rows)


def build_reading(pipeline: beam.Pipeline, build: Build) -> None:
    """Add what counts a catalog and its image references to `pipeline`, and opens no image."""
    plan, dirs = build.plan, build.dirs
    read = pipeline | "Read" >> ReadCatalog(
        plan.splits,
        plan.template,
        plan.config.read_limits,
        plan.buckets,
        dirs.spool,
        dirs.heartbeats,
        pictures=picture_access(plan, dirs),
        bucket_bytes=plan.bucket_bytes,
    )
    _ = read.reports | "Collect reads" >> CollectReports(build.report("splits"))
    paths = read.image_refs | "Paths" >> beam.Map(_path_of) | "Distinct paths" >> beam.Distinct()
    counted = paths | "Count paths" >> beam.combiners.Count.Globally()
    _ = counted | "Keep count" >> beam.Map(_keep, build.report(PICTURES))


def build_delta_graph(
    pipeline: beam.Pipeline, build: Build, encoders: Encoders, delta: Delta, kept: Kept
) -> None:
    """Add the job for what is new to `pipeline`; rows that stay are joined where their bucket is
    written.

    Items are not compared with each other: that takes all of them, and a full build does it.
    """
    spooled = {
        name: pipeline | f"Spooled {name}" >> beam.Create(list(refs)).with_output_types(KEYED_REF)
        for name, refs in delta.refs.items()
    }
    images = spooled.pop("image_refs") | "Images" >> prepare_images(build, is_own=True)
    spooled["images"] = images.results | "Spool images" >> Spool(build.dirs.spool)
    spooled[NUMBERS] = bucket_numbers(pipeline, delta.numbers)
    prepared = _with_previous_answers(Prepared(spooled), build, kept.answers)
    compared = _assemble(prepared, build, "Assemble to compare")
    found = compared | "Contradictions" >> FindContradictions(
        build.plan.template, delta.trusted, build.element_secs
    )
    prepared = prepared.adding(
        FINDINGS, found.findings | "Spool findings" >> Spool(build.dirs.spool)
    )
    reports = pool = None
    if build.plan.learns:
        examples = _make_examples(prepared, OWN, build)
        prepared = prepared.adding(EXAMPLES, examples)
        reports = pipeline | "Probes" >> beam.Create(list(kept.probes)).with_output_types(
            ProbeReport
        )
        _ = reports | "Collect probes" >> CollectReports(build.report("probes"))
    if kept.pool:
        pool = pipeline | "Earlier pool" >> beam.Create([(0, ref) for ref in kept.pool])
    filled = _fill(prepared, build, Learnt(reports, pool))
    if filled is not None:
        _write(filled, build, encoders, base=delta.base)


def read_catalog(pipeline: beam.Pipeline, build: Build) -> Prepared:
    """Read the catalog and its images; `build.label` and `build.mask` begin after it."""
    return _read(pipeline, build, build.plan.splits, "")


def read_reference(pipeline: beam.Pipeline, build: Build) -> ByCatalog | None:
    """Read the additional catalogs that probes learn from, and make examples of their items.

    None where there are no such catalogs, or no probe is trained.
    """
    if not build.plan.reference_splits:
        return None
    reference = _read(pipeline, build, build.plan.reference_splits, "Reference ")
    _ = reference.reports | "Collect reference" >> CollectReports(build.report("reference"))
    if not build.plan.learns:
        return None
    return _as_kind(_make_examples(reference, REFERENCE, build), REFERENCE, build)


def fill_catalog(
    prepared: Prepared,
    build: Build,
    reference_examples: ByCatalog | None,
    previous_probes: Mapping[str, EarlierProbe] | None = None,
) -> beam.PCollection[Bucket] | None:
    """Fill or leave unknown every attribute of a catalog; None in a dry run.

    reference_examples: of `read_reference`; previous_probes: of the last snapshot, by attribute.
    """
    if not build.plan.learns:
        return _fill(prepared, build, Learnt())
    label = build.label
    examples = _make_examples(prepared, OWN, build)
    learnt_from = _as_kind(examples, OWN, build)
    if reference_examples is not None:
        both = (learnt_from, reference_examples)
        learnt_from = both | f"{label}All examples" >> beam.Flatten()
    reports, pool = learnt_from | f"{label}Learn" >> LearnProbes(
        _learning(build, previous_probes or {}), build.dirs.spool, build.dirs.heartbeats
    )
    _ = reports | f"{label}Collect probes" >> CollectReports(build.report("probes"))
    files = pool | f"{label}Pool files" >> beam.Values()
    _ = files | f"{label}Keep pool" >> Gather(WriteSorted(build.report(POOL)))
    return _fill(prepared.adding(EXAMPLES, examples), build, Learnt(reports, pool))


def _fill(prepared: Prepared, build: Build, learnt: Learnt) -> beam.PCollection[Bucket] | None:
    """Fill values by rules, probes and the language model.

    None in a dry run, of which nothing is wanted but the number of questions.
    """
    plan, label = build.plan, build.label
    if plan.asks_model:
        described = _describe(prepared, build, learnt)
        answers = described.answers | f"{label}Spool answers" >> Spool(build.dirs.spool)
        prepared = prepared.adding(ANSWERS, answers)
        usage = described.usage
        if prepared.ahead is not None:
            usage = (usage, prepared.ahead.usage) | "All usage" >> beam.Flatten()
        _ = usage | f"{label}Collect usage" >> CollectReports(build.report("usage"))
    if build.is_dry_run:
        return None
    buckets = _assemble_masked(prepared, build, "Assemble", build.dirs.heartbeats)
    return buckets | f"{label}Fill" >> FillAttributes(build.cascade, learnt.reports)


def _describe(prepared: Prepared, build: Build, learnt: Learnt) -> DescribeOutputs:
    """Ask a language model for what is open after the cheap steps.

    Rows that will be quarantined are validated away first: nothing is paid for them.
    """
    plan, dirs, label = build.plan, build.dirs, build.label
    pool = None
    if learnt.pool is not None:
        pool = beam.pvalue.AsList(learnt.pool | f"{label}Pool" >> beam.Values())
    described: DescribeOutputs = (
        _assemble_masked(prepared, build, "Assemble to ask")
        | f"{label}Fill to ask" >> FillAttributes(build.cascade, learnt.reports)
        | f"{label}Validate to ask"
        >> ValidateItems(plan.template, SOURCE_CHECKS, build.element_secs)
        | f"{label}Describe"
        >> DescribeItems(
            _describe_config(build),
            dirs.spool,
            dirs.heartbeats,
            pool,
            None if prepared.ahead is None else prepared.ahead.asked,
        )
    )
    return described


def _describe_config(build: Build) -> DescribeConfig:
    plan, dirs = build.plan, build.dirs
    return DescribeConfig(
        plan.template,
        build.models,
        plan.config.ask,
        plan.buckets,
        build.run.run_id,
        dirs.pictures,
        dirs.answers,
        plan.dry_run,
        build.element_secs,
    )


def _asks_ahead(build: Build) -> bool:
    """Tell whether a language model is asked while pictures are prepared.

    Not within a budget, which is spent on the cheapest questions first; and not where the model
    needs the processor itself.
    """
    config = build.plan.config
    return (
        build.overlaps
        and config.models.describe_backend == "openai"
        and build.plan.dry_run is None
        and config.budget.limit == UNLIMITED
    )


def _ask_ahead(
    images: beam.PCollection[tuple[int, ImageResult]], spooled: Mapping[str, ByBucket], build: Build
) -> AheadOutputs:
    plan, dirs = build.plan, build.dirs
    config = AheadConfig(
        _describe_config(build),
        build.cascade,
        combination_of(plan.template, picture_access(plan, dirs)),
        plan.bucket_bytes,
        plan.learns,
    )
    refs = [spooled[name] for name in ("records", "image_rows", "rejects")]
    listed = beam.pvalue.AsList(refs | "References ahead" >> beam.Flatten())
    asked: AheadOutputs = images | "Ahead" >> AskAhead(config, listed, dirs.spool, dirs.heartbeats)
    return asked


def _write(
    filled: beam.PCollection[Bucket],
    build: Build,
    encoders: Encoders,
    *,
    base: Base | None = None,
    rows: EarlierRows | None = None,
) -> None:
    plan, dirs = build.plan, build.dirs
    written = (
        filled
        | "Validate" >> ValidateItems(plan.template, element_secs=build.element_secs)
        | "Text" >> ComposeText(plan.template, build.element_secs)
    )
    kept = frozenset[str]() if base is None else base.kept_whole
    embedding = EmbedText(
        plan.template,
        build.models,
        tuple(space for space in build.made if space.spec.table not in kept),
        dirs.heartbeats,
        rows,
        build.watch,
    )
    if embedding.text_spaces:
        written = written | "Embed" >> embedding
    written = written | "Write" >> WriteTables(
        dirs.snapshot,
        plan.template,
        encoders,
        build.run,
        dirs.heartbeats,
        base,
        rows,
        first_canaries(filled.pipeline, build) if base is None else None,
    )
    _ = written | "Collect buckets" >> CollectReports(build.report("buckets"))


def first_canaries(pipeline: beam.Pipeline, build: Build) -> beam.pvalue.AsDict | None:
    """Return the canaries of tables that are made for the first time, as a side input.

    An encoder of pictures is not loaded for a catalog without any.
    """
    images = build.plan.template.record.images
    reads_pictures = bool(images.are_read or images.table)
    spaces = [
        space
        for space in build.made
        if space.spec.table in build.contracts
        and not build.contracts[space.spec.table].canaries
        and (space.modality == "text" or reads_pictures)
    ]
    if build.watch is None or not spaces:
        return None
    embedded = (
        pipeline
        | "New spaces" >> beam.Create(spaces, reshuffle=False)
        | "Canaries" >> EmbedCanaries(build.watch, build.models)
    )
    return beam.pvalue.AsDict(embedded)


def canary_folder(dirs: RunDirs) -> str:
    """Return where workers leave what their encoders made of the canaries."""
    return f"{dirs.reports}/canaries"


def _with_previous_answers(
    prepared: Prepared, build: Build, answers: PreviousAnswers | None
) -> Prepared:
    if answers is None:
        return prepared
    pipeline = prepared.spooled["records"].pipeline
    spooled = (
        pipeline
        | "Earlier items"
        >> beam.Create(list(answers.files), reshuffle=False).with_output_types(DataFile)
        # Else one worker would read them all.
        | "Spread earlier items" >> beam.Reshuffle()
        | "Read previous answers" >> ReadPreviousAnswers(answers.config)
        | "Spool previous answers" >> Spool(build.dirs.spool)
    )
    return prepared.adding(PREVIOUS_ANSWERS, spooled)


def _read(
    pipeline: beam.Pipeline,
    build: Build,
    splits: Sequence[InputSplit],
    label: str,
    *,
    asks: bool = False,
) -> Prepared:
    """Read a catalog and its images; asks: whether a language model may be asked meanwhile."""
    plan, dirs = build.plan, build.dirs
    is_own = not label
    # The live view counts the catalog's own records only.
    heartbeats = dirs.heartbeats if is_own else ""
    read = pipeline | f"{label}Read" >> ReadCatalog(
        splits,
        plan.template,
        plan.config.read_limits,
        plan.buckets,
        dirs.spool,
        heartbeats,
        pictures=picture_access(plan, dirs),
        bucket_bytes=plan.bucket_bytes,
    )
    references = read.image_refs | f"{label}Spool references" >> Spool(dirs.spool)
    images = references | f"{label}Images" >> prepare_images(build, is_own=is_own)
    spooled = {
        name: elements | f"{label}Spool {name}" >> Spool(dirs.spool)
        for name, elements in (
            ("records", read.records),
            ("images", images.results),
            ("image_rows", read.image_rows),
            ("rejects", read.rejects),
        )
    }
    ahead = _ask_ahead(images.found, spooled, build) if asks and _asks_ahead(build) else None
    numbers = bucket_numbers(pipeline, range(plan.buckets), label)
    return Prepared({**spooled, NUMBERS: numbers}, read.reports, ahead)


def prepare_images(build: Build, *, is_own: bool, is_asked: bool = True) -> PrepareImages:
    """Return the stage that looks at pictures: of the catalog itself, or of another one.

    is_asked: whether a language model may be asked about them.
    """
    plan, dirs = build.plan, build.dirs
    # JPEG files are made for the language model only, which is asked about the own catalog only.
    is_shown = plan.asks_model and is_own and is_asked and not build.is_dry_run
    return PrepareImages(
        plan.config.images_root,
        plan.config.image_limits,
        build.models,
        dirs.spool,
        plan.buckets,
        dirs.heartbeats if is_own else "",
        Preparation(dirs.pictures, plan.config.ask.image_px) if is_shown else None,
        dirs.features,
        build.made if is_own and not build.is_dry_run else (),
        build.watch if is_own else None,
        dirs.kept_pictures,
        fetching(plan, dirs),
        build.element_secs,
    )


def _assemble(
    prepared: Prepared, build: Build, label: str, heartbeats: str = ""
) -> beam.PCollection[Bucket]:
    plan = build.plan
    combination = combination_of(plan.template, picture_access(plan, build.dirs))
    assembling = AssembleBuckets(heartbeats, combination, build.element_secs, plan.bucket_bytes)
    return prepared.spooled | label >> assembling


def _assemble_masked(
    prepared: Prepared, build: Build, stage: str, heartbeats: str = ""
) -> beam.PCollection[Bucket]:
    """Put buckets together as an evaluation's fold sees them, without what it hides."""
    label, mask = f"{build.label}{stage}", build.mask
    buckets = _assemble(prepared, build, label, heartbeats)
    if mask is None:
        return buckets
    return buckets | f"{label} masked" >> beam.Map(lambda bucket: mask_bucket(mask, bucket))


def _find_contradictions(prepared: Prepared, build: Build) -> ByBucket:
    """Find what within an item, or in other items, speaks against what the source gave."""
    plan, dirs = build.plan, build.dirs
    buckets = _assemble(prepared, build, "Assemble to compare")
    contradictions = buckets | "Contradictions" >> FindContradictions(
        plan.template, element_secs=build.element_secs
    )
    _ = contradictions.trusted | "Keep trusted" >> beam.Map(_keep_sorted, build.report("trusted"))
    found = [
        contradictions.findings,
        buckets
        | "Shared content"
        >> FindSharedContent(plan.template, plan.buckets, dirs.spool, build.element_secs),
    ]
    if any(attribute.spec.is_number for attribute in plan.template.attributes):
        # Put together once more, after the numbers of all buckets are known.
        again = _assemble(prepared, build, "Assemble to score")
        found.append(
            (buckets, again) | "Outliers" >> FindOutliers(plan.template, build.element_secs)
        )
    return found | "All findings" >> beam.Flatten() | "Spool findings" >> Spool(dirs.spool)


def _make_examples(catalog: Prepared, kind: str, build: Build) -> ByBucket:
    """Spool what probes see of a catalog's items."""
    config = _learning(build, {})
    return (
        _assemble_masked(catalog, build, f"Assemble {kind} to learn")
        | f"{build.label}Examples {kind}" >> MakeExamples(config, build.dirs.heartbeats)
        | f"{build.label}Spool examples {kind}" >> Spool(build.dirs.spool)
    )


def _as_kind(examples: ByBucket, kind: str, build: Build) -> ByCatalog:
    return examples | f"{build.label}As {kind}" >> beam.Map(_of_kind, kind)


def _learning(build: Build, previous_probes: Mapping[str, EarlierProbe]) -> LearnConfig:
    plan, folder = build.plan, f"{build.dirs.snapshot}/{FOLDER}"
    return LearnConfig(
        plan.template,
        build.models,
        folder,
        plan.config.max_labelled,
        previous_probes,
        build.element_secs,
        plan.bucket_bytes,
    )


def _of_kind(keyed: tuple[int, SpoolRef], kind: str) -> tuple[str, SpoolRef]:
    return kind, keyed[1]


def _path_of(keyed: tuple[int, ImageRef]) -> str:
    return keyed[1].path


def _keep_sorted(listed: Collection[Any], path: str) -> None:
    write_json(path, sorted(listed))


def _keep(count: int, path: str) -> None:
    write_json(path, count)

"""The graph of the main job: read → pictures → (learn) → (describe) → fill → validate → text →
embed → write.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam

from pipelines.configuration.config import Plan
from pipelines.run.work import POOL, Carry, Delta
from pipelines.snapshots.layout import RunDirs
from schemas.elements import ImageRef
from schemas.table_specs import VECTORS
from transforms.consistency.outliers import FindOutliers
from transforms.consistency.shared_content import FindSharedContent
from transforms.consistency.within_item import FindContradictions
from transforms.describe.items import DescribeConfig, DescribeItems, DescribeOutputs
from transforms.embed.text_vectors import EmbedText
from transforms.fill.cascade import Cascade, FillAttributes
from transforms.images.prepare import Preparation, PrepareImages
from transforms.incremental.previous_answers import ReadCarried
from transforms.items.assemble import ANSWERS, CARRIED, EXAMPLES, FINDINGS, AssembleBuckets
from transforms.items.mask import Mask, mask_bucket
from transforms.items.text import ComposeText
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
from transforms.readers import InputSplit
from transforms.readers.read import ReadCatalog
from transforms.runtime.parquet import DataFile
from transforms.runtime.reports import CollectReports, write_json
from transforms.runtime.spool import Spool, SpoolRef
from transforms.tables.build import Encoders, RunInfo
from transforms.tables.merge import Base, EarlierRows
from transforms.tables.write import WriteTables
from transforms.validation.rows import SOURCE_CHECKS, ValidateItems

Spooled = dict[str, beam.PCollection]

# The report that has the number of picture references.
PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A catalog that was read, with its pictures, spooled by bucket.

    numbers: of the buckets; reports: PCollection[SplitReport], None where it was read before.
    """

    spooled: Spooled
    numbers: Sequence[int]
    reports: beam.PCollection | None = None


def build_graph(
    pipeline: beam.Pipeline,
    plan: Plan,
    run: RunInfo,
    encoders: Encoders,
    dirs: RunDirs,
    earlier: Mapping[str, EarlierProbe] | None = None,
    carry: Carry | None = None,
    rows: EarlierRows | None = None,
) -> None:
    """Add the whole job to `pipeline`.

    Records and rejects meet again in their bucket, so none can be lost.

    A bucket is put together once for each stage that must have seen all of them: to learn from, to
    see what is open, and to write. That costs far less than keeping whole buckets in between.

    earlier: probes of the last snapshot, used again where the labels have not moved; carry: what a
    language model said then; rows: those that may turn out the same.
    """
    prepared = _with_carried(
        read_catalog(pipeline, plan, dirs, plan.splits, ""), pipeline, dirs, carry
    )
    reference = read_catalog(pipeline, plan, dirs, plan.reference_splits, "Reference ")
    compared = {**prepared.spooled, FINDINGS: _contradictions(prepared, plan, dirs)}
    prepared = replace(prepared, spooled=compared)
    taught = learn_from(reference, plan, dirs)
    filled = fill_catalog(prepared, taught, plan, run, dirs, earlier or {}, None, "")
    _ = prepared.reports | "Collect reads" >> CollectReports(f"{dirs.reports}/splits.json")
    _ = reference.reports | "Collect reference" >> CollectReports(f"{dirs.reports}/reference.json")
    if plan.rehearsal is None:
        _write(filled, plan, run, encoders, dirs, None, rows)


def build_reading(pipeline: beam.Pipeline, plan: Plan, dirs: RunDirs) -> None:
    """Add what counts a catalog and its picture references to `pipeline`, and looks at no
    picture.
    """
    read = pipeline | "Read" >> ReadCatalog(
        plan.splits, plan.template, plan.config.read_limits, plan.buckets, dirs.heartbeats
    )
    _ = read.reports | "Collect reads" >> CollectReports(f"{dirs.reports}/splits.json")
    paths = read.image_refs | "Paths" >> beam.Map(_path_of) | "Distinct paths" >> beam.Distinct()
    counted = paths | "Count paths" >> beam.combiners.Count.Globally()
    _ = counted | "Keep count" >> beam.Map(_keep, f"{dirs.reports}/{PICTURES}.json")


def build_delta_graph(
    pipeline: beam.Pipeline,
    plan: Plan,
    run: RunInfo,
    encoders: Encoders,
    dirs: RunDirs,
    delta: Delta,
    probes: Sequence[ProbeReport],
    pool: Sequence[SpoolRef],
    carry: Carry | None,
) -> None:
    """Add the job for what is new to `pipeline`; rows that stay are joined where their bucket is
    written.

    probes, pool: of the last snapshot, which are not made anew. What compares items with each other
    is not looked for.
    """
    spooled = {
        name: pipeline
        | f"Spooled {name}"
        >> beam.Create(list(refs)).with_output_types(tuple[int, tuple[str, int]])
        for name, refs in delta.refs.items()
    }
    images = spooled.pop("image_refs") | "Images" >> _prepare_images(plan, dirs, own=True)
    spooled["images"] = images | "Spool images" >> Spool(dirs.spool)
    prepared = _with_carried(Prepared(spooled, delta.numbers), pipeline, dirs, carry)
    compared = _assembled(prepared, None, "Assemble to compare")
    found = compared | "Contradictions" >> FindContradictions(plan.template, delta.trusted)
    prepared.spooled[FINDINGS] = found.findings | "Spool findings" >> Spool(dirs.spool)
    reports = None
    if plan.learns:
        prepared.spooled[EXAMPLES], _ = _examples(prepared, OWN, plan, dirs, None, "")
        reports = pipeline | "Probes" >> beam.Create(list(probes)).with_output_types(ProbeReport)
        _ = reports | "Collect probes" >> CollectReports(f"{dirs.reports}/probes.json")
    shown = pipeline | "Earlier pool" >> beam.Create([(0, ref) for ref in pool]) if pool else None
    filled = _filled(prepared, plan, run, dirs, reports, shown, None, "")
    if plan.rehearsal is None:
        _write(filled, plan, run, encoders, dirs, delta.base)


def _write(
    filled: beam.PCollection,
    plan: Plan,
    run: RunInfo,
    encoders: Encoders,
    dirs: RunDirs,
    base: Base | None,
    rows: EarlierRows | None = None,
) -> None:
    written = (
        filled | "Validate" >> ValidateItems(plan.template) | "Text" >> ComposeText(plan.template)
    )
    if base is None or VECTORS["text"].name not in base.kept_whole:
        written = written | "Embed" >> EmbedText(plan.models, dirs.heartbeats, rows)
    written = written | "Write" >> WriteTables(
        dirs.snapshot, plan.template, encoders, run, dirs.heartbeats, base, rows
    )
    _ = written | "Collect buckets" >> CollectReports(f"{dirs.reports}/buckets.json")


def _with_carried(
    prepared: Prepared, pipeline: beam.Pipeline, dirs: RunDirs, carry: Carry | None
) -> Prepared:
    if carry is None:
        return prepared
    carried = (
        pipeline
        | "Earlier items" >> beam.Create(list(carry.files)).with_output_types(DataFile)
        | "Spread earlier items" >> beam.Reshuffle()
        | "Carry over" >> ReadCarried(carry.config)
        | "Spool carried" >> Spool(dirs.spool)
    )
    return replace(prepared, spooled={**prepared.spooled, CARRIED: carried})


def read_catalog(
    pipeline: beam.Pipeline, plan: Plan, dirs: RunDirs, splits: Sequence[InputSplit], label: str
) -> Prepared:
    """Read a catalog and its pictures. label: begins the names of its stages."""
    own = not label
    beats = dirs.heartbeats if own else ""
    read = pipeline | f"{label}Read" >> ReadCatalog(
        splits, plan.template, plan.config.read_limits, plan.buckets, beats
    )
    references = read.image_refs | f"{label}Spool references" >> Spool(dirs.spool)
    images = references | f"{label}Images" >> _prepare_images(plan, dirs, own=own)
    spooled = {
        name: elements | f"{label}Spool {name}" >> Spool(dirs.spool)
        for name, elements in (
            ("records", read.records),
            ("images", images),
            ("image_rows", read.image_rows),
            ("rejects", read.rejects),
        )
    }
    return Prepared(spooled, range(plan.buckets), read.reports)


def _prepare_images(plan: Plan, dirs: RunDirs, *, own: bool) -> PrepareImages:
    shown = plan.asks_model and own and plan.rehearsal is None
    return PrepareImages(
        plan.config.images_root,
        plan.config.image_limits,
        plan.models,
        dirs.spool,
        plan.buckets,
        dirs.heartbeats if own else "",
        Preparation(dirs.pictures, plan.config.ask.image_px) if shown else None,
        dirs.features,
    )


def learn_from(reference: Prepared, plan: Plan, dirs: RunDirs) -> beam.PCollection | None:
    """PCollection[KV[kind, SpoolRef]] of what probes see of other catalogs' items; None where no
    probe is trained.
    """
    return _examples(reference, REFERENCE, plan, dirs, None, "")[1] if plan.learns else None


def fill_catalog(
    prepared: Prepared,
    taught: beam.PCollection | None,
    plan: Plan,
    run: RunInfo,
    dirs: RunDirs,
    earlier: Mapping[str, EarlierProbe],
    mask: Mask | None,
    label: str,
) -> beam.PCollection:
    """PCollection[Bucket] with every attribute settled or unknown.

    taught: other catalogs' examples; earlier: probes of the last snapshot, by attribute.
    mask: what an evaluation hides from all that follows; label: begins the names of its stages.
    """
    prepared, reports = replace(prepared, spooled=dict(prepared.spooled)), None
    pool: beam.PCollection | None = None
    if taught is not None:
        prepared.spooled[EXAMPLES], own = _examples(prepared, OWN, plan, dirs, mask, label)
        reports, pool = (
            (own, taught)
            | f"{label}All examples" >> beam.Flatten()
            | f"{label}Learn"
            >> LearnProbes(_learning(plan, dirs, earlier), dirs.spool, dirs.heartbeats)
        )
        _ = reports | f"{label}Collect probes" >> CollectReports(f"{dirs.reports}/probes.json")
        listed = (
            pool
            | f"{label}Pool files" >> beam.Values()
            | f"{label}List pool" >> beam.combiners.ToList()
        )
        _ = listed | f"{label}Keep pool" >> beam.Map(_keep_sorted, f"{dirs.reports}/{POOL}.json")
    return _filled(prepared, plan, run, dirs, reports, pool, mask, label)


def _filled(
    prepared: Prepared,
    plan: Plan,
    run: RunInfo,
    dirs: RunDirs,
    reports: beam.PCollection | None,
    pool: beam.PCollection | None,
    mask: Mask | None,
    label: str,
) -> beam.PCollection:
    """What rules, probes (`reports`) and the language model make of it; pool: whom demonstrations
    are chosen from.

    None in a rehearsal, of which nothing is wanted but what would be asked.
    """
    if plan.asks_model:
        described = _describe(prepared, plan, run, dirs, reports, pool, mask, label)
        answers = described.answers | f"{label}Spool answers" >> Spool(dirs.spool)
        prepared = replace(prepared, spooled={**prepared.spooled, ANSWERS: answers})
        _ = described.usage | f"{label}Collect usage" >> CollectReports(
            f"{dirs.reports}/usage.json"
        )
    if plan.rehearsal is not None:
        return None
    return _assembled(
        prepared, mask, f"{label}Assemble", dirs.heartbeats
    ) | f"{label}Fill" >> FillAttributes(Cascade(plan.template, plan.config.rules), reports)


def _assembled(
    prepared: Prepared, mask: Mask | None, label: str, beats: str = ""
) -> beam.PCollection:
    buckets = prepared.spooled | label >> AssembleBuckets(prepared.numbers, beats)
    return (
        buckets
        if mask is None
        else buckets | f"{label} masked" >> beam.Map(lambda b: mask_bucket(mask, b))
    )


def _contradictions(prepared: Prepared, plan: Plan, dirs: RunDirs) -> beam.PCollection:
    """What within an item, or in other items, speaks against what the source gave; spooled by
    bucket.
    """
    buckets = _assembled(prepared, None, "Assemble to compare")
    contradictions = buckets | "Contradictions" >> FindContradictions(plan.template)
    _ = contradictions.trusted | "Keep trusted" >> beam.Map(
        _keep_sorted, f"{dirs.reports}/trusted.json"
    )
    found = [
        contradictions.findings,
        buckets | "Shared content" >> FindSharedContent(plan.template, plan.buckets, dirs.spool),
    ]
    if any(attribute.spec.is_number for attribute in plan.template.attributes):
        again = _assembled(prepared, None, "Assemble to score")
        found.append((buckets, again) | "Outliers" >> FindOutliers(plan.template))
    return found | "All findings" >> beam.Flatten() | "Spool findings" >> Spool(dirs.spool)


def _keep_sorted(listed: Collection[Any], path: str) -> None:
    write_json(path, sorted(listed))


def _keep(count: int, path: str) -> None:
    write_json(path, count)


def _path_of(keyed: tuple[int, ImageRef]) -> str:
    return keyed[1].path


def _learning(plan: Plan, dirs: RunDirs, earlier: Mapping[str, EarlierProbe]) -> LearnConfig:
    folder = f"{dirs.snapshot}/{FOLDER}"
    return LearnConfig(plan.template, plan.models, folder, plan.config.max_labelled, earlier)


def _examples(
    catalog: Prepared, kind: str, plan: Plan, dirs: RunDirs, mask: Mask | None, label: str
) -> tuple[beam.PCollection, beam.PCollection]:
    """What probes see of a catalog's items, spooled: by bucket, and by the kind of catalog."""
    made = _assembled(catalog, mask, f"{label}Assemble {kind} to learn") | (
        f"{label}Examples {kind}" >> MakeExamples(_learning(plan, dirs, {}), dirs.heartbeats)
    )
    spooled = made | f"{label}Spool examples {kind}" >> Spool(dirs.spool)
    return spooled, spooled | f"{label}As {kind}" >> beam.Map(_of_kind, kind)


def _of_kind(keyed: tuple[int, tuple[str, int]], kind: str) -> tuple[str, tuple[str, int]]:
    return kind, keyed[1]


def _describe(
    prepared: Prepared,
    plan: Plan,
    run: RunInfo,
    dirs: RunDirs,
    reports: beam.PCollection | None,
    pool: beam.PCollection | None,
    mask: Mask | None,
    label: str,
) -> DescribeOutputs:
    """What is open after the cheap steps, put to the language model; rows that will be set aside
    are not paid for.
    """
    config = DescribeConfig(
        plan.template,
        plan.models_of(run.run_id),
        plan.config.ask,
        plan.config.budget,
        plan.buckets,
        run.run_id,
        dirs.pictures,
        dirs.answers,
        dirs.purse,
        plan.rehearsal,
    )
    shown = None if pool is None else beam.pvalue.AsList(pool | f"{label}Pool" >> beam.Values())
    described: DescribeOutputs = (
        _assembled(prepared, mask, f"{label}Assemble to ask")
        | f"{label}Fill to ask"
        >> FillAttributes(Cascade(plan.template, plan.config.rules), reports)
        | f"{label}Validate to ask" >> ValidateItems(plan.template, SOURCE_CHECKS)
        | f"{label}Describe" >> DescribeItems(config, dirs.spool, dirs.heartbeats, shown)
    )
    return described

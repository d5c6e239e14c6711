"""A dry run: what a run would do and take, found out before anything is paid.

The same catalog goes through the same cheap steps to the same questions, with a stand-in for the
language model (transforms.models.fake.dry_run). Nothing is published and no answer is kept;
features of images are, so that the run itself finds them.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pipelines.configuration.plan import Plan
from pipelines.configuration.runners import Runner
from pipelines.monitoring.live_view import live_view
from pipelines.monitoring.stderr import stderr_to
from pipelines.monitoring.summary import missing_sentence
from pipelines.run.graph.context import PICTURES
from pipelines.run.job import make
from pipelines.run.selection import Selection
from pipelines.run.start import RunState, begin
from pipelines.run.vectors.changes import VectorChanges
from pipelines.run.work import Delta, Made, damaged_caches
from pipelines.snapshots.layout import Layout, RunDirs, new_run_id
from pipelines.snapshots.locks import output_lock
from pipelines.snapshots.snapshot import Snapshot
from schemas.elements import ImageRef
from transforms.describe.usage import Usage
from transforms.models import build_chat_model
from transforms.models.fake.dry_run import Rates
from transforms.models.http.servers.known import known_capabilities
from transforms.models.tokens import TYPICAL_BYTES_PER_TOKEN
from transforms.normalise.column_groups import keys_in_no_record
from transforms.readers import SplitReport, reading_notes
from transforms.runtime import storage
from transforms.runtime.json_files import read_json, read_reports
from transforms.runtime.spool import read_spool

RULES_OF_THUMB = "rules of thumb"
_MOVED = ("new", "changed", "made_again")


@dataclass(frozen=True, slots=True)
class DryRun:
    """The result of a dry run. Counts are of items, images and requests; tokens are estimates.

    based_on: the snapshot that it would continue from, None where there is none.
    rebuild_reasons: why it would rebuild everything, empty if it would not; vectors_because: why
      it would make or drop tables of vectors of items that stay, likewise.
    records_in: of the catalog; to_make: of them, those that items are made of.
    records: items new, changed ..., None where everything is rebuilt.
    pictures: image references to look at; pictures_known: contents whose features are kept.
    asked: items that a language model would be asked about, each content once.
    calls: requests that would be sent; answers_known: requests that earlier runs have the answer
      of; left_open: items that the budget would leave open.
    prompt_tokens, image_tokens (part of them), completion_tokens, cost: of the calls; cost is None
      without --prices.
    embedding_tokens: that encoders behind an endpoint would read; embedding_cost: None without
      --prices.
    rates: where the tokens and the time come from; empty without calls.
    seconds: None where no earlier run tells; took_secs: of the dry run itself.
    reading: how the input was read where that is not as usual, in sentences; server: how the server
      of the language model would be asked, in a sentence, where it is somebody else's.
    """

    based_on: str | None
    rebuild_reasons: tuple[str, ...]
    records_in: int
    to_make: int
    records: Mapping[str, int] | None
    pictures: int
    pictures_known: int
    model: str | None
    asked: int
    calls: int
    answers_known: int
    left_open: int
    prompt_tokens: int
    image_tokens: int
    completion_tokens: int
    cost: float | None
    rates: str
    seconds: float | None
    took_secs: float
    warnings: tuple[str, ...] = ()
    embedding_tokens: int = 0
    embedding_cost: float | None = None
    reading: tuple[str, ...] = ()
    vectors_because: tuple[str, ...] = ()
    server: str = ""

    def as_row(self) -> dict[str, Any]:
        """Return the object that `plan --json` prints; two keys have the names of its first day."""
        names = {"rebuild_reasons": "because", "took_secs": "rehearsal_secs"}
        return {names.get(each.name, each.name): getattr(self, each.name) for each in fields(self)}


def dry_run(plan: Plan, runner: Runner, progress: str = "never") -> DryRun:
    """Find out what a run would do.

    Raises what a run raises, OutputLockedError while one is at work on the output.
    """
    started, begun = dt.datetime.now(dt.UTC), time.monotonic()
    layout = Layout(plan.config.output, new_run_id(started), plan.config.work_dir)
    storage.connect(runner.options)
    with output_lock(layout.output, layout.run_id, "plan") as warnings:
        state = begin(plan, layout, started, Selection(command="plan"), warnings)
        rates = rates_of(state.plan, state.earlier)
        state = replace(state, plan=replace(state.plan, dry_run=rates))
        try:
            dirs = layout.create()
            with (
                stderr_to(dirs.log if runner.is_local else "") as stderr,
                live_view(progress, dirs.heartbeats, stderr),
            ):
                made = make(state, dirs, runner)
            state.warnings.extend(damaged_caches(dirs, made.stages))
            return _summary(state, dirs, made, time.monotonic() - begun)
        finally:
            layout.remove_snapshot()
            layout.remove_work()


def rates_of(plan: Plan, earlier: Snapshot | None) -> Rates:
    """Return the tokens that calls took in the run that made a snapshot, by rules of thumb where it
    asked none, or another model.
    """
    used = _calls_of(plan, earlier)
    if not used:
        return Rates()
    return Rates(
        prompt_share=used.prompt_tokens / max(1, used.reckoned_tokens),
        image_share=used.image_tokens / max(1, used.prompt_tokens),
        completion_tokens=used.completion_tokens / used.calls,
    )


def _calls_of(plan: Plan, earlier: Snapshot | None) -> Usage | None:
    """Return the usage in the snapshot's manifest.

    None if it cannot tell what calls of this plan's model take.
    """
    if earlier is None or not plan.asks_model:
        return None
    used = earlier.manifest.counts.described
    same = earlier.manifest.versions.get("describe_model") == build_chat_model(plan.models).model
    return used if same and used.calls and used.reckoned_tokens else None


def _summary(state: RunState, dirs: RunDirs, made: Made, took_secs: float) -> DryRun:
    plan, earlier, delta, stages = state.plan, state.earlier, made.delta, made.stages
    splits = (
        delta.splits
        if delta is not None
        else read_reports(f"{dirs.reports}/splits.json", SplitReport)
    )
    records_in = sum(s.records + s.rejects + s.known for s in splits if s.kind == "catalog")
    to_make = records_in if delta is None else sum(delta.counts[each] for each in _MOVED)
    asks = plan.asks_model and not (delta is not None and delta.is_empty)
    usage = sum(read_reports(f"{dirs.reports}/usage.json", Usage), Usage()) if asks else Usage()
    changes = state.vectors if delta is not None else VectorChanges()
    # A run that finds nothing new ends where the dry run did.
    seconds: float | None = took_secs
    to_embed = records_in if _asks_endpoint(plan, changes) else to_make
    embedding_tokens = _embedding_tokens(plan, earlier, to_embed)
    prices = plan.config.budget.prices
    if changes.made:  # no run tells how long another encoder takes
        seconds = None
    elif delta is None or not delta.is_empty:
        seconds = _seconds(plan, earlier, to_make, usage.calls)
    return DryRun(
        based_on=None if earlier is None else earlier.run_id,
        rebuild_reasons=made.rebuild_reasons,
        records_in=records_in,
        to_make=to_make,
        records=None if delta is None else delta.counts,
        pictures=_pictures(dirs, delta, stages, is_asked=asks),
        pictures_known=stages.get("prepare", {}).get("reused", 0),
        model=build_chat_model(plan.models).model if plan.asks_model else None,
        asked=usage.jobs,
        calls=usage.calls,
        answers_known=usage.reused,
        left_open=usage.failed_items.get("budget", 0),
        prompt_tokens=usage.prompt_tokens,
        image_tokens=usage.image_tokens,
        completion_tokens=usage.completion_tokens,
        cost=_cost(plan, usage),
        rates=_source_of_rates(plan, earlier) if usage.calls else "",
        seconds=seconds,
        took_secs=took_secs,
        warnings=(*state.warnings, *(() if delta is None else delta.notes)),
        embedding_tokens=embedding_tokens,
        embedding_cost=prices.embedding_cost(embedding_tokens) if prices.are_given else None,
        reading=(*reading_notes(splits), *_missing(plan)),
        vectors_because=changes.reasons,
        server=_server(plan) if usage.calls else "",
    )


def _server(plan: Plan) -> str:
    if plan.config.models.describe_backend != "openai":
        return ""
    chat = plan.models_of("", "").chat
    return known_capabilities(chat, chat.endpoint).in_short()


def _asks_endpoint(plan: Plan, changes: VectorChanges) -> bool:
    """Tell whether vectors that are made of all items come from an endpoint."""
    return any(space.options.endpoint for space in plan.spaces if space.name in changes.made)


def _missing(plan: Plan) -> Iterator[str]:
    if columns := plan.missing_columns():
        yield missing_sentence(columns)
    if keys := list(keys_in_no_record(plan.template, plan.seen.sample)):
        looked_at = f"none of the first {len(plan.seen.sample):,} records"
        yield f"the template reads keys that {looked_at} has: {'; '.join(keys)}"


def _source_of_rates(plan: Plan, earlier: Snapshot | None) -> str:
    if earlier is not None and _calls_of(plan, earlier):
        return f"run {earlier.run_id}"
    return RULES_OF_THUMB


def _pictures(
    dirs: RunDirs, delta: Delta | None, stages: Mapping[str, Mapping[str, int]], *, is_asked: bool
) -> int:
    if is_asked:
        return stages.get("locate", {}).get("pictures", 0)
    if delta is not None:
        spooled = [spool_ref for _, spool_ref in delta.refs["image_refs"]]
        return len({image.path for image in read_spool(spooled, ImageRef)})
    return int(read_json(f"{dirs.reports}/{PICTURES}.json"))


def _cost(plan: Plan, usage: Usage) -> float | None:
    prices = plan.config.budget.prices
    if not prices.are_given:
        return None
    return prices.cost(usage.prompt_tokens, usage.image_tokens, usage.completion_tokens)


def _embedding_tokens(plan: Plan, earlier: Snapshot | None, to_make: int) -> int:
    """Estimate what encoders behind an endpoint would read: by what they read for an item in the
    last run, else by the size of a record.
    """
    if not plan.config.models.dimensions:
        return 0
    read = made = 0
    if earlier is not None:
        read = earlier.manifest.counts.encoded.prompt_tokens
        made = earlier.manifest.stages.get("embed", {}).get("items", 0)
    tokens = read / made if read and made else plan.seen.mean_bytes / TYPICAL_BYTES_PER_TOKEN
    return round(tokens * to_make)


def _seconds(plan: Plan, earlier: Snapshot | None, to_make: int, calls: int) -> float | None:
    """Estimate by the last run: what it took besides its stages as it was, its stages in proportion
    to the items made, its calls in proportion to the calls.
    """
    if earlier is None:
        return None
    manifest = earlier.manifest
    used, records = manifest.counts.described, manifest.records
    if calls and not used.calls:
        return None
    made = manifest.counts.records_in if records is None else sum(records[each] for each in _MOVED)
    work_secs = (
        sum(stage.get("msecs", 0) for stage in manifest.stages.values()) / 1000 / manifest.workers
    )
    call_secs = used.seconds / max(1, used.calls) / plan.config.models.chat.max_inflight
    rest_secs = max(0.0, manifest.seconds - work_secs - call_secs * used.calls)
    return rest_secs + work_secs * to_make / max(1, made) + call_secs * calls

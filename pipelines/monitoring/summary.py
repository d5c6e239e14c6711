"""Summary that a run prints when it ends: counts, filled values, quarantine, seconds, and where the
results are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.monitoring.check_lines import check_lines
from pipelines.monitoring.terminal import printable
from pipelines.snapshots.manifest import Counts, Manifest
from schemas.expectations import SOURCES
from schemas.reasons import BUDGET, REASONS
from schemas.tables.specs import QUARANTINE, files_by_label
from schemas.texts import few
from transforms.describe.usage import Usage
from transforms.models.http.servers.remedies import told
from transforms.readers import reading_notes

MAX_NAMES, MAX_NAME_CHARS = 12, 60
# Reasons of an unknown value for which there was some evidence, though not enough to fill it.
DESCRIBE_FAILURES = "describe-failure-rate"
BUDGET_SPENT = "the budget was spent; run again for what is open"
UNSURE = ("below-threshold", "ambiguous")
# Reasons of an image reference that points to no file.
_NOT_FOUND = ("image-missing", "image-outside-root", "image-path-invalid", "image-not-a-file")


def print_outcome(manifest: Manifest, manifest_path: str, *, unchanged: bool = False) -> None:
    """Print the summary of a manifest on stdout.

    unchanged: the run found nothing new, so one line says that the published snapshot is current.
    """
    console = Console(highlight=False)
    folder = snapshot_folder(manifest_path, manifest.published)
    if not unchanged:
        write_summary(console, manifest, folder)
        return
    counts = manifest.counts
    held = f"{counts.items:,} items, {counts.records_quarantined:,} in quarantine"
    console.print(
        f"nothing has changed since {manifest.run_id}: {held}, no model was asked", markup=False
    )
    console.print(printable(f"{'published':<11}{folder}"), soft_wrap=True, markup=False)


def print_refusal(manifest: Manifest, manifest_path: str) -> None:
    """Print on stderr why the gate refused a snapshot and where it is kept; stdout stays free for
    programs.
    """
    console = Console(highlight=False, stderr=True)
    used = manifest.counts.described
    for check in manifest.failed:
        for line in check_lines(check):
            console.print(printable(line), soft_wrap=True, markup=False)
        if check.id == DESCRIBE_FAILURES:
            for line in told(used.failed_words, used.items):
                console.print(printable(f"  {line}"), soft_wrap=True, markup=False)
    for line in _where(manifest, snapshot_folder(manifest_path, published=False)):
        console.print(printable(line), soft_wrap=True, markup=False)


def snapshot_folder(manifest_path: str, published: bool) -> str:
    """Return where to read the snapshot: OUTPUT/current if it is published and that link exists,
    else its own folder.

    Object stores and some file systems have no links.
    """
    snapshot = manifest_path.rpartition("/")[0]
    current = f"{snapshot.rsplit('/', 2)[0]}/current"
    return current if published and Path(current).is_symlink() else snapshot


def write_summary(console: Console, manifest: Manifest, folder: str) -> None:
    """Write the summary of a manifest; it fits into 80 columns, long paths aside.

    folder: where the snapshot is read.
    """
    counts = manifest.counts
    timing = f"summed over workers ({manifest.workers}); the whole run includes start-up"
    for table, notes in (
        (_records(manifest), []),
        _filled(counts),
        _probes(manifest),
        (_rejected(counts), []),
        _model(manifest),
        _endpoints(manifest),
        (_stages(manifest), [timing]),
    ):
        if table.row_count:
            console.print(table)
        for note in notes:
            console.print(printable(note), style="dim", markup=False)
    for line, style in _remarks(manifest):
        console.print(printable(line), style=style, markup=False)
    for line in _where(manifest, folder):
        # Paths are for copying: with soft_wrap no line break is put into them.
        console.print(printable(line), soft_wrap=True, markup=False)


def _remarks(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield remarks that the reader should act on, each with its style."""
    counts = manifest.counts
    for sentence in reading_notes(manifest.inputs):
        yield sentence, "dim"
    if manifest.vectors_anew_because:
        reasons = "; ".join(manifest.vectors_anew_because)
        yield f"of all items only vectors changed: {reasons}", "dim"
    if manifest.unmapped_columns:
        yield (
            f"columns that the template does not read: {_unmapped(manifest)}",
            "dim",
        )
    if manifest.missing_columns:
        yield missing_sentence(manifest.missing_columns), "yellow"
    if counts.images and not counts.images.get("usable"):
        yield _no_pictures(counts.images), "yellow"
    for space, number in counts.texts_cut.items():
        read = f"{_share(number, counts.items)} items have a text that is longer than was read"
        yield f"vectors {space}: {read}; --text-long-texts says what becomes of the rest", "yellow"
    faults = counts.quarantined_by_reason.get("internal-error", 0)
    if faults:
        request = "please report it with the messages in the quarantine table"
        fault = f"{faults:,} in quarantine as internal-error, a fault of this program"
        yield f"{fault}: {request}", "red"
    for check in manifest.failed:
        for line in check_lines(check):
            yield line, "red" if check.severity == "critical" else "yellow"
    for line in told(counts.described.failed_words, counts.described.items):
        yield line, "yellow"


def _no_pictures(images: Mapping[str, int]) -> str:
    references = sum(images.values())
    if sum(images.get(reason, 0) for reason in _NOT_FOUND) < references:
        return f"0 of {references:,} picture references could be used; the reasons are listed above"
    return (
        f"0 of {references:,} picture references found below --images-root; is it the right folder?"
    )


def _where(manifest: Manifest, folder: str) -> Iterator[str]:
    if manifest.published:
        yield f"{'published':<11}{folder}"
    else:
        yield f"{'REFUSED':<11}by the gate; readers keep the previous snapshot"
        yield f"{'kept':<11}{folder}"
    for label, files in files_by_label().items():
        if label != QUARANTINE.label or manifest.counts.quarantined_by_reason:
            yield f"{label:<11}{folder}/{files}"
    if manifest.options.get("report", True):
        yield f"{'report':<11}{folder}/report.html"
    yield f"{'manifest':<11}{folder}/manifest.json"


def _named(names: Sequence[str], count: int = 0) -> str:
    """Return the first names; count: how many there are, if more than are listed."""
    shown = few(names, MAX_NAMES, MAX_NAME_CHARS)
    rest = max(count, len(names)) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more (see the report)" if rest > 0 else "")


def _unmapped(manifest: Manifest) -> str:
    return _named(manifest.unmapped_columns, manifest.unmapped_columns_count)


def missing_sentence(columns: Sequence[str]) -> str:
    """Return the sentence about columns that the template reads and the input does not have."""
    return f"the template reads columns that no input has: {_named(columns)}"


def _records(manifest: Manifest) -> Table:
    counts = manifest.counts
    table = Table(title="Records", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("records in", f"{counts.records_in:,}")
    table.add_row("items", f"{counts.items:,}")
    if counts.items_deleted:
        table.add_row("items kept without a record", f"{counts.items_deleted:,}")
    if counts.rows_merged:
        table.add_row("further rows of items", f"{counts.rows_merged:,}")
    table.add_row("quarantined", f"{counts.records_quarantined:,}")
    table.add_row("unaccounted", f"{counts.unaccounted:,}")
    for what, number in (manifest.records or {}).items():
        table.add_row(f"items {what.replace('_', ' ')}", f"{number:,}")
    images = counts.images
    table.add_row("pictures used", f"{images.get('usable', 0):,}")
    table.add_row("pictures skipped", f"{sum(images.values()) - images.get('usable', 0):,}")
    return table


def _filled(counts: Counts) -> tuple[Table, list[str]]:
    """Return the table of values by attribute and source, with its notes.

    Attributes without any value have no row: they are named in a note.
    """
    present = {source for by_source in counts.values.values() for source in by_source}
    sources = [source for source in SOURCES if source in present]
    table = Table(title="Values by attribute and source", title_justify="left")
    table.add_column("attribute", overflow="fold")
    for source in (*sources, "unsure", "unknown"):
        table.add_column("given" if source == "record" else source, justify="right", no_wrap=True)
    never, any_unsure = [], False
    for name, by_source in counts.values.items():
        unsure = sum(by_source.get(f"unknown:{reason}", 0) for reason in UNSURE)
        unknown = (
            sum(count for source, count in by_source.items() if source.startswith("unknown:"))
            - unsure
        )
        if not unsure and not any(source in by_source for source in sources):
            never.append(name)
            continue
        any_unsure = any_unsure or unsure > 0
        table.add_row(
            name, *(f"{by_source.get(s, 0):,}" for s in sources), f"{unsure:,}", f"{unknown:,}"
        )
    notes = ["unsure: there was evidence, not enough to fill the value"] if any_unsure else []
    notes += _settled(counts.missing)
    notes += [f"never known: {_named(never)}"] if never else []
    return table, notes


def _settled(missing: Mapping[str, int]) -> list[str]:
    """Return how much rules and probes filled, and how many items need no call."""
    if not missing.get("values"):
        return []
    values = _share(missing["values_settled"], missing["values"])
    items = _share(missing["items_settled"], missing["items"])
    return [
        f"filled without a language model: {values} missing values; {items} items with missing "
        "values need no call"
    ]


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.0%})"


def _probes(manifest: Manifest) -> tuple[Table, list[str]]:
    """Return the probes that answer, measured on rows held back from training."""
    table = Table(title="Probes, measured on held-back rows", title_justify="left")
    for name in ("attribute", "learnt from", "by", "answers", "right"):
        table.add_column(
            name, overflow="fold", justify="left" if name in ("attribute", "by") else "right"
        )
    notes = []
    for probe in manifest.probes:
        if probe.threshold is not None:
            coverage = f"{probe.expected_coverage:.0%}"
            precision = f"{probe.expected_precision:.0%}"
            by = "spans" if probe.kind == "spans" else probe.view
            rows = f"{probe.labelled:,}" + (" (earlier run)" if probe.reused else "")
            table.add_row(probe.attribute, rows, by, coverage, precision)
    noted = [probe for probe in manifest.probes if probe.kind != "none" and probe.note]
    for note, abstains in (
        ("abstain, see the report for why", True),
        ("measured on other catalogs' rows more than on this one's, see the report", False),
    ):
        names = [probe.attribute for probe in noted if (probe.threshold is None) == abstains]
        if names:
            notes.append(f"{note}: {_named(names)}")
    return table, notes


def _rejected(counts: Counts) -> Table:
    table = Table(title="Quarantined or flagged, by reason", title_justify="left")
    table.add_column("reason")
    table.add_column("quarantined", justify="right")
    table.add_column("flagged", justify="right")
    quarantined = counts.quarantined_by_reason
    for reason in REASONS:
        if quarantined.get(reason) or counts.flags.get(reason):
            numbers = (each.get(reason) for each in (quarantined, counts.flags))
            table.add_row(reason, *(f"{number:,}" if number else "" for number in numbers))
    return table


def _model(manifest: Manifest) -> tuple[Table, list[str]]:
    """Return what the language model was asked, the tokens and seconds of it, and the cost."""
    name = manifest.versions.get("describe_model")
    table = Table(
        title=f"Language model {printable(name or '')}", title_justify="left", show_header=False
    )
    if name is None:
        return table, []
    used = manifest.counts.described
    table.add_column()
    table.add_column(justify="right")
    for label, number in (
        ("items asked about", used.items),
        ("calls", used.calls),
        ("answers of earlier runs", used.reused),
        ("sent again", used.retries),
        ("prompt tokens", used.prompt_tokens),
        ("of these for pictures", used.image_tokens),
        ("answer tokens", used.completion_tokens),
        *_unstated(used),
    ):
        table.add_row(label, f"{number:,}")
    if used.calls:
        table.add_row("seconds a call", f"{used.seconds / used.calls:,.2f}")
    if used.cost:
        table.add_row("cost by --prices", f"{used.cost:,.4f}")
    for what, answers in used.repaired_answers.items():
        table.add_row(f"answers repaired: {what}", f"{answers:,}")
    for reason, items in used.failed_items.items():
        table.add_row(f"items open: {reason}", f"{items:,}")
    notes = [BUDGET_SPENT] if used.failed_items.get(BUDGET) else []
    return table, notes


def _unstated(used: Usage) -> Iterator[tuple[str, int]]:
    """Yield what of the tokens no server stated, where there is any."""
    if used.lost_attempts:
        yield "requests lost, which may cost", used.lost_attempts
        yield "tokens of these", used.lost_tokens
    if used.estimated_tokens:
        yield "of all tokens estimated", used.estimated_tokens


def _endpoints(manifest: Manifest) -> tuple[Table, list[str]]:
    """Return what encoders behind an endpoint were asked, and the cost; no rows where none were."""
    used, title = manifest.counts.encoded, "Encoders behind an endpoint"
    table = Table(title=title, title_justify="left", show_header=False)
    if not used.calls:
        return table, []
    table.add_column()
    table.add_column(justify="right")
    for label, number in (
        ("requests", used.calls),
        ("without an answer", sum(used.failed_calls.values())),
        ("sent again", used.retries),
        ("tokens", used.prompt_tokens),
        *_unstated(used),
    ):
        table.add_row(label, f"{number:,}")
    table.add_row("seconds a request", f"{used.seconds / used.calls:,.2f}")
    if used.cost:
        table.add_row("cost by --prices", f"{used.cost:,.4f}")
    cut = sum(counters.get("encoder_cut", 0) for counters in manifest.stages.values())
    notes = [f"{cut:,} texts were too long for the endpoint and were cut"] if cut else []
    if manifest.counts.flags.get(BUDGET) and not manifest.counts.described.failed_items.get(BUDGET):
        notes.append(BUDGET_SPENT)  # else it is said of the language model
    return table, notes


def _stages(manifest: Manifest) -> Table:
    table = Table(title="Seconds by stage", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    for stage, counters in manifest.stages.items():
        if "msecs" in counters:
            table.add_row(stage, f"{counters['msecs'] / 1000:,.1f}")
    table.add_row("whole run", f"{manifest.seconds:,.0f}")
    return table

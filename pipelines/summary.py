"""What a run says when it ends: counts that close, fills, quarantine, seconds, and where to look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.terminal import printable
from schemas.reasons import REASONS
from schemas.tables import TABLES

MAX_NAMES = 12


def print_summary(manifest: dict[str, Any], manifest_path: str) -> None:
    """Print the summary of a manifest on stdout."""
    console = Console(highlight=False)
    counts = manifest["counts"]
    for table in (_records(counts), _filled(counts), _set_aside(counts), _stages(manifest)):
        if table.row_count:
            console.print(table)

    def say(line: str, style: str = "") -> None:
        console.print(printable(line), style=style, soft_wrap=True, markup=False)

    if manifest["unmapped_columns"]:
        say(f"columns that the template does not read: {_named(manifest['unmapped_columns'])}", "dim")
    for check in manifest["checks"]:
        if not check["passed"]:
            say(check_line(check), "red" if check["severity"] == "critical" else "yellow")
    snapshot = manifest_path.rpartition("/")[0]
    if manifest["published"]:
        say(f"published  {snapshot}")
    else:
        say(f"REFUSED    by the gate and kept for inspection: {snapshot}")
        say("           readers keep the previous snapshot")
    say(f"tables     {snapshot}/{{{','.join(TABLES)}}}/*.parquet")
    say(f"report     {manifest_path}")


def _named(names: Sequence[str]) -> str:
    rest = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {rest} more (see the report)" if rest > 0 else "")


def check_line(check: dict[str, Any]) -> str:
    """A failed check in one line: what was expected, where, how often not, examples."""
    counts = f"{check['unexpected']} of {check['values']} values do not fit"
    examples = f", for example {', '.join(check['examples'])}" if check["examples"] else ""
    return f"{check['severity']}: {check['check']} ({check['column']}: {counts}{examples})"


def _records(counts: dict[str, Any]) -> Table:
    table = Table(title="Records", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("records in", f"{counts['records_in']:,}")
    table.add_row("items", f"{counts['items']:,}")
    table.add_row("quarantined", f"{counts['records_quarantined']:,}")
    table.add_row("unaccounted", f"{counts['unaccounted']:,}")
    images = counts["images"]
    table.add_row("pictures used", f"{images.get('usable', 0):,}")
    table.add_row("pictures skipped", f"{sum(images.values()) - images.get('usable', 0):,}")
    return table


def _filled(counts: dict[str, Any]) -> Table:
    sources = [
        s for s in ("record", "text", "image", "neighbour", "model") if any(s in v for v in counts["values"].values())
    ]
    table = Table(title="Values by attribute and source", title_justify="left")
    table.add_column("attribute")
    for source in (*sources, "unknown"):
        table.add_column("given" if source == "record" else source, justify="right")
    never = []
    for name, by_source in counts["values"].items():
        if not any(source in by_source for source in sources):
            never.append(name)
            continue
        unknown = sum(count for source, count in by_source.items() if source.startswith("unknown:"))
        table.add_row(name, *(f"{by_source.get(source, 0):,}" for source in sources), f"{unknown:,}")
    if never:
        table.caption, table.caption_justify = f"never known: {_named(never)}", "left"
    return table


def _set_aside(counts: dict[str, Any]) -> Table:
    table = Table(title="Set aside or flagged, by reason", title_justify="left")
    table.add_column("reason")
    table.add_column("quarantined", justify="right")
    table.add_column("flagged", justify="right")
    quarantined = {**counts["quarantined"], **counts["image_rows_quarantined"]}
    for reason in REASONS:
        if quarantined.get(reason) or counts["flags"].get(reason):
            table.add_row(reason, str(quarantined.get(reason, "")), str(counts["flags"].get(reason, "")))
    return table


def _stages(manifest: dict[str, Any]) -> Table:
    table = Table(title="Seconds by stage (summed over workers)", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    for stage, counters in manifest["stages"].items():
        if "msecs" in counters:
            table.add_row(stage, f"{counters['msecs'] / 1000:.1f}")
    table.add_row("whole run", f"{manifest['seconds']:.0f}")
    return table

"""`catalog-enrich plan`: what a run would do and take, before anything is paid."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.guards import interruptible
from pipelines.commands.run import planned, progress_of
from pipelines.configuration.options import add_run_options
from pipelines.monitoring.terminal import (
    print_json,
    print_warnings,
    printable,
)
from transforms.runtime.imports import for_good

if TYPE_CHECKING:
    from pipelines.run.dry_run import DryRun


def _plan(options: argparse.Namespace) -> Exit:
    with interruptible():
        plan, runner = planned(options)
        with for_good():
            from pipelines.run.dry_run import dry_run

        found = dry_run(plan, runner, progress_of(options))
    print_json(found.as_row()) if options.json else print_dry_run(found)
    print_warnings(found.warnings)
    return Exit.DONE


def print_dry_run(found: DryRun) -> None:
    """Print what a run would do, within 80 columns."""
    from pipelines.run.dry_run import RULES_OF_THUMB

    console = Console(highlight=False)
    for line in _headlines(found):
        console.print(printable(line), markup=False)
    table = Table(title="A run now would take", title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    for label, value in _rows(found):
        table.add_row(label, value)
    console.print(table)
    if found.rates == RULES_OF_THUMB:
        advice = "a run with --max-model-calls 50 teaches more"
        console.print(f"tokens by rules of thumb; {advice}", style="dim", markup=False)
    elif found.rates:
        console.print(
            printable(f"tokens and time by what calls took in {found.rates}"),
            style="dim",
            markup=False,
        )
    note = f"nothing was paid or published; the dry run took {found.took_secs:,.0f} s"
    console.print(note, style="dim", markup=False)


def _headlines(found: DryRun) -> Iterator[str]:
    if found.based_on is None:
        yield "a first run: everything is built"
    elif found.rebuild_reasons:
        yield f"everything would be rebuilt: {'; '.join(found.rebuild_reasons)}"
    elif found.to_make or (found.records or {}).get("deleted"):
        yield f"the run would continue from {found.based_on}"
    elif not found.vectors_because:
        yield f"nothing has changed since {found.based_on}: no snapshot would be written"
    if found.vectors_because:
        yield f"of all items only vectors would change: {'; '.join(found.vectors_because)}"
    yield from found.reading
    if found.server:
        yield found.server


def _rows(found: DryRun) -> Iterator[tuple[str, str]]:
    yield "records in the catalog", f"{found.records_in:,}"
    yield "records that items are made of", f"{found.to_make:,}"
    for what, number in (found.records or {}).items():
        yield f"  items {what.replace('_', ' ')}", f"{number:,}"
    yield "image references to read", f"{found.pictures:,}"
    if found.pictures_known:
        yield "  contents known from earlier runs", f"{found.pictures_known:,}"
    if found.model is None:
        yield "model calls", "0 (no language model is asked)"
    else:
        yield f"model calls to {printable(found.model)}", f"{found.calls:,}"
        yield "  answers kept from earlier runs", f"{found.answers_known:,}"
        yield "prompt tokens", f"{found.prompt_tokens:,}"
        yield "  of these for images", f"{found.image_tokens:,}"
        yield "answer tokens", f"{found.completion_tokens:,}"
        yield "cost", "not known without --prices" if found.cost is None else f"{found.cost:,.4f}"
    if found.embedding_tokens:
        yield "tokens for encoders' endpoints, about", f"{found.embedding_tokens:,}"
        cost = found.embedding_cost
        yield "  cost", "not known without --prices" if cost is None else f"{cost:,.4f}"
    if found.left_open:
        yield "items that the budget leaves open", f"{found.left_open:,}"
    yield (
        "seconds",
        _seconds(found),
    )


def _seconds(found: DryRun) -> str:
    if found.seconds is not None:
        return f"about {found.seconds:,.0f}"
    if found.vectors_because:
        return "not known before these vectors are made"
    return "not known before a first run"


PLAN = Command(
    "plan",
    "Takes the options of `run` and does what costs nothing: reads, prepares images, tries rules "
    "and probes, and counts what a language model would be asked. Image features are kept for "
    "the run; nothing else is written.",
    [
        "--template my.yaml --input items.csv --images-root images --output features \\\n"
        "      --describe-backend openai --endpoint http://gpu-box:8000/v1 --describe-model NAME "
        "\\\n      --prices prompt=0.15 completion=0.6",
    ],
    add_run_options,
    _plan,
    {
        Exit.DONE: "the estimate was printed",
        Exit.REFUSED: "refused: a run holds the lock of the output",
        Exit.BAD_ARGUMENTS: "bad arguments, template or input; nothing was read",
        Exit.BROKEN_OFF: "it broke off, or a run would: a file of the output is damaged",
    },
    takes_beam_options=True,
)

"""`catalog-enrich vectors`: what the vectors of an output are, and whether an encoder fits them."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.configuration.declare import all_options, declare_options, dest_of
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.sizing import count_cores
from pipelines.monitoring.terminal import print_json, printable, table_text
from pipelines.snapshots.vector_tables import VectorTable, find_vector_tables
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import Encoder
from transforms.runtime.options import Option, options_of
from transforms.vectors.canaries import SAME_COSINE, Agreement, Canary
from transforms.vectors.contract import ContractError, EncoderEntry, VectorContract, query_lines
from transforms.vectors.fit import Encoders, UnusableEncoderError, canaries_of_queries, fit

# What takes any model, for a --query-model of a table whose own encoder takes none.
_ANY_MODEL = "sentence-transformers"
_SHARED = frozenset({"--fake-script"})


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "place",
        metavar="DIR",
        help="the --output of a run, a snapshot, or the folder of one vector table",
    )


def _add_check_options(parser: argparse.ArgumentParser) -> None:
    _add_place(parser)
    parser.add_argument(
        "--query-model",
        nargs="+",
        default=[],
        metavar="ID|DIR",
        help="encoders that queries are to be embedded with (default: the one that is recorded, "
        "for documents and queries)",
    )
    declare_options(parser, ModelOptions, _is_of_encoders)
    # Unlike in a run, an option that was not given is the recorded one and has no default.
    wanted = {dest_of(each) for each, _, _ in all_options(ModelOptions) if _is_of_encoders(each)}
    for action in parser._actions:
        if action.dest in wanted:
            action.default = None
            action.help = (action.help or "").replace(" (default: %(default)s)", "")


def _is_of_encoders(declared: Option) -> bool:
    return declared.flag.startswith(("--text-", "--image-")) or declared.flag in _SHARED


@dataclasses.dataclass(frozen=True, slots=True)
class _Verdict:
    """How an encoder fits a table; agreement: None where there was nothing to compare."""

    table: VectorTable
    encoder: str
    agreement: Agreement | None

    @property
    def state(self) -> str:
        if self.agreement is None:
            return "no vectors" if not self.table.rows else "not recorded"
        return "fits" if self.agreement.fits else "does not fit"

    @property
    def is_fault(self) -> bool:
        return self.state not in ("fits", "no vectors")

    @property
    def detail(self) -> str:
        """What a reader ought to know besides the state."""
        if self.agreement is None and self.table.rows:
            return "no canaries are kept; the next run that loads the encoder keeps them"
        return "" if self.agreement is None else self.agreement.problem

    def as_document(self) -> dict[str, Any]:
        found = self.agreement
        return {
            "table": self.table.contract.table,
            "path": self.table.path,
            "space": self.table.contract.space,
            "encoder": self.encoder,
            "state": self.state,
            "lowest_cosine": None if found is None else round(found.lowest, 6),
            "canaries_compared": 0 if found is None else found.compared,
            "problem": self.detail,
        }


def _check(options: argparse.Namespace) -> Exit:
    tables = find_vector_tables(options.place)
    encoders = Encoders(ModelOptions(fake_script=options.fake_script, threads=count_cores()))
    try:
        verdicts = [
            _verdict(table, model, encoders, options)
            for table in tables
            for model in options.query_model or [""]
        ]
    except (UnusableEncoderError, ContractError) as error:
        raise ConfigError([str(error)]) from error
    if options.json:
        print_json({"least_cosine": SAME_COSINE, "tables": [v.as_document() for v in verdicts]})
    else:
        _print_verdicts(verdicts)
    return Exit.REFUSED if any(verdict.is_fault for verdict in verdicts) else Exit.DONE


def _verdict(
    table: VectorTable, model: str, encoders: Encoders, options: argparse.Namespace
) -> _Verdict:
    """Return how the recorded encoder, changed as the options say, fits a table.

    model: of --query-model, empty where there is none.
    """
    contract = table.contract
    asked = _asked(contract, model, options)
    kept: Sequence[Canary] = canaries_of_queries(contract) if model else contract.canaries
    named = f"{asked.backend} {asked.model}".strip()
    if not kept:
        return _Verdict(table, named, None)
    # An encoder of queries need not read pictures, where a text may search for them.
    of_pictures = any(canary.kind == "picture" for canary in kept)
    encoder: Encoder = encoders.get(asked, of_pictures=of_pictures)
    return _Verdict(table, encoder.card.id, fit(contract, encoder, kept))


def _asked(contract: VectorContract, model: str, options: argparse.Namespace) -> EncoderOptions:
    """Return the options of the encoder that is to be tried on a table.

    What is not given is as recorded; of another model or backend nothing is.
    """
    given: dict[str, Any] = {}
    for field, declared in options_of(EncoderOptions, contract.of):
        value = getattr(options, dest_of(declared))
        if value is not None:
            given[field.name] = value
    if model:
        given["model"] = model
    recorded = contract.options
    if not given.keys() & {"model", "backend"}:
        return dataclasses.replace(recorded, **given)
    default = EncoderOptions(_ANY_MODEL if recorded.backend == "embedded" else recorded.backend)
    return dataclasses.replace(default, **given)


def _print_verdicts(verdicts: Sequence[_Verdict]) -> None:
    console = Console(highlight=False)
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("table", "encoder", "", "least cosine", "canaries"):
        shown.add_column(name, overflow="fold", justify="right" if "c" in name[:1] else "left")
    for verdict in verdicts:
        found = verdict.agreement
        numbers = ("", "") if found is None else (f"{found.lowest:.5f}", str(found.compared))
        cells = (verdict.table.contract.table, verdict.encoder, verdict.state, *numbers)
        shown.add_row(*map(table_text, cells))
    console.print(shown)
    for verdict in verdicts:
        if verdict.detail:
            line = f"{verdict.table.contract.table}: {verdict.detail}"
            console.print(printable(line), markup=False, soft_wrap=True)
    for contract in {
        v.table.contract.table: v.table.contract for v in verdicts if v.is_fault
    }.values():
        for line in query_lines(contract):
            console.print(printable(line), markup=False, soft_wrap=True)


def _show(options: argparse.Namespace) -> Exit:
    tables = find_vector_tables(options.place)
    if options.json:
        print_json([_as_document(table) for table in tables])
        return Exit.DONE
    console = Console(highlight=False)
    by_space: dict[str, list[str]] = {}
    for table in tables:
        by_space.setdefault(table.contract.space, []).append(table.contract.table)
    for table in tables:
        console.print(table.contract.table, style="bold", markup=False)
        others = [each for each in by_space[table.contract.space] if each != table.contract.table]
        for line in (*_about(table), *_shares(others)):
            console.print(printable(f"  {line}"), markup=False, soft_wrap=True)
    return Exit.DONE


def _as_document(table: VectorTable) -> Mapping[str, Any]:
    return {"path": table.path, "rows": table.rows, "contract": table.contract}


def _about(table: VectorTable) -> Iterator[str]:
    """Yield what the vectors of a table are, a line each."""
    contract, made_by = table.contract, table.contract.document
    yield f"{table.rows:,} vectors of {contract.dimension} {contract.dtype} numbers in column " + (
        f"{contract.column}, of length one"
        if contract.normalized
        else f"{contract.column}, of any length"
    )
    yield f"space: {contract.space}; compared by inner product"
    yield f"made by: {_named(made_by)}, {made_by.library}, {_details(made_by)}"
    if contract.of == "image":
        yield "of: the item's pictures, their mean"
    else:
        parts = ", ".join(contract.parts) or "the enriched text"
        yield f"of: {parts}; what is longer than the encoder reads: {contract.long_texts}"
    for line in query_lines(contract):
        yield f"to query: {line.partition(': ')[2]}"
    kept = len(contract.canaries)
    yield f"canaries: {kept}" if kept else "canaries: none, nothing was embedded yet"


def _named(entry: EncoderEntry) -> str:
    revision = f"@{entry.revision}" if entry.revision else ""
    weights = f" (weights {entry.weights_sha256[:12]})" if entry.weights_sha256 else ""
    return f"{entry.id}{revision}{weights}"


def _details(entry: EncoderEntry) -> str:
    limit = f"at most {entry.max_tokens:,} tokens" if entry.max_tokens else ""
    prompt = f"prompt {entry.prompt!r}" if entry.prompt else ""
    pooling = f"pooling {entry.pooling}" if entry.pooling else ""
    return ", ".join(filter(None, (entry.dtype, pooling, limit, prompt)))


def _shares(others: Sequence[str]) -> Iterator[str]:
    if others:
        yield f"shares its space with: {', '.join(others)}"


CHECK_VECTORS = Command(
    "vectors check",
    "Embeds the canaries of each vector table again, five fixed texts and a picture, and compares "
    "their vectors with those that are kept beside the table: every cosine has to be at least "
    f"{SAME_COSINE}. The encoder is the recorded one, with the options that are given instead of "
    "its own, or each that --query-model names.",
    [
        "features",
        "features/current/embeddings/text --query-model ./query-encoder",
        "features --text-device cuda --json",
    ],
    _add_check_options,
    _check,
    {
        Exit.DONE: "every encoder fits every table",
        Exit.REFUSED: "an encoder does not fit, or a table keeps no canaries",
        Exit.BAD_ARGUMENTS: "bad arguments, no vector table there, or an encoder that cannot be "
        "loaded; nothing was compared",
        Exit.BROKEN_OFF: "it broke off (no permission, object store out of reach), or a file "
        "that it reads is damaged; the message names it",
    },
)
SHOW_VECTORS = Command(
    "vectors show",
    "Says of each vector table, in words, which encoder made it of what, which space its vectors "
    "are in, and how a query is embedded.",
    ["features", "features/current/embeddings/text --json"],
    _add_place,
    _show,
)

"""What protocols share: a request, a trial, and catalogs written for the folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.configuration.errors import ConfigError
from pipelines.evaluation.judge import Key, Labels, Truth, texts_of
from schemas.elements import RawRecord, Record
from schemas.hashing import stable_hash
from schemas.template import ColumnFormat, Template
from transforms.extraction.cells import as_mapping, given_text
from transforms.items.mask import Mask, Unit
from transforms.normalise.records import Normaliser
from transforms.readers import (
    ANYHOW,
    InputRefusedError,
    ParsedRecord,
    ReadLimits,
    plan_splits,
    read_split,
)
from transforms.readers.added.fill_down import FillDown

FOLDS = 5


MAX_EXAMPLES = 3


NO_RECORD = RawRecord(b"", "jsonl", "", 0)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be evaluated, from the command line.

    folds: of protocols that hide values; labelled_folds: of implicitave, 0 labels nothing of what
    is evaluated.
    limit: so many records, chosen by a hash of their id; 0 takes all. work: an empty folder for
    prepared files.
    """

    template: Template
    catalog: tuple[str, ...]
    work: Path
    truth: str | None = None
    reference: tuple[str, ...] = ()
    input_format: str | None = None
    folds: int = FOLDS
    labelled_folds: int = 0
    seed: int = 0
    limit: int = 0
    read_limits: ReadLimits = field(default_factory=ReadLimits)


@dataclass(frozen=True, slots=True)
class Trial:
    """A protocol made concrete.

    inputs, reference: files to run on. masks: one a fold, or a single None where nothing is hidden.
    truth: None where it is what the source gives (judge.truth_of_source). key: texts of equal key
    are one value.
    notes: what a reader of the report should know.
    """

    inputs: tuple[str, ...]
    masks: tuple[Mask | None, ...]
    truth: Truth | None
    key: Key
    reference: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def reference_labels(template: Template, files: Sequence[str], limits: ReadLimits) -> Labels:
    """How often each fillable attribute has which values in reference catalogs, for the majority
    baseline.
    """
    normaliser, counts = (
        Normaliser(template),
        {a.name: Counter[tuple[str, ...]]() for a in template.attributes if a.fill},
    )
    for row in read_catalog(files, None, limits, "--reference", template):
        record = normaliser.normalise(NO_RECORD, row)
        for name, value in record.values.items() if isinstance(record, Record) else ():
            if name in counts:
                counts[name][tuple(sorted(texts_of(template.by_name[name], value)))] += 1
    return counts


def read_catalog(
    files: Sequence[str],
    input_format: str | None,
    limits: ReadLimits,
    option: str,
    template: Template | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the cells of every record that can be read; those that cannot are the run's
    business.

    template: says how the files are written; None where they are not those of a catalog.
    """
    description = ANYHOW if template is None else template.input
    fill = None if template is None else FillDown.of(template)
    try:
        splits = plan_splits(
            files, input_format=input_format, description=description, fill_down=fill
        )
    except InputRefusedError as error:
        raise ConfigError([f"{option}: {line.strip()}" for line in error.problems]) from error
    for split in splits:
        for element in read_split(split, limits):
            if isinstance(element, ParsedRecord):
                yield element.cells


def _with_ids(request: Request) -> Iterator[tuple[str, dict[str, Any]]]:
    normaliser = Normaliser(request.template)
    for cells in read_catalog(
        request.catalog,
        request.input_format,
        request.read_limits,
        "--catalog",
        request.template,
    ):
        record = normaliser.normalise(NO_RECORD, cells)
        if isinstance(record, Record):
            yield record.item_id, cells


def plain_catalog(request: Request) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the ids that are run on, and the files that hold them: the user's own unless there
    is a limit.
    """
    ids = frozenset(item_id for item_id, _ in _with_ids(request))
    if not request.limit:
        return ids, request.catalog
    chosen = first_by_hash(ids, request.limit)
    rows = (cells for item_id, cells in _with_ids(request) if item_id in chosen)
    return chosen, (write_catalog(request.work / "catalog.jsonl", rows),)


def first_by_hash(ids: Iterable[str], limit: int) -> frozenset[str]:
    """Return the first ids by a hash, so that any run with this limit takes the same and a
    larger limit takes them too.
    """
    return frozenset(sorted(ids, key=lambda item_id: stable_hash(item_id, size_bytes=64))[:limit])


def benchmark_rows(request: Request, protocol: str) -> dict[str, dict[str, Any]]:
    """Id → cells of a benchmark's catalog, in its order, cut to the limit."""
    if request.truth is None:
        raise ConfigError(
            [f"--truth is missing: protocol {protocol} needs the benchmark's file of true values"]
        )
    rows = {item_id: dict(cells) for item_id, cells in _with_ids(request)}
    if request.limit:
        chosen = first_by_hash(rows, request.limit)
        rows = {item_id: cells for item_id, cells in rows.items() if item_id in chosen}
    return rows


def write_catalog(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the rows as JSON lines; half surrogates become escapes, which JSON reads as what
    they were.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for row in rows:
            cells = {name: _json_cell(cell) for name, cell in row.items()}
            file.write(given_text(cells).encode("utf-8", "backslashreplace") + b"\n")
    return str(path)


def _json_cell(cell: Any) -> Any:
    """Return the cell as JSON has it: a map of Parquet, which comes as pairs, is an object."""
    pairs = as_mapping(cell, ColumnFormat()) if isinstance(cell, list) else None
    return cell if pairs is None else pairs


def masks_of(
    names: Iterable[str], unit: Unit, folds: int, seed: int, option: str
) -> tuple[Mask, ...]:
    if folds < 2:
        raise ConfigError(
            [f"{option} {folds}: at least 2 are needed, so that something stays known in each"]
        )
    return tuple(Mask(frozenset(names), unit, folds, fold, seed) for fold in range(folds))

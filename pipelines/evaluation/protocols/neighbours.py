"""Nearest neighbours in the vector tables of an output: nothing is run but, for languages, the
tables' own encoder.

An attribute is measured over items whose value is known: from --truth, whose items are then the
only queries, and from the source, never from what was filled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pipelines.configuration.errors import ConfigError
from pipelines.evaluation.judge import same_value, texts_of
from pipelines.evaluation.protocols.catalogs import first_by_hash, read_catalog
from pipelines.evaluation.truth import read_truth
from pipelines.evaluation.vectors.across import Search, across_languages, across_tables
from pipelines.evaluation.vectors.neighbours import (
    AGREEMENT,
    METHOD,
    MIN_ITEMS,
    PAIRS_FOUND,
    Figure,
    Scores,
    Shift,
    Space,
    agreement,
    by_item,
    figures_of,
    mean_cosine,
    mean_cosine_shift,
    recall,
    shifts_of,
)
from pipelines.evaluation.vectors.tables import (
    VectorTable,
    read_items,
    read_space,
    snapshot_at,
    vector_tables,
)
from pipelines.snapshots.snapshot import Snapshot
from schemas.attributes import Attribute
from schemas.tables.arrow import PROVENANCE_SUFFIX
from schemas.template import Template
from schemas.texts import first_names
from transforms.extraction.cells import as_text
from transforms.models.contract import ModelOptions
from transforms.readers import ReadLimits

DEFAULT_KS = (1, 5)
# Of agreement: the mean over an item's attributes, then over items.
ALL_ATTRIBUTES = "all attributes"

Values = Mapping[str, frozenset[str]]
# Measure and what it is of → k → scores.
Measured = dict[tuple[str, str], Mapping[int, Scores]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be measured, from the command line.

    tables, against: an output or a snapshot's folder. attributes: names; empty for closed lists and
    categories. pairs, groups: a file and, where it has more than two columns, the names of two.
    limit: so many queries, chosen by a hash of their id; 0 takes all. models: where the languages'
    encoder is computed.
    """

    template: Template
    tables: str
    against: str = ""
    truth: str = ""
    attributes: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    ks: tuple[int, ...] = DEFAULT_KS
    seed: int = 0
    limit: int = 0
    models: ModelOptions = field(default_factory=ModelOptions)
    read_limits: ReadLimits = field(default_factory=ReadLimits)


@dataclass(frozen=True, slots=True)
class TableFigures:
    """What was measured of one vector table. against: of the same table there, paired."""

    space: str
    encoder: str
    dimension: int
    items: int
    figures: tuple[Figure, ...]
    against: tuple[Shift, ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The result. across: figures between two tables, or two languages of one.

    notes: what was not measured, and why, in sentences.
    """

    snapshot: str
    against: str
    template: str
    method: str
    seed: int
    tables: tuple[TableFigures, ...]
    across: tuple[Figure, ...]
    notes: tuple[str, ...]


@dataclass
class _Known:
    """What is known of the items, whatever the space.

    items: that are there; values: attribute → item → values; queries: attribute → items that are
    asked about; pairs: item → partners; groups: item → group.
    """

    items: frozenset[str]
    values: dict[str, Values]
    queries: dict[str, frozenset[str]]
    pairs: Values
    groups: Mapping[str, str]


def measure_neighbours(asked: Asked) -> Neighbours:
    """Measure every vector table. Raises ConfigError, DamagedFileError."""
    _check(asked)
    snapshot = snapshot_at(asked.tables, "--tables")
    other = snapshot_at(asked.against, "--against") if asked.against else None
    notes: list[str] = []
    known = _read_known(asked, snapshot, notes)
    tables = vector_tables(snapshot)
    measured = [_measure_table(asked, snapshot, other, table, known) for table in tables]
    if other is not None:
        there = {table.space for table in vector_tables(other)}
        notes += [
            f"{each.space}: {asked.against} has no such vector table to compare with"
            for each in tables
            if each.space not in there
        ]
    search = Search(
        snapshot,
        tables,
        known.items,
        known.groups,
        asked.ks,
        asked.seed,
        partial(_limited, limit=asked.limit),
    )
    localized = [each for each in asked.template.attributes if str(each.type) == "localized"]
    across = [
        *across_tables(search, notes),
        *across_languages(search, localized, asked.models, notes),
    ]
    return Neighbours(
        snapshot.path,
        asked.against,
        f"{asked.template.name} {asked.template.version}",
        METHOD,
        asked.seed,
        tuple(measured),
        tuple(across),
        tuple(notes),
    )


def _check(asked: Asked) -> None:
    problems = [f"--k {k} is no number of neighbours; write 1 or more" for k in asked.ks if k < 1]
    names = asked.template.by_name
    problems += [
        f"--attribute {name!r} is not in template {asked.template.name}; it has {', '.join(names)}"
        for name in asked.attributes
        if name not in names
    ]
    if problems:
        raise ConfigError(problems)


# What is known


def _read_known(asked: Asked, snapshot: Snapshot, notes: list[str]) -> _Known:
    template = asked.template
    chosen = [template.by_name[name] for name in asked.attributes] or [
        attribute for attribute in template.attributes if attribute.spec.has_closed_list
    ]
    columns = [f"{each.name}{end}" for each in chosen for end in ("", PROVENANCE_SUFFIX)]
    values: dict[str, dict[str, frozenset[str]]] = {attribute.name: {} for attribute in chosen}
    ids = []
    for row in read_items(snapshot, columns):
        ids.append(row["item_id"])
        for attribute in chosen:
            if (row[attribute.name + PROVENANCE_SUFFIX] or {}).get("source") == "record":
                found = _keys(attribute, texts_of(attribute, row[attribute.name]))
                if found:
                    values[attribute.name][row["item_id"]] = found
    items = frozenset(ids)
    queries = {name: frozenset(of_items) for name, of_items in values.items()}
    if asked.truth:
        found_truth = read_truth(
            template, asked.truth, items, asked.read_limits, any_attribute=True
        )
        notes += found_truth.notes()
        queries = dict.fromkeys(values, frozenset[str]())
        for (item_id, name), texts in found_truth.truth.items():
            if name in values and texts:
                values[name][item_id] = _keys(template.by_name[name], texts)
                queries[name] |= {item_id}
    known = _Known(items, dict(values), queries, {}, {})
    for name in [name for name in known.values if not _is_stated(known, name)]:
        if asked.attributes:
            notes.append(
                f"{name}: not measured, {len(known.queries[name])} items to ask about; at least "
                f"{MIN_ITEMS} and two different values are needed"
            )
        del known.values[name]
    known.pairs = _read_pairs(asked, items) if asked.pairs else {}
    known.groups = dict(_two_columns(asked, asked.groups, "--group")) if asked.groups else {}
    return known


def _keys(attribute: Attribute, texts: Sequence[str]) -> frozenset[str]:
    return frozenset(same_value(attribute, text) for text in texts)


def _is_stated(known: _Known, name: str) -> bool:
    different = set(known.values[name].values())
    return len(known.queries[name]) >= MIN_ITEMS and len(different) > 1


def _read_pairs(asked: Asked, items: frozenset[str]) -> Values:
    partners: dict[str, set[str]] = {}
    for one, other in _two_columns(asked, asked.pairs, "--pairs"):
        if one in items and other in items and one != other:
            partners.setdefault(one, set()).add(other)
    if not partners:
        raise ConfigError(
            [f"--pairs {asked.pairs[0]}: no two ids are items of {asked.tables}; check its columns"]
        )
    return {item_id: frozenset(each) for item_id, each in partners.items()}


def _two_columns(asked: Asked, named: Sequence[str], option: str) -> Iterator[tuple[str, str]]:
    """Yield two columns of a file as texts; rows that lack one are passed over."""
    path, columns = named[0], list(named[1:])
    for row in read_catalog([path], None, asked.read_limits, option):
        chosen = columns or list(row)
        if len(chosen) != 2 or not set(chosen) <= set(row):
            raise ConfigError(
                [
                    f"{option} {path} has the columns {first_names(row)}; name two of them "
                    f"after the file: {option} {path} COLUMN COLUMN"
                ]
            )
        one, other = (as_text(row[name]) for name in chosen)
        if one and other:
            yield one.strip(), other.strip()


# One table


def _measure_table(
    asked: Asked, snapshot: Snapshot, other: Snapshot | None, table: VectorTable, known: _Known
) -> TableFigures:
    here = read_space(snapshot, table.space, known.groups, known.items)
    cosine = mean_cosine(here, asked.seed)
    figures = [cosine] if cosine else []
    for (measure, of), scores in _scores(asked, here, known).items():
        figures += figures_of(measure, of, scores, here.group_of, asked.seed)
    shifts: list[Shift] = []
    if other is not None and table.space in {each.space for each in vector_tables(other)}:
        there = read_space(other, table.space, known.groups, frozenset(here.ids))
        shifts = list(_compare(asked, here.of(set(there.ids)), there, known))
    return TableFigures(
        table.space, table.encoder, table.dimension, len(here.ids), tuple(figures), tuple(shifts)
    )


def _scores(asked: Asked, space: Space, known: _Known) -> Measured:
    measured: Measured = {}
    there = frozenset(space.ids)
    for name, values in known.values.items():
        queries = _limited(known.queries[name] & there, asked.limit)
        if queries:
            measured[AGREEMENT, name] = agreement(space, values, queries, asked.ks)
    if len(measured) > 1:
        measured = {(AGREEMENT, ALL_ATTRIBUTES): by_item(measured.values()), **measured}
    if known.pairs:
        chosen = _limited(known.pairs.keys() & there, asked.limit)
        pairs = {item_id: known.pairs[item_id] for item_id in chosen}
        if pairs:
            measured[PAIRS_FOUND, asked.pairs[0]] = recall(space, pairs, asked.ks)
    return measured


def _limited(ids: Collection[str], limit: int) -> Collection[str]:
    return first_by_hash(ids, limit) if limit else ids


def _compare(asked: Asked, here: Space, there: Space, known: _Known) -> Iterator[Shift]:
    cosine = mean_cosine_shift(here, there, asked.seed)
    if cosine:
        yield cosine
    ours, theirs = (_scores(asked, space, known) for space in (here, there))
    for measure, of in ours:
        both = ours[measure, of], theirs[measure, of]
        yield from shifts_of(measure, of, both, here.group_of, asked.seed)

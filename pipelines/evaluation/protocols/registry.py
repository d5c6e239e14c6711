"""The protocols of an evaluation: what is run on, what each fold hides, what counts as true, how values are compared.

Request → Trial. Truth never reaches the pipeline but as cells that a fold hides again; prepared catalogs are written
to the work folder. Whatever does not fit is refused before anything runs, with a ConfigError that says what to do.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.configuration.config import ConfigError
from pipelines.evaluation.judge import Key, Labels, Slot, Truth, same_text, same_value, texts_of
from schemas.attributes import Attribute, AttributeType
from schemas.elements import RawRecord, Record, Reject
from schemas.template import ColumnFormat, Template, split_source
from transforms.items.mask import Mask, Unit
from transforms.normalise.cells import as_mapping, as_text, given_text, is_null
from transforms.normalise.records import Normaliser
from transforms.normalise.values import CellReader, compile_reader, shorten
from transforms.readers import InputRefusedError, ParsedRecord, ReadLimits, plan_splits, read_split

FOLDS = 5
_MAX_EXAMPLES = 3
_NO_RECORD = RawRecord(b"", "jsonl", "", 0)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be evaluated, from the command line.

    folds: of protocols that hide values; labelled_folds: of implicitave, 0 labels nothing of what is evaluated.
    limit: so many records, chosen by a hash of their id; 0 takes all. work: an empty folder for prepared files.
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
    truth: None where it is what the source gives (judge.truth_of_source). key: texts of equal key are one value.
    notes: what a reader of the report should know.
    """

    inputs: tuple[str, ...]
    masks: tuple[Mask | None, ...]
    truth: Truth | None
    key: Key
    reference: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


# Protocols


def hidden(request: Request) -> Trial:
    """Values that were removed from the catalog and are kept in a file of their own; one run, nothing else hidden."""
    if request.truth is None:
        raise ConfigError(["--truth is missing: name the file of removed values, or use --protocol holdout"])
    ids, inputs = _catalog(request)
    found = read_truth(request.template, request.truth, ids, request.read_limits)
    return Trial(inputs, (None,), found.truth, same_value, request.reference, tuple(found.notes()))


def holdout(request: Request) -> Trial:
    """Each known value of a fillable attribute is hidden once, by itself, and held against what the source gave."""
    if request.truth is not None:
        raise ConfigError(["--truth: protocol holdout takes the catalog's own values; leave it out, or use hidden"])
    _ids, inputs = _catalog(request)
    names = [attribute.name for attribute in request.template.attributes if attribute.fill and attribute.from_]
    if not names:
        raise ConfigError(
            [f"template {request.template.name} has no attribute with fill: true and from:; nothing can be hidden"]
        )
    masks = _masks(names, "value", request.folds, request.seed, "--folds")
    return Trial(inputs, masks, None, same_value, request.reference)


def wdc_pave(request: Request) -> Trial:
    """WDC-PAVE (ADBIS 2024): texts of offers, every slot with its values or `n/a`, exact comparison.

    The values are columns of the prepared catalog, and an item is labelled in all folds but the one that hides it.
    """
    rows = _benchmark_rows(request, "wdc-pave")
    problems, slots = _Problems(), list(_lines(request, "values"))
    by_label = {source: attribute for attribute in request.template.attributes for source in attribute.from_}
    truth: dict[Slot, tuple[str, ...]] = {}
    for item_id, label, values in slots:
        attribute = by_label.get(label)
        if attribute is None or not attribute.fill:
            problems.add(f"{label!r} is read by no attribute with fill: true; add one with from: ['{label}']")
        elif item_id in rows:
            absent = frozenset(text.strip().casefold() for text in attribute.absent)
            texts = [as_text(value) or "" for value in values]
            if "n/a" in texts and "n/a" not in absent:
                problems.add(f"attribute {attribute.name} lacks absent: [n/a], by which the truth says that none is")
            rows[item_id].setdefault(label, texts[0] if texts else None)
            known = [text.strip() for text in texts if not is_null(text, absent | {""})]
            slot = item_id, attribute.name
            truth[slot] = tuple(dict.fromkeys([*truth.get(slot, ()), *known]))
    problems.refuse(request)
    _check_ids(request, rows, (item_id for item_id, _, _ in slots))
    masks = _masks({name for _, name in truth}, "item", request.folds, request.seed, "--folds")
    notes = ("F1, precision and recall at the cascade's own threshold are the paper's; texts are compared exactly.",)
    return Trial((_write(request.work / "catalog.jsonl", rows.values()),), masks, truth, same_text, (), notes)


FASHION = "Clothing_Shoes_and_Jewelry"


def department_group(domain: str) -> str:
    """The group of departments that share ImplicitAVE's lists of values.

    >>> department_group("Food"), department_group("Footwear")
    ('Food', 'Clothing_Shoes_and_Jewelry')
    """
    return domain if domain in ("Food", "Home") else FASHION


def implicitave(request: Request) -> Trial:
    """ImplicitAVE (ACL 2024): one value an item that its picture shows and its title hides, from a closed list.

    Without labelled_folds no truth is in the catalog. With them the truth is columns of the prepared catalog, named
    `<group of departments>/<attribute>`, and an item is labelled in all folds but the one that hides it.
    """
    rows = _benchmark_rows(request, "implicitave")
    reader = _LabelReader(request.template)
    problems, collected, slots = _Problems(), TruthFound(), list(_lines(request, "value"))
    cells: dict[str, dict[str, Any]] = {}
    for item_id, label, values in slots:
        if item_id in rows:
            column = f"{department_group(str(rows[item_id].get('domain')))}/{label}"
            attribute = reader.by_column.get(column)
            if attribute is None or not attribute.fill:
                problems.add(f"{column!r} is read by no attribute with fill: true; add one with from: ['{column}']")
                continue
            cells.setdefault(item_id, {})[column] = values[0]
            for value in values:
                collected.add(item_id, attribute, *reader.read(attribute, value))
    problems.refuse(request)
    _check_ids(request, rows, (item_id for item_id, _, _ in slots))
    masks: tuple[Mask | None, ...] = (None,)
    if request.labelled_folds:
        names = {name for _, name in collected.truth}
        masks = _masks(names, "item", request.labelled_folds, request.seed, "--labelled-folds")
        rows = {item_id: row | cells.get(item_id, {}) for item_id, row in rows.items()}
    notes = ["Forced accuracy is the paper's micro F1: every slot has a value, and an answer is always given."]
    inputs = (_write(request.work / "catalog.jsonl", rows.values()),)
    reference: tuple[str, ...] = ()
    if request.reference:
        labelled, left_out = labelled_rows(request, reader, frozenset(rows))
        reference = (_write(request.work / "reference.jsonl", labelled),)
        notes += [f"{left_out:,} labelled rows are of attributes that the template does not have."] if left_out else []
    return Trial(inputs, masks, collected.truth, same_value, reference, (*notes, *collected.notes()))


PROTOCOLS: dict[str, Callable[[Request], Trial]] = {
    "hidden": hidden,
    "holdout": holdout,
    "wdc-pave": wdc_pave,
    "implicitave": implicitave,
}


def labelled_rows(request: Request, reader: _LabelReader, taken: frozenset[str]) -> tuple[list[dict[str, Any]], int]:
    """Labelled texts {id, domain, category, title, attribute, value} as catalog rows, and how many were left out.

    One row an id and a column an attribute; an id that the catalog has too is given a prefix.
    """
    rows: dict[str, dict[str, Any]] = {}
    left_out = 0
    for line in _read(request.reference, None, request.read_limits, "--reference"):
        row = dict(line)
        item_id, label, value = (as_text(row.pop(name, None)) for name in ("id", "attribute", "value"))
        if not item_id or not label or not value:
            raise ConfigError(["--reference: protocol implicitave takes rows {id, domain, title, attribute, value}"])
        column = f"{department_group(str(row.get('domain')))}/{label}"
        if column not in reader.by_column:
            left_out += 1
            continue
        item_id = f"labelled-{item_id}" if item_id in taken else item_id
        rows.setdefault(item_id, {"id": item_id, **row})[column] = value
    return list(rows.values()), left_out


def reference_labels(template: Template, files: Sequence[str], limits: ReadLimits) -> Labels:
    """How often each fillable attribute has which values in reference catalogs, for the majority baseline."""
    normaliser, counts = (
        Normaliser(template),
        {a.name: Counter[tuple[str, ...]]() for a in template.attributes if a.fill},
    )
    for row in _read(files, None, limits, "--reference"):
        record = normaliser.normalise(_NO_RECORD, row)
        for name, value in record.values.items() if isinstance(record, Record) else ():
            if name in counts:
                counts[name][tuple(sorted(texts_of(template.by_name[name], value)))] += 1
    return counts


# Catalogs


def _read(files: Sequence[str], input_format: str | None, limits: ReadLimits, option: str) -> Iterator[dict[str, Any]]:
    """The cells of every record that can be read; those that cannot are the run's business."""
    try:
        splits = plan_splits(files, input_format=input_format)
    except InputRefusedError as error:
        raise ConfigError([f"{option}: {line.strip()}" for line in error.problems]) from error
    for split in splits:
        for element in read_split(split, limits):
            if isinstance(element, ParsedRecord):
                yield element.cells


def _with_ids(request: Request) -> Iterator[tuple[str, dict[str, Any]]]:
    normaliser = Normaliser(request.template)
    for cells in _read(request.catalog, request.input_format, request.read_limits, "--catalog"):
        record = normaliser.normalise(_NO_RECORD, cells)
        if isinstance(record, Record):
            yield record.item_id, cells


def _catalog(request: Request) -> tuple[frozenset[str], tuple[str, ...]]:
    """The ids that are run on, and the files that hold them: the user's own unless there is a limit."""
    ids = frozenset(item_id for item_id, _ in _with_ids(request))
    if not request.limit:
        return ids, request.catalog
    chosen = first_by_hash(ids, request.limit)
    rows = (cells for item_id, cells in _with_ids(request) if item_id in chosen)
    return chosen, (_write(request.work / "catalog.jsonl", rows),)


def first_by_hash(ids: Iterable[str], limit: int) -> frozenset[str]:
    """The first ids by a hash, so that any run with this limit takes the same and a larger limit takes them too."""
    return frozenset(sorted(ids, key=lambda item_id: hashlib.blake2b(item_id.encode()).digest())[:limit])


def _benchmark_rows(request: Request, protocol: str) -> dict[str, dict[str, Any]]:
    """Id → cells of a benchmark's catalog, in its order, cut to the limit."""
    if request.truth is None:
        raise ConfigError([f"--truth is missing: protocol {protocol} needs the benchmark's file of true values"])
    rows = {item_id: dict(cells) for item_id, cells in _with_ids(request)}
    if request.limit:
        chosen = first_by_hash(rows, request.limit)
        rows = {item_id: cells for item_id, cells in rows.items() if item_id in chosen}
    return rows


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as JSON lines; half surrogates become escapes, which JSON reads as what they were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for row in rows:
            cells = {name: _json_cell(cell) for name, cell in row.items()}
            file.write(given_text(cells).encode("utf-8", "backslashreplace") + b"\n")
    return str(path)


def _json_cell(cell: Any) -> Any:
    """The cell as JSON has it: a map of Parquet, which comes as pairs, is an object."""
    pairs = as_mapping(cell, ColumnFormat()) if isinstance(cell, list) else None
    return cell if pairs is None else pairs


def _masks(names: Iterable[str], unit: Unit, folds: int, seed: int, option: str) -> tuple[Mask, ...]:
    if folds < 2:
        raise ConfigError([f"{option} {folds}: at least 2 are needed, so that something stays known in each"])
    return tuple(Mask(frozenset(names), unit, folds, fold, seed) for fold in range(folds))


# Truth


@dataclass
class TruthFound:
    """Truth under collection, with what had to be left out.

    truth: slot → accepted values. unreadable: attribute → messages on values that the template does not take.
    partly: attributes of which a part of a list was unreadable. not_read: fields that no attribute reads.
    not_filled: attributes that nothing fills. missing: truths of items that the catalog does not have.
    """

    truth: dict[Slot, tuple[str, ...]] = field(default_factory=dict)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    partly: Counter[str] = field(default_factory=Counter)
    not_read: Counter[str] = field(default_factory=Counter)
    not_filled: Counter[str] = field(default_factory=Counter)
    missing: int = 0

    def add(self, item_id: str, attribute: Attribute, values: tuple[str, ...] | None, problem: str = "") -> None:
        """Take one reading of a slot: its values, () for "there is none", None with a problem or for nothing."""
        slot = item_id, attribute.name
        if not attribute.fill:
            self.not_filled[attribute.name] += 1
        elif values is not None:
            self.truth[slot] = tuple(dict.fromkeys([*self.truth.get(slot, ()), *values]))
            self.partly[attribute.name] += bool(problem)
        elif problem and slot not in self.truth:
            self.unreadable.setdefault(attribute.name, []).append(problem)

    def notes(self) -> Iterator[str]:
        """What was left out of the truth, in sentences for the report."""
        for name, problems in sorted(self.unreadable.items()):
            examples = "; ".join(list(dict.fromkeys(problems))[:_MAX_EXAMPLES])
            yield f"Unreadable truth of {name}, left out: {len(problems):,}, for example {examples}"
        for what, counts in (
            ("Truth of which a part is unreadable and left out", +self.partly),
            ("Truth of attributes that the template does not fill, left out", self.not_filled),
            ("Truth of fields that no attribute reads, left out", self.not_read),
        ):
            if counts:
                yield f"{what}: {', '.join(f'{name} {count:,}' for name, count in sorted(counts.items()))}"
        if self.missing:
            yield f"Lines of the truth whose items are not in the catalog that was run: {self.missing:,}"


def read_truth(template: Template, path: str, ids: frozenset[str], limits: ReadLimits | None = None) -> TruthFound:
    """A truth file in the template's terms. Its lines are {<id>, hidden: {field: value}} or {<id>, attribute, value}.

    <id>: the template's id column, or id. field: a raw column or a key inside one. attribute: its name or label.
    ids: of the catalog; truths of others are counted and left out.
    Raises ConfigError when the file does not fit the template or the catalog.
    """
    found, problems = TruthFound(), _Problems()
    fields, labels = _FieldReader(template), _LabelReader(template)
    examples: dict[str, None] = {}
    matched = False
    for number, row in enumerate(_read([path], None, limits or ReadLimits(), "--truth"), 1):
        item_id = _id_of(template, row)
        removed = as_mapping(row.get("hidden"), ColumnFormat())
        if item_id is None:
            problems.add(f"record {number} has no id under {' or '.join([*template.record.id, 'id'])}")
        elif removed is None and "attribute" not in row:
            problems.add(f"record {number} has neither hidden: {{field: value}} nor attribute and value")
        elif item_id not in ids:
            found.missing += 1
            examples[item_id] = None
        elif removed is not None:
            matched = True
            fields.add(found, item_id, removed)
        else:
            matched = True
            attribute = labels.by_label.get(str(row["attribute"]).casefold())
            if attribute is None:
                problems.add(f"attribute {row['attribute']!r} is not in template {template.name}")
            else:
                for values, problem in labels.read_line(attribute, row):
                    found.add(item_id, attribute, values, problem)
    problems.refuse_truth(path)
    if not matched:
        raise ConfigError([_no_id_matches(path, list(examples), ids)])
    if not found.truth:
        raise ConfigError([f"--truth {path} says nothing of what template {template.name} fills", *found.notes()])
    return found


def _no_id_matches(path: str, examples: Sequence[str], ids: Iterable[str]) -> str:
    here = ", ".join(map(repr, examples[:_MAX_EXAMPLES])) or "none"
    there = ", ".join(map(repr, sorted(ids)[:_MAX_EXAMPLES])) or "none"
    return f"--truth {path} has no id of the catalog: its ids are {here}, the catalog's {there}; name the right files"


class _Problems:
    """Distinct problems of a truth file, told all at once."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, problem: str) -> None:
        self._counts[problem] += 1

    def refuse(self, request: Request) -> None:
        self.refuse_truth(str(request.truth))

    def refuse_truth(self, path: str) -> None:
        if self._counts:
            shown = [f"--truth {path}: {problem}" for problem in list(self._counts)[:10]]
            more = len(self._counts) - len(shown)
            raise ConfigError([*shown, *([f"--truth {path}: and {more:,} more problems"] if more else [])])


def _id_of(template: Template, row: Mapping[str, Any]) -> str | None:
    """The item id of a truth line, as the normaliser would write it."""
    for name in dict.fromkeys([*template.record.id, "id", "item_id"]):
        text = as_text(row.get(name))
        if text is not None and text.strip():
            return text.strip()
    return None


class _FieldReader:
    """Reads removed cells with the template's own normaliser, as if they had stayed in their columns."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._normaliser = Normaliser(template)
        # Field name → places (column, key in its cells) that it may have been removed from.
        self._places: dict[str, dict[tuple[str, str | None], None]] = {}
        for attribute in template.attributes:
            for source in attribute.from_:
                column, key = split_source(source, template.columns)
                self._places.setdefault(source, {})[column, key] = None
                if key is not None:
                    self._places.setdefault(key, {})[column, key] = None
                    self._places.setdefault(column, {})[column, None] = None

    def add(self, found: TruthFound, item_id: str, removed: Mapping[str, Any]) -> None:
        """Take the removed fields of an item. Of several places of a field the one that reads best counts."""
        for name, cell in removed.items():
            if name not in self._places:
                found.not_read[name] += 1
                continue
            readings: dict[str, list[tuple[tuple[str, ...] | None, list[str]]]] = {}
            for place in self._places[name]:
                self._collect(readings, item_id, place, cell)
            for attribute_name, options in readings.items():
                values, problems = min(options, key=lambda reading: (reading[0] is None, len(reading[1])))
                found.add(item_id, self._template.by_name[attribute_name], values, "; ".join(problems))

    def _collect(
        self,
        readings: dict[str, list[tuple[tuple[str, ...] | None, list[str]]]],
        item_id: str,
        place: tuple[str, str | None],
        cell: Any,
    ) -> None:
        column, key = place
        cells: dict[str, Any] = {}
        _put(cells, *split_source(self._template.record.id[0], self._template.columns), item_id)
        _put(cells, column, key, cell)
        record = self._normaliser.normalise(_NO_RECORD, cells)
        if isinstance(record, Reject):
            return
        for attribute in self._template.attributes:
            sources = {split_source(source, self._template.columns) for source in attribute.from_}
            if attribute.name in record.given and (place in sources or (key is None and column in dict(sources))):
                value = record.values.get(attribute.name)
                values = texts_of(attribute, value) if value is not None else None
                flags = [flag.detail for flag in record.flags if flag.field == attribute.name]
                absent = attribute.name in record.absent
                readings.setdefault(attribute.name, []).append((() if absent else values, flags))


def _put(cells: dict[str, Any], column: str, key: str | None, cell: Any) -> None:
    if key is None:
        cells[column] = cell
    else:
        cells.setdefault(column, {})[key] = cell


class _LabelReader:
    """Reads values of attributes that are named by themselves and not by a column."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._readers: dict[str, CellReader] = {}
        self.by_column = {source: attribute for attribute in template.attributes for source in attribute.from_}
        self.by_label = {attribute.title.casefold(): attribute for attribute in template.attributes}
        self.by_label |= {attribute.name: attribute for attribute in template.attributes}

    def read_line(self, attribute: Attribute, row: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...] | None, str]]:
        """The readings of a line's value or values: of a multi-valued attribute all hold, of another any is right."""
        given = row["values"] if "values" in row else row.get("value")
        if isinstance(given, list) and given and attribute.type is not AttributeType.MULTI_ENUM:
            yield from (self.read(attribute, value) for value in given)
        else:
            yield self.read(attribute, given)

    def read(self, attribute: Attribute, cell: Any) -> tuple[tuple[str, ...] | None, str]:
        """Values of a cell, () when it says that there is none, None with the problem when it cannot be read."""
        absent = frozenset(text.strip().casefold() for text in (*attribute.absent, ""))
        if is_null(cell, absent):
            return (), ""
        if attribute.name not in self._readers:
            self._readers[attribute.name] = compile_reader(attribute)
        columns = [split_source(source, self._template.columns) for source in attribute.from_]
        formats = [(ColumnFormat(), False), *((self._template.format_of(c), k is not None) for c, k in columns)]
        readings = [self._readers[attribute.name](cell, *each) for each in formats]
        value, flags = min(readings, key=lambda reading: (reading[0] is None, len(reading[1])))
        problem = "; ".join(flag.detail for flag in flags) or ("" if value is not None else f"{shorten(cell)} is empty")
        return None if value is None else texts_of(attribute, value), problem


def _lines(request: Request, name: str) -> Iterator[tuple[str, str, list[Any]]]:
    """(item id, attribute, values) of a benchmark's truth; `name` is the column of its value or values."""
    for number, row in enumerate(_read([str(request.truth)], None, request.read_limits, "--truth"), 1):
        item_id, label, given = _id_of(request.template, row), as_text(row.get("attribute")), row.get(name)
        if item_id is None or label is None or given is None:
            raise ConfigError([f"--truth {request.truth}: record {number} lacks id, attribute or {name}"])
        yield item_id, label, given if isinstance(given, list) else [given]


def _check_ids(request: Request, rows: Mapping[str, Any], ids: Iterable[str]) -> None:
    wanted = dict.fromkeys(ids)
    if not any(item_id in rows for item_id in wanted):
        raise ConfigError([_no_id_matches(str(request.truth), list(wanted), rows)])

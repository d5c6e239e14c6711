"""Reading what is true: labels beside a catalog, checked against its ids and attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.configuration.errors import ConfigError
from pipelines.evaluation.judge import Slot, texts_of
from pipelines.evaluation.protocols.catalogs import MAX_EXAMPLES, NO_RECORD, Request, read_catalog
from schemas.attributes import Attribute
from schemas.elements import Reject
from schemas.template import ColumnFormat, Template, split_source
from transforms.attribute_types.contract import CellReader
from transforms.attribute_types.reading import shorten
from transforms.attribute_types.registry import operations_of
from transforms.extraction.cells import as_mapping, as_text, is_null
from transforms.normalise.records import Normaliser
from transforms.readers import ReadLimits


@dataclass
class TruthFound:
    """Truth under collection, with what had to be left out.

    truth: slot → accepted values. unreadable: attribute → messages on values that the template does
    not take.
    partly: attributes of which a part of a list was unreadable. not_read: fields that no attribute
    reads.
    not_filled: attributes that nothing fills. missing: truths of items that the catalog does not
    have. any_attribute: also attributes that nothing fills are taken.
    """

    any_attribute: bool = False
    truth: dict[Slot, tuple[str, ...]] = field(default_factory=dict)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    partly: Counter[str] = field(default_factory=Counter)
    not_read: Counter[str] = field(default_factory=Counter)
    not_filled: Counter[str] = field(default_factory=Counter)
    missing: int = 0

    def add(
        self, item_id: str, attribute: Attribute, values: tuple[str, ...] | None, problem: str = ""
    ) -> None:
        """Take one reading of a slot: its values, () for "there is none", None with a problem or
        for nothing.
        """
        slot = item_id, attribute.name
        if not (attribute.fill or self.any_attribute):
            self.not_filled[attribute.name] += 1
        elif values is not None:
            self.truth[slot] = tuple(dict.fromkeys([*self.truth.get(slot, ()), *values]))
            self.partly[attribute.name] += bool(problem)
        elif problem and slot not in self.truth:
            self.unreadable.setdefault(attribute.name, []).append(problem)

    def notes(self) -> Iterator[str]:
        """Yield what was left out of the truth, in sentences for the report."""
        for name, problems in sorted(self.unreadable.items()):
            examples = "; ".join(list(dict.fromkeys(problems))[:MAX_EXAMPLES])
            yield f"Unreadable truth of {name}, left out: {len(problems):,}, for example {examples}"
        for what, counts in (
            ("Truth of which a part is unreadable and left out", +self.partly),
            ("Truth of attributes that the template does not fill, left out", self.not_filled),
            ("Truth of fields that no attribute reads, left out", self.not_read),
        ):
            if counts:
                yield (
                    f"{what}: "
                    f"{', '.join(f'{name} {count:,}' for name, count in sorted(counts.items()))}"
                )
        if self.missing:
            yield (
                "Lines of the truth whose items are not in the catalog that was run: "
                f"{self.missing:,}"
            )


def read_truth(
    template: Template,
    path: str,
    ids: frozenset[str],
    limits: ReadLimits | None = None,
    *,
    any_attribute: bool = False,
) -> TruthFound:
    """Return a truth file in the template's terms.

    Its lines are {<id>, hidden: {field: value}} or {<id>, attribute, value}.

    <id>: the template's id column, or id. field: a raw column or a key inside one. attribute: its
    name or label.
    ids: of the catalog; truths of others are counted and left out. any_attribute: also of those
    that nothing fills.
    Raises ConfigError when the file does not fit the template or the catalog.
    """
    found, problems = TruthFound(any_attribute=any_attribute), Problems()
    fields, labels = _FieldReader(template), LabelReader(template)
    examples: dict[str, None] = {}
    matched = False
    for number, row in enumerate(read_catalog([path], None, limits or ReadLimits(), "--truth"), 1):
        item_id = _id_of(template, row)
        removed = as_mapping(row.get("hidden"), ColumnFormat())
        if item_id is None:
            problems.add(
                f"record {number} has no id under {' or '.join([*template.record.id, 'id'])}"
            )
        elif removed is None and "attribute" not in row:
            problems.add(
                f"record {number} has neither hidden: {{field: value}} nor attribute and value"
            )
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
        raise ConfigError(
            [f"--truth {path} says nothing of what template {template.name} fills", *found.notes()]
        )
    return found


def _no_id_matches(path: str, examples: Sequence[str], ids: Iterable[str]) -> str:
    here = ", ".join(map(repr, examples[:MAX_EXAMPLES])) or "none"
    there = ", ".join(map(repr, sorted(ids)[:MAX_EXAMPLES])) or "none"
    return (
        f"--truth {path} has no id of the catalog: its ids are {here}, the catalog's {there}; "
        "name the right files"
    )


class Problems:
    """Distinct problems of a truth file, reported all at once."""

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
            raise ConfigError(
                [*shown, *([f"--truth {path}: and {more:,} more problems"] if more else [])]
            )


def _id_of(template: Template, row: Mapping[str, Any]) -> str | None:
    """Return the item id of a truth line, as the normaliser would write it."""
    for name in dict.fromkeys([*template.record.id, "id", "item_id"]):
        text = as_text(row.get(name))
        if text is not None and text.strip():
            return text.strip()
    return None


class _FieldReader:
    """Reads removed cells with the template's own normaliser, as if they had stayed in their
    columns.
    """

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
        """Take the removed fields of an item.

        Of several places of a field the one that reads best counts.
        """
        for name, cell in removed.items():
            if name not in self._places:
                found.not_read[name] += 1
                continue
            readings: dict[str, list[tuple[tuple[str, ...] | None, list[str]]]] = {}
            for place in self._places[name]:
                self._collect(readings, item_id, place, cell)
            for attribute_name, options in readings.items():
                values, problems = min(
                    options, key=lambda reading: (reading[0] is None, len(reading[1]))
                )
                found.add(
                    item_id, self._template.by_name[attribute_name], values, "; ".join(problems)
                )

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
        record = self._normaliser.normalise(NO_RECORD, cells)
        if isinstance(record, Reject):
            return
        for attribute in self._template.attributes:
            sources = {split_source(source, self._template.columns) for source in attribute.from_}
            if attribute.name in record.given and (
                place in sources or (key is None and column in dict(sources))
            ):
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


class LabelReader:
    """Reads values of attributes that are named by themselves and not by a column."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._readers: dict[str, CellReader] = {}
        self.by_column = {
            source: attribute for attribute in template.attributes for source in attribute.from_
        }
        self.by_label = {attribute.title.casefold(): attribute for attribute in template.attributes}
        self.by_label |= {attribute.name: attribute for attribute in template.attributes}

    def read_line(
        self, attribute: Attribute, row: Mapping[str, Any]
    ) -> Iterator[tuple[tuple[str, ...] | None, str]]:
        """Yield the readings of a line's value or values: of a multi-valued attribute all hold,
        of another any is right.
        """
        given = row["values"] if "values" in row else row.get("value")
        if isinstance(given, list) and given and not attribute.spec.is_list:
            yield from (self.read(attribute, value) for value in given)
        else:
            yield self.read(attribute, given)

    def read(self, attribute: Attribute, cell: Any) -> tuple[tuple[str, ...] | None, str]:
        """Values of a cell, () when it says that there is none, None with the problem when it
        cannot be read.
        """
        absent = frozenset(text.strip().casefold() for text in (*attribute.absent, ""))
        if is_null(cell, absent):
            return (), ""
        if attribute.name not in self._readers:
            self._readers[attribute.name] = operations_of(attribute).reader(attribute, ())
        columns = [split_source(source, self._template.columns) for source in attribute.from_]
        formats = [
            (ColumnFormat(), False),
            *((self._template.format_of(c), k is not None) for c, k in columns),
        ]
        readings = [self._readers[attribute.name](cell, *each) for each in formats]
        value, flags = min(readings, key=lambda reading: (reading[0] is None, len(reading[1])))
        problem = "; ".join(flag.detail for flag in flags) or (
            "" if value is not None else f"{shorten(cell)} is empty"
        )
        return None if value is None else texts_of(attribute, value), problem


def read_lines(request: Request, name: str) -> Iterator[tuple[str, str, list[Any]]]:
    """(item id, attribute, values) of a benchmark's truth; `name` is the column of its value or
    values.
    """
    for number, row in enumerate(
        read_catalog([str(request.truth)], None, request.read_limits, "--truth"), 1
    ):
        item_id, label, given = (
            _id_of(request.template, row),
            as_text(row.get("attribute")),
            row.get(name),
        )
        if item_id is None or label is None or given is None:
            raise ConfigError(
                [f"--truth {request.truth}: record {number} lacks id, attribute or {name}"]
            )
        yield item_id, label, given if isinstance(given, list) else [given]


def check_ids(request: Request, rows: Mapping[str, Any], ids: Iterable[str]) -> None:
    wanted = dict.fromkeys(ids)
    if not any(item_id in rows for item_id in wanted):
        raise ConfigError([_no_id_matches(str(request.truth), list(wanted), rows)])

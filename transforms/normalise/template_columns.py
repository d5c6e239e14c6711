"""What a template reads of each kind of records: the columns that are there, under their names.

It is found out once for each set of columns that matters, as records of JSON may all have others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from schemas.attribute_types.registry import AttributeType
from schemas.template import Template, is_pattern, path_beginnings
from transforms.attribute_types.contract import CellReader, Reading
from transforms.attribute_types.registry import operations_of
from transforms.extraction.structures.paths import folded
from transforms.normalise.column_currencies import may_name_currencies
from transforms.normalise.column_groups import pattern_of
from transforms.normalise.column_names import ColumnNames, spellings
from transforms.normalise.column_units import bare_name, may_name_units
from transforms.normalise.pair_names import PairNames
from transforms.normalise.sources import (
    Source,
    Sources,
    Units,
    is_amount,
    sibling_units,
    stands_alone,
    units_of,
)

# Sets of columns whose meaning is known, and names of columns.
_KEPT_SETS, _KEPT_NAMES = 1_000, 10_000
# Texts of an attribute whose reading is known, and how long they are at most.
_KEPT_TEXTS, KEPT_CHARS = 500, 40
_SHARED = (str, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one attribute.

    sources: with the units of its bare numbers, and whether none can stand beside them; absent:
    texts that say that the item has none. is_price: of several columns that may be one price.
    known: what short texts were read as, and of which source: those of most columns come again and
    again.
    """

    name: str
    sources: tuple[tuple[Source, Units | None, bool], ...]
    read: CellReader
    absent: frozenset[str]
    is_localized: bool
    is_price: bool
    known: dict[str, tuple[Source, Reading]] = field(default_factory=dict)

    def keep(self, source: Source, text: str, reading: Reading) -> None:
        """Note what a text was read as, which nothing but source and text may decide."""
        # Records must not share what can be changed in one of them.
        if isinstance(reading[0], _SHARED):
            if len(self.known) >= _KEPT_TEXTS:
                self.known.clear()
            self.known[text] = source, reading


@dataclass(frozen=True, slots=True)
class Columns:
    """What a template reads: of each kind of columns those that are there.

    of_patterns: name in the pattern of a picture's path → its column. pairs: columns of names and
    values, None where there are none, or no rows that belong together.
    """

    ids: tuple[Source, ...]
    groups: tuple[Source, ...]
    event_ts: tuple[Source, ...]
    language: tuple[Source, ...]
    images: tuple[Source, ...]
    position: tuple[Source, ...]
    of_patterns: tuple[tuple[str, tuple[Source, ...]], ...]
    readers: tuple[Reader, ...]
    pairs: PairNames | None = None

    def there(self, sources: Sources, written: tuple[str, ...]) -> Columns:
        """Return those that an input with these columns has, as it calls them."""
        names = ColumnNames(written)
        readers = []
        for each in self.readers:
            units = {source.written: unit for source, unit, _ in each.sources}
            found = sources.there([source for source, *_ in each.sources], names)
            if found:
                of_units = tuple(
                    (source, unit := units[source.written], stands_alone(unit, source, written))
                    for source in found
                )
                readers.append(replace(each, sources=of_units))
        return Columns(
            sources.there(self.ids, names),
            sources.there(self.groups, names),
            sources.there(self.event_ts, names),
            sources.there(self.language, names),
            sources.there(self.images, names),
            sources.there(self.position, names),
            tuple((name, sources.there(each, names)) for name, each in self.of_patterns),
            tuple(readers),
        )


class TemplateColumns:
    """The columns of a template, to be found among those of records.

    found: folded name of a column → its decimal mark or order of dates, where the template does not
    say it.
    """

    def __init__(self, template: Template, found: Mapping[str, str]) -> None:
        self._sources = Sources(template, found)
        self._has_groups = bool(template.record.group)
        self._null_values = template.record.null_texts
        self._columns = self._compiled(template)
        self._mattering = _Mattering(template)
        self._by_names: dict[tuple[str, ...], Columns] = {}
        self._by_mattering: dict[tuple[str, ...], Columns] = {}

    def among(self, names: tuple[str, ...]) -> Columns:
        """Return what the template reads in records with these columns."""
        found = self._by_names.get(names)
        if found is None:
            if len(self._by_names) >= _KEPT_SETS:
                self._by_names.clear()
            found = self._by_names[names] = self._among(self._mattering.among(names))
        return found

    def _among(self, names: tuple[str, ...]) -> Columns:
        if names not in self._by_mattering:
            if len(self._by_mattering) >= _KEPT_SETS:
                self._by_mattering.clear()
            found = self._columns.there(self._sources, names)
            if self._has_groups:
                every = [source for reader in found.readers for source, *_ in reader.sources]
                pairs = PairNames([each.group for each in every if each.group], self._null_values)
                found = replace(found, pairs=pairs if pairs.are_there else None)
            self._by_mattering[names] = found
        return self._by_mattering[names]

    def _compiled(self, template: Template) -> Columns:
        record, of = template.record, self._sources.of
        readers = []
        for attribute in template.attributes:
            if attribute.from_:
                sources = of(attribute.from_)
                read = operations_of(attribute).reader(
                    attribute, sibling_units(template, attribute)
                )
                of_units = tuple((source, units_of(attribute, source), False) for source in sources)
                is_localized = attribute.type == AttributeType.LOCALIZED
                absent = _folded(attribute.absent)
                is_price = len(sources) > 1 and is_amount(attribute)
                readers.append(
                    Reader(attribute.name, of_units, read, absent, is_localized, is_price)
                )
        return Columns(
            of(record.id),
            of(record.group),
            of(record.event_ts),
            of(() if record.language is None else (record.language,)),
            self._image_sources(template),
            of(() if record.images.position is None else (record.images.position,)),
            tuple((name, of([name])) for name in record.images.pattern_columns),
            tuple(readers),
        )

    def _image_sources(self, template: Template) -> tuple[Source, ...]:
        images = template.record.images
        sources, separator = self._sources.of(images.columns), images.separator
        if separator is None:
            return sources
        as_list = {"format": "list", "separator": separator, "list_separator": separator}
        return tuple(
            replace(s, column_format=s.column_format.model_copy(update=as_list)) for s in sources
        )


class _Mattering:
    """Tells the columns of an input that matter to a template from all others.

    Where some may hold units or currencies, those matter whose name is within theirs: the units in
    `weight_unit` are those of `weight`, if there is such a column.
    """

    def __init__(self, template: Template) -> None:
        names = set(_written(template))
        self._patterns = [pattern_of(name) for name in names if is_pattern(name)]
        self._spelled = {each for name in names for each in spellings(name)}
        self._known: dict[str, bool | None] = {}

    def among(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the names that matter."""
        known = self._known
        if len(known) > _KEPT_NAMES:
            known.clear()
        for name in names:
            if name not in known:
                known[name] = self._matters(name)
        holders = " ".join(bare_name(name) for name in names if known[name] is None)
        if not holders:
            return tuple(name for name in names if known[name])
        return tuple(name for name in names if known[name] or bare_name(name) in holders)

    def _matters(self, name: str) -> bool | None:
        """Return whether a column matters, None for one that may hold units of others."""
        if may_name_units(name) or may_name_currencies(name):
            return None
        key = folded(name)
        return key in self._spelled or any(each.fullmatch(key) for each in self._patterns)


def _written(template: Template) -> Iterator[str]:
    """Yield every name that a template may mean a column by, whole and up to each dot."""
    yield from template.sources
    for form in template.columns.values():
        yield from filter(None, (*form.all_of, form.name_from, form.unit_from))
    for source in template.sources:
        yield from (source[:at] for at in path_beginnings(source))


def _folded(texts: Iterable[str]) -> frozenset[str]:
    """Return texts as `is_null` compares them."""
    return frozenset(text.strip().casefold() for text in texts)

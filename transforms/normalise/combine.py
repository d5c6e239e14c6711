"""Rows of one item become one record: variant rows, picture rows, translation rows, or several
records that happen to have one id.

(records with one id, how they combine) → one Record with all rows behind it, and rejects. Pure; the
order of the records does not matter: where one decides it is that of file and position.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from schemas.attributes import RowsMode
from schemas.elements import Flag, Record, Reject, Value
from schemas.template import Duplicates, Template
from transforms.normalise.ids import STAGE, has_lost_digits, is_stand_in
from transforms.normalise.pair_names import ReadAgain, with_names
from transforms.runtime.deadlines import fault_of

# What one item holds of rows; the others are set aside, and reported. Without a group few rows have
# one id, unless the column is no id.
MAX_GROUP_ROWS, MAX_SAME_ID_ROWS = 10_000, 100
# Of a product's rows that are no variants: each of its variants has their pictures, so both bound
# what a group may hold.
MAX_PARTS, MAX_SHARED = 250, 100_000
_NAMED_ROWS = 3
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Combination:
    """How rows of one item combine.

    is_grouped: rows with one id are meant to be one item; otherwise they are duplicates.
    modes: attribute → how the template says that its values combine; the others as usual.
    lists: attributes that hold several values; by_language: those with texts by language.
    own: those that no row has from another; shared: those that rows always have from their group's
    first.
    read_again: how a row is read whose values have their names in another one; None: none is.
    """

    duplicates: Duplicates = "merge"
    is_grouped: bool = False
    modes: Mapping[str, RowsMode] = field(default_factory=dict)
    lists: frozenset[str] = frozenset()
    by_language: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    read_again: ReadAgain | None = None

    @classmethod
    def of(cls, template: Template, read_again: ReadAgain | None = None) -> Combination:
        """Return what a template says."""
        attributes = template.attributes
        return cls(
            template.record.duplicates,
            template.record.groups_by_id,
            {each.name: each.rows for each in attributes if each.rows not in (None, "own")},
            frozenset(each.name for each in attributes if each.spec.is_list),
            frozenset(each.name for each in attributes if each.type == "localized"),
            frozenset(
                each.name
                for each in attributes
                if each.rows == "own" or (each.spec.of_one_row and each.rows is None)
            ),
            # What a product is called is right for a variant that is not called otherwise.
            frozenset(
                each.name
                for each in attributes
                if each.rows == "first" or (each.role and each.rows is None)
            ),
            read_again,
        )

    @property
    def max_rows(self) -> int:
        return MAX_GROUP_ROWS if self.is_grouped else MAX_SAME_ID_ROWS

    def mode_of(self, name: str) -> RowsMode | None:
        """Return how an attribute's values combine; None: the newest of duplicates."""
        usual: RowsMode | None = None
        if self.is_grouped:
            usual = "all" if name in self.lists else "first"
        return self.modes.get(name, usual)


def combine(records: Sequence[Record], how: Combination) -> tuple[Record | None, list[Reject]]:
    """Return the record that rows with one id make, None where none of them is believed, and what
    is set aside.
    """
    if len(records) == 1:
        return records[0], []
    if _may_be_several(records, how):
        message = (
            f"{len(records):,} records have the id {records[0].item_id!r}, which names no item: "
            "their titles or texts differ, so they may be several; export ids as text, one an item"
        )
        return None, [_duplicate(each, message) for each in records]
    if how.is_grouped or how.duplicates == "merge":
        ordered = sorted(records, key=_place if how.is_grouped else _newest_first)
        rejects = [_too_many(each, len(records), how) for each in ordered[how.max_rows :]]
        chosen = ordered[: how.max_rows]
        if how.is_grouped and how.read_again is not None:
            chosen = with_names(chosen, how.read_again)
        return _merged(chosen, how), rejects
    if how.duplicates == "quarantine":
        message = (
            f"{len(records):,} records have the id {records[0].item_id!r} and the template says "
            "record.duplicates: quarantine; make ids unique"
        )
        return None, [_duplicate(each, message) for each in records]
    prefers = _fullest_first if how.duplicates == "keep-fullest" else _newest_first
    kept, *others = sorted(records, key=prefers)
    # No file or line in the message: the same records in other files give the same row.
    message = (
        f"another record with id {kept.item_id!r} was kept (record.duplicates: "
        f"{how.duplicates}); make ids unique or merge the records"
    )
    return kept, [_duplicate(each, message) for each in others]


def _may_be_several(records: Sequence[Record], how: Combination) -> bool:
    """Return whether an id that stands for nothing, or has lost digits, is that of several items:
    what names or describes an item differs.
    """
    item_id = records[0].item_id
    if not (is_stand_in(item_id) or has_lost_digits(item_id)):
        return False
    for name in how.shared or {name for each in records for name in each.values}:
        shown = {repr(each.values[name]) for each in records if name in each.values}
        if len(shown) > 1:
            return True
    return False


def inherit(rows: Sequence[Record], how: Combination) -> tuple[list[Record], list[Reject]]:
    """Return the variants among the rows of one group, with what they have of its other rows.

    What the first row says is every variant's who does not say it, unless variants differ in it.
    Rows without an id are parts of the product: their pictures are those of all variants. Each is
    a row of the first variant.
    """
    ordered = in_order(rows)
    if how.read_again is not None:
        ordered = with_names(ordered, how.read_again)
    variants = [row for row in ordered if row.item_id]
    parts = [row for row in ordered if not row.item_id]
    if not variants:
        message = (
            f"no row of the group {ordered[0].group!r} has an id; fill it, or name the id column "
            "under record.id"
        )
        return [], [row.rejected("missing-id", STAGE, message) for row in parts]
    most = min(MAX_PARTS, max(1, MAX_SHARED // len(variants)))
    rejects = [_too_many_parts(row, len(parts), most) for row in parts[most:]]
    parts = sorted(parts[:most], key=_image_position)
    first = ordered[0]
    common = [name for name in first.given if _is_common(name, first, ordered, how)]
    made = [_variant(row, first, common, parts) for row in variants]
    made[0] = replace(made[0], rows=tuple(part.raw for part in parts))
    return made, rejects


def not_combined(rows: Sequence[Record], error: Exception) -> list[Reject]:
    """Return the rejects of rows on which this program failed: one item's fault must not end the
    run.
    """
    reason, message = fault_of(error)
    return [row.rejected(reason, STAGE, message) for row in rows]


def _is_common(name: str, first: Record, rows: Sequence[Record], how: Combination) -> bool:
    if name in how.shared:
        return True
    return name not in how.own and all(
        row.values.get(name) == first.values.get(name) for row in rows if name in row.given
    )


def _variant(row: Record, first: Record, common: Sequence[str], parts: Sequence[Record]) -> Record:
    names = [name for name in common if name not in row.given]
    shown = row if row.image_refs else first
    images = dict.fromkeys(path for each in (shown, *parts) for path in each.image_refs)
    sources = [first] if row is not first and (names or shown is first) else []
    sources += [part for part in parts if part.image_refs and part is not first]
    is_empty = not names and not images
    return replace(
        row,
        values={**row.values, **{n: first.values[n] for n in names if n in first.values}},
        given={**row.given, **{name: first.given[name] for name in names}},
        origins={**row.origins, **{name: _origin(name, [first]) for name in names}},
        absent=(*row.absent, *(name for name in names if name in first.absent)),
        flags=(
            *(flag for flag in row.flags if flag.reason != "no-content" or is_empty),
            *(flag for flag in first.flags if row is not first and flag.field in names),
        ),
        image_refs=tuple(images),
        inherited=tuple(dict.fromkeys((*row.inherited, *(each.raw.key for each in sources)))),
    )


def _too_many_parts(row: Record, parts: int, most: int) -> Reject:
    message = (
        f"{parts:,} rows of the group {row.group!r} have no id, of which {most:,} were "
        "combined; check record.group and record.id"
    )
    return row.rejected("too-many-rows", STAGE, message)


def in_order(records: Iterable[Record]) -> list[Record]:
    """Return records by file and position."""
    return sorted(records, key=_place)


def _place(record: Record) -> tuple[str, int, int, str]:
    raw = record.raw
    return raw.file, raw.begin, raw.position, raw.digest


def _newest_first(record: Record) -> tuple[Any, ...]:
    """By event time, those without one last, then the last in the order of files first."""
    known, raw = record.event_ts_us, record.raw
    age = (1, 0) if known is None else (0, -known)
    return (*age, _Reversed(raw.file), -raw.begin, -raw.position, raw.digest)


def _fullest_first(record: Record) -> tuple[Any, ...]:
    return (-len(record.values), -len(record.image_refs), *_newest_first(record))


class _Reversed(str):
    """A text that sorts behind those it stands before."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


def _duplicate(record: Record, message: str) -> Reject:
    return record.rejected("duplicate-id", STAGE, message)


def _too_many(record: Record, rows: int, how: Combination) -> Reject:
    fix = "check record.group" if how.is_grouped else "is it the id? see record.id, record.group"
    message = (
        f"{rows:,} rows belong to {record.item_id!r}, of which {how.max_rows:,} were combined; "
        f"{fix}"
    )
    return record.rejected("too-many-rows", STAGE, message)


def _merged(rows: Sequence[Record], how: Combination) -> Record:
    """Return one record of rows that are in the order in which they are believed."""
    names = dict.fromkeys(name for row in rows for name in row.given)
    taken = {name: _Taken.of(name, rows, how) for name in names}
    times = [row.event_ts_us for row in rows if row.event_ts_us is not None]
    about_values = [flag for each in taken.values() for flag in each.flags]
    images = _image_refs(rows, how)
    rest = _other_flags(rows, names, is_empty=not names and not images)
    merged = [] if how.is_grouped else [_merge_flag(rows, taken)]
    first = rows[0]
    return replace(
        first,
        values={name: each.value for name, each in taken.items() if each.value is not None},
        given={name: each.given for name, each in taken.items()},
        image_refs=images,
        flags=tuple(dict.fromkeys((*about_values, *rest, *merged))),
        event_ts_us=max(times, default=None),
        origins={name: each.origin for name, each in taken.items()},
        absent=tuple(name for name, each in taken.items() if each.is_absent),
        rows=tuple(raw for row in rows for raw in (row.raw, *row.rows))[1:],
        inherited=tuple(dict.fromkeys(key for row in rows for key in row.inherited)),
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    """What an item has of one attribute, and from which of its rows."""

    value: Value | None
    given: str
    origin: str
    is_absent: bool
    flags: tuple[Flag, ...]
    rows: tuple[Record, ...]

    @classmethod
    def of(cls, name: str, rows: Sequence[Record], how: Combination) -> _Taken:
        mode = how.mode_of(name)
        if not how.is_grouped and mode is not None:
            rows = in_order(rows)
        believed = rows[::-1] if mode == "last" else rows
        said = [row for row in believed if name in row.given]
        valued = [row for row in said if name in row.values]
        if mode is None and name in how.lists:
            # Rows of one time are parts of a list; an older one is what the list was.
            mode = "all"
            times = {row.event_ts_us for row in valued[:1]}
            valued = in_order(row for row in valued if row.event_ts_us in times)
        # A cell that does not fit is what the item has only where no other row says anything.
        good = [row for row in said if name in row.values or name in row.absent]
        if valued and (mode == "all" or name in how.by_language):
            chosen = valued
        else:
            chosen = (good or said)[:1]
        values = [row.values[name] for row in chosen if name in row.values]
        last = max(map(said.index, chosen)) if len(chosen) == 1 else len(said)
        flags = [f for row in said[: last + 1] for f in row.flags if f.field == name]
        if len(chosen) == 1 and values and name not in how.modes:
            flags += _differing(name, values[0], valued, how)
        return cls(
            _together(values),
            "; ".join(dict.fromkeys(row.given[name] for row in chosen)),
            _origin(name, chosen),
            not values and name in chosen[0].absent,
            tuple(flags),
            tuple(chosen),
        )


def _together(values: Sequence[Value]) -> Value | None:
    """Return values of several rows as one: lists joined, texts by language, texts in a row."""
    if len(values) < 2:
        return values[0] if values else None
    if isinstance(values[0], dict):
        merged: dict[str, str] = {}
        for each in reversed(values):
            merged.update(each if isinstance(each, dict) else {})
        return dict(sorted(merged.items()))
    if isinstance(values[0], list):
        lists = (each if isinstance(each, list) else [str(each)] for each in values)
        return list(dict.fromkeys(entry for entries in lists for entry in entries))
    return ", ".join(dict.fromkeys(map(str, values)))


def _origin(name: str, rows: Sequence[Record]) -> str:
    """Return the columns that gave a value, with the rows."""
    columns = ", ".join(dict.fromkeys(row.origins.get(name, name) for row in rows))
    named = [row.raw.short_key for row in rows[:_NAMED_ROWS]]
    more = f" and {len(rows) - _NAMED_ROWS:,} more" if len(rows) > _NAMED_ROWS else ""
    return f"{columns} ({'row' if len(rows) == 1 else 'rows'} {', '.join(named)}{more})"


def _differing(
    name: str, kept: Value, valued: Sequence[Record], how: Combination
) -> Iterator[Flag]:
    """Tell of other values of rows that are no older: one of them was chosen by its place only."""
    newest = valued[0].event_ts_us
    others = [
        row.values[name]
        for row in valued
        if row.values[name] != kept and (how.is_grouped or row.event_ts_us == newest)
    ]
    if not others:
        return
    distinct = list(dict.fromkeys(_shown(value) for value in others))
    listed = ", ".join(distinct[:_NAMED_ROWS]) + (" …" if len(distinct) > _NAMED_ROWS else "")
    detail = (
        f"{_shown(kept)} is kept of {1 + len(distinct)} values; other rows of the item say "
        f"{listed}; write rows: first, last or all under the attribute"
    )
    yield Flag("rows-differ", name, detail)


def _shown(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _image_refs(rows: Sequence[Record], how: Combination) -> tuple[str, ...]:
    """Return the pictures of all rows, by position where one is given; of versions of a record,
    which have event times, those of the newest that has any.
    """
    having = [row for row in rows if row.image_refs]
    if not how.is_grouped and having:
        having = [row for row in having if row.event_ts_us == having[0].event_ts_us]
    ordered = sorted(in_order(having), key=_image_position)
    return tuple(dict.fromkeys(path for row in ordered for path in row.image_refs))


def _image_position(record: Record) -> tuple[bool, float]:
    position = record.image_position
    return position is None, 0.0 if position is None else position


def _other_flags(
    rows: Sequence[Record], names: Mapping[str, None], *, is_empty: bool
) -> Iterator[Flag]:
    for flag in (flag for row in rows for flag in row.flags):
        if flag.field not in names and (flag.reason != "no-content" or is_empty):
            yield flag


def _merge_flag(rows: Sequence[Record], taken: Mapping[str, _Taken]) -> Flag:
    main = rows[0].raw.key
    older = {
        name: each.rows[0].raw.short_key
        for name, each in taken.items()
        if each.rows[0].raw.key != main
    }
    listed = "; ".join(f"{name} from {row}" for name, row in islice(older.items(), 2 * _NAMED_ROWS))
    detail = (
        f"{len(rows)} rows with this id were merged, the newest value of each attribute: row "
        f"{rows[0].raw.short_key}{'; ' + listed if listed else ''}; if they belong together say "
        "record.group, if not record.duplicates"
    )
    return Flag("rows-merged", "", detail)

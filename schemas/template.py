"""The catalog template: the single source of truth about a catalog's columns and attributes.

From a template are derived: how raw columns are read, the Arrow columns of the tables, the row
checks, the Great Expectations suite and the data dictionary. Loading reports every error at once,
with its line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Container
from functools import cached_property
from itertools import chain
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from schemas.attributes import Attribute, OneOrMany
from schemas.checks import KINDS, Severity
from schemas.choices import Strict, added
from schemas.hashing import digest
from schemas.sections.dates import check_format
from schemas.sections.inputs import InputDescription
from schemas.sections.pictures import check_pattern, pattern_columns
from schemas.sections.vectors import VectorSpec, with_defaults

# Where a path may begin: a dot, `[]`, `[*]` or `[0]`; `Height [cm]` is a name.
_BEHIND_COLUMN = re.compile(r"(?<=.)(?:\.|\[(?:\*|-?\d+|)\])")


# In the name of a column, for several: a number, and a language tag.
NUMBER_MARK, LANGUAGE_MARK = "{n}", "{lang}"


class ColumnFormat(Strict):
    """How the cells of one raw column are written.

    format: `text` (one value), `list`, `path` (one category path) or `pairs` (`key=value` cells).
    separator: between list entries, path steps or pairs.
    path_separator: inside each entry of a list of category paths.
    fields: of pairs that have more than a key and a value, `Name:Value:Position`; a column whose
      name says so in brackets needs none.
    escapes: whether a backslash before n, u2013 or a quote stands for a line break, a character, a
      quote; without it where it can be nothing else.
    name_from: the column with the name of this one's value, `Attribute {n} name` for
      `Attribute {n} value`; `column.Color` is the value that is named so. all_of: columns that are
      read together under this name.
    unit: that bare numbers are in; unit_from: column that names it. Without them a column such as
      `weight_unit` or a name such as `Weight (kg)` tells.
    decimal: the mark before decimals; without it the other numbers of the column tell, and where
      they do not, a number such as 1,250 stays unknown unless its currency tells. `mixed`: both
      are used, so that it stays unknown; `thousands`: marks of whole numbers group thousands.
    dates: whether 03/04/2025 is in April or in March; without it other dates of the column tell.
      `mixed`: both are used, so that such a date stays unknown.
    """

    format: Literal["text", "list", "path", "pairs"] = "text"
    separator: Annotated[str, Field(min_length=1)] = ","
    key_separator: Annotated[str, Field(min_length=1)] = "="
    list_separator: Annotated[str, Field(min_length=1)] = "|"
    path_separator: str | None = None
    ignore: tuple[str, ...] = ()
    fields: Annotated[str, Field(pattern=r"^[^:]+(:[^:]+)+$")] | None = added(None)
    escapes: bool | None = added(None)
    name_from: str | None = added(None)
    all_of: OneOrMany = added(())
    decimal: Literal[",", ".", "mixed", "thousands"] | None = added(None)
    dates: Literal["day-first", "month-first", "mixed"] | None = added(None)
    unit: str | None = added(None)
    unit_from: str | None = added(None)

    @property
    def decimal_mark(self) -> Literal[",", "."] | None:
        """The mark before decimals where it is known."""
        return self.decimal if self.decimal in (",", ".") else None


class ImageTable(Strict):
    """A second table that lists further images: its id column and its image column."""

    id: str
    image: str


Duplicates = Literal["merge", "keep-latest", "keep-fullest", "quarantine"]


class Images(Strict):
    """Which raw columns hold image references, and how they are written.

    pattern: of the path where no column names it, from the item's id and other columns, see
      schemas.sections.pictures; it counts where the columns hold nothing.
    position: column that numbers the pictures of an item whose rows have one each.
    """

    columns: OneOrMany = ()
    separator: str | None = None
    strip_prefix: str = ""
    required: bool = False
    table: ImageTable | None = None
    pattern: OneOrMany = added(())

    position: str | None = added(None)

    @field_validator("pattern")
    @classmethod
    def _can_be_filled(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_pattern, patterns))

    @property
    def pattern_columns(self) -> tuple[str, ...]:
        """The columns that the patterns need besides the item's id."""
        return tuple(chain.from_iterable(map(pattern_columns, self.pattern)))

    @property
    def are_read(self) -> bool:
        """Whether records name pictures."""
        return bool(self.columns or self.pattern)


class RecordMap(Strict):
    """Where a raw record's identity, event time and images stand.

    event_ts_format: how event times are written, one or several of schemas.sections.dates.
    group: columns whose first with a value names what a row belongs to: the item, if they are
      those of `id`, else the product whose variants the items are.
    language: column that names the language of a row's texts.
    duplicates: what becomes of several rows with one id that no group puts together.
    fill_down: columns of which an empty cell means the cell above it in its file, the key first;
      each belongs to those before it, so that a new key ends what stood behind the last one.
    """

    id: Annotated[OneOrMany, Field(min_length=1)]
    event_ts: OneOrMany = ()
    null_values: tuple[str, ...] = ("",)
    images: Images = Images()
    event_ts_format: OneOrMany = added(())
    group: OneOrMany = added(())
    duplicates: Duplicates = added("merge")
    language: str | None = added(None)
    fill_down: OneOrMany = added(())

    @field_validator("fill_down")
    @classmethod
    def _are_single_columns(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for each in filter(is_pattern, columns):
            raise ValueError(f"{each!r} stands for several columns; name each that is filled down")
        return columns

    @field_validator("event_ts_format")
    @classmethod
    def _formats_are_known(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        for each in formats:
            check_format(each)
        return formats

    @model_validator(mode="after")
    def _duplicates_are_no_group(self) -> RecordMap:
        if self.group and self.duplicates != "merge":
            raise ValueError(
                f"duplicates: {self.duplicates} sets rows aside that group: "
                f"{', '.join(self.group)} puts together; keep one of them"
            )
        return self

    @model_validator(mode="after")
    def _filled_ids_are_grouped(self) -> RecordMap:
        filled = [column for column in self.fill_down if column in self.id]
        if filled and not self.group:
            raise ValueError(
                f"fill_down: {filled[0]} gives several rows one id; say what they are with "
                f"group: {filled[0]}"
            )
        return self

    @property
    def null_texts(self) -> frozenset[str]:
        r"""Texts that hold nothing, as `is_null` compares them; among them `\N`, which databases
        write for null, also where nothing else has a backslash.
        """
        return frozenset(text.strip().casefold() for text in ("", r"\N", *self.null_values))

    @property
    def groups_by_id(self) -> bool:
        """Tell whether the rows of a group are one item."""
        return bool(self.group) and self.group == self.id

    @property
    def inherits(self) -> bool:
        """Tell whether the rows of a group are items, which have from its first row what is the
        same for all.
        """
        return bool(self.group) and self.group != self.id


class Describe(Strict):
    """How items are put to a language model.

    subject: what an item is, in the prompt's words ("a film"); on_failure: what becomes of an item
    for which the
    model failed: `unknown` leaves its open attributes unknown, `quarantine` sets the record aside.
    """

    subject: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^<>\[\]{}\n]+$")] = (
        "an item of a catalog"
    )
    on_failure: Literal["unknown", "quarantine"] = "unknown"


Share = Annotated[float, Field(ge=0, le=1)]


class Drift(Strict):
    """How far a snapshot may be from the last published one.

    min_items: below it, in either snapshot, nothing is compared; values and vectors are counted
    likewise.
    items_lost, items_gained: as a share of the last snapshot's; null_rate, quarantine_rate: rise of
    a share.
    values: Jensen-Shannon distance of an attribute's values; vectors: distance of the mean vectors;
    both without what chance alone makes.
    """

    min_items: Annotated[int, Field(ge=1)] = 100
    items_lost: Share = 0.2
    items_gained: Annotated[float, Field(ge=0)] = 4.0
    quarantine_rate: Share = 0.1
    null_rate: Share = 0.2
    values: Share = 0.3
    vectors: Annotated[float, Field(ge=0, le=2)] = 0.2


class Gate(Strict):
    """What a snapshot must fulfil before readers see it.

    max_describe_failure_rate: of the items that a language model was asked about; what the budget
    left open is none.
    severities: kind of check (docs/gate.md) → critical, which refuses the snapshot, or warning.
    """

    min_items: Annotated[int, Field(ge=0)] = 1
    max_quarantine_rate: Share = 0.5
    max_describe_failure_rate: Share = 0.2
    severities: dict[str, Severity] = Field(default_factory=dict)
    drift: Drift = Drift()

    @field_validator("severities")
    @classmethod
    def _kinds_are_known(cls, severities: dict[str, Severity]) -> dict[str, Severity]:
        for kind in severities:
            if kind not in KINDS:
                close = difflib.get_close_matches(kind, KINDS, n=1)
                hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(KINDS)}"
                raise ValueError(f"there is no check {kind!r}; {hint}")
        return severities

    def severity_of(self, kind: str) -> Severity:
        return self.severities.get(kind, KINDS[kind].severity)


class Template(Strict):
    """A whole template, checked."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    description: str = ""
    record: RecordMap
    columns: dict[str, ColumnFormat] = Field(default_factory=dict)
    attributes: Annotated[tuple[Attribute, ...], Field(min_length=1)]
    describe: Describe = Describe()
    vectors: tuple[VectorSpec, ...] = ()
    gate: Gate = Gate()
    input: InputDescription = added(InputDescription())

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical form: equal for templates that mean the same, whatever their
        layout.

        Vectors are left out: each of their tables is known by what it is made of.
        """
        canonical = self.model_dump(mode="json", by_alias=True, exclude={"vectors"})
        return digest(canonical, sort_keys=True)

    @cached_property
    def by_name(self) -> dict[str, Attribute]:
        return {attribute.name: attribute for attribute in self.attributes}

    @property
    def spaces(self) -> tuple[VectorSpec, ...]:
        """The spaces of vectors, in the order of their tables; `text` and `image` are among
        them.
        """
        return with_defaults(self.vectors)

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """Names of the attributes that are titles, in template order."""
        return tuple(attribute.name for attribute in self.attributes if attribute.role == "title")

    @cached_property
    def evidence_fields(self) -> tuple[str, ...]:
        """Attributes whose text may state values of others: titles first, then texts, in template
        order.
        """
        with_role = [a for a in self.attributes if a.role]
        return tuple(a.name for a in sorted(with_role, key=lambda a: a.role != "title"))

    @cached_property
    def sources(self) -> frozenset[str]:
        """Every raw column, or key inside one, that the template reads, as it is written there."""
        images = self.record.images
        sources = [*self.record.id, *self.record.group, *self.record.event_ts, *images.columns]
        sources += [*self.record.fill_down, *images.pattern_columns]
        sources += [*filter(None, [images.position, self.record.language])]
        return frozenset(
            [*sources, *(source for attribute in self.attributes for source in attribute.from_)]
        )

    @cached_property
    def mapped_columns(self) -> frozenset[str]:
        """Every raw column that the template reads, without the key after the dot."""
        return frozenset(split_source(source, self.columns)[0] for source in self.sources)

    def format_of(self, column: str) -> ColumnFormat:
        return self.columns.get(column, ColumnFormat())


def is_pattern(column: str) -> bool:
    """Return whether a name stands for several columns.

    >>> is_pattern("image_{n}"), is_pattern("title-{lang}"), is_pattern("{size}")
    (True, True, False)
    """
    return NUMBER_MARK in column or LANGUAGE_MARK in column


def path_beginnings(source: str) -> list[int]:
    """Return where in a source a column's name may end and a path begin.

    >>> path_beginnings("a.b[].c"), path_beginnings("Art.-Nr."), path_beginnings(".a")
    ([1, 3, 5], [3], [])
    """
    # A dot at either end of a name, as in "No.", leads nowhere.
    end = len(source.rstrip("."))
    return [m.start() for m in _BEHIND_COLUMN.finditer(source) if 0 < m.start() < end]


def split_source(source: str, columns: Container[str]) -> tuple[str, str | None]:
    """Return `column.key` or `column[].key` in its two parts; a column that is declared under its
    whole name has no key, and the longest one that is declared has it.

    >>> split_source("titles.en", {}), split_source("name", {})
    (('titles', 'en'), ('name', None))
    >>> split_source("images[].hi_res", {})
    ('images', '[].hi_res')
    """
    if source in columns:
        return source, None
    splits = path_beginnings(source)
    declared = [at for at in splits if source[:at] in columns]
    at = declared[-1] if declared else next(iter(splits), None)
    if at is None:
        return source, None
    return source[:at], source[at:].removeprefix(".")

"""The catalog template: the single source of truth about a catalog's columns and attributes.

From a template are derived: how raw columns are read, the Arrow columns of the tables, the row
checks, the Great Expectations suite and the data dictionary. Loading reports every error at once,
with its line.
"""

from __future__ import annotations

import difflib
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, field_validator

from schemas.attributes import Attribute, OneOrMany
from schemas.checks import KINDS, Severity
from schemas.choices import Strict, added
from schemas.hashing import digest
from schemas.sections.inputs import InputDescription
from schemas.sections.vectors import VectorSpec, with_defaults


class ColumnFormat(Strict):
    """How the cells of one raw column are written.

    format: `text` (one value), `list`, `path` (one category path) or `pairs` (`key=value` cells).
    separator: between list entries, path steps or pairs.
    path_separator: inside each entry of a list of category paths.
    unit: that bare numbers are in; unit_from: column that names it. Without them a column such as
      `weight_unit` or a name such as `Weight (kg)` tells.
    decimal: the mark before decimals; without it the other numbers of the column tell. `mixed`:
      both are used, so that a number such as 1,250 stays unknown.
    """

    format: Literal["text", "list", "path", "pairs"] = "text"
    separator: Annotated[str, Field(min_length=1)] = ","
    key_separator: Annotated[str, Field(min_length=1)] = "="
    list_separator: Annotated[str, Field(min_length=1)] = "|"
    path_separator: str | None = None
    ignore: tuple[str, ...] = ()
    decimal: Literal[",", ".", "mixed"] | None = added(None)
    unit: str | None = added(None)
    unit_from: str | None = added(None)


class ImageTable(Strict):
    """A second table that lists further images: its id column and its image column."""

    id: str
    image: str


class Images(Strict):
    """Which raw columns hold image references, and how they are written."""

    columns: OneOrMany = ()
    separator: str | None = None
    strip_prefix: str = ""
    required: bool = False
    table: ImageTable | None = None


class RecordMap(Strict):
    """Where a raw record's identity, event time and images stand."""

    id: Annotated[OneOrMany, Field(min_length=1)]
    event_ts: OneOrMany = ()
    null_values: tuple[str, ...] = ("",)
    images: Images = Images()


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
        sources = [*self.record.id, *self.record.event_ts, *images.columns]
        return frozenset(
            [*sources, *(source for attribute in self.attributes for source in attribute.from_)]
        )

    @cached_property
    def mapped_columns(self) -> frozenset[str]:
        """Every raw column that the template reads, without the key after the dot."""
        return frozenset(split_source(source, self.columns)[0] for source in self.sources)

    def format_of(self, column: str) -> ColumnFormat:
        return self.columns.get(column, ColumnFormat())


def split_source(source: str, columns: dict[str, ColumnFormat]) -> tuple[str, str | None]:
    """`column.key` in its two parts; a column that is declared under its whole name has no key.

    >>> split_source("titles.en", {}), split_source("name", {})
    (('titles', 'en'), ('name', None))
    """
    if source in columns or "." not in source:
        return source, None
    column, key = source.split(".", 1)
    return column, key

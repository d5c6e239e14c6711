"""The attribute entry of a catalog template: closed lists, ranges, evidence, filling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from schemas.attribute_types.contract import TypeSpec
from schemas.attribute_types.number import Part
from schemas.attribute_types.registry import AttributeType
from schemas.choices import Choice, Strict, added
from schemas.sections.dates import check_format
from schemas.sections.patterns import check_expression

# How the values of several rows of one item combine.
RowsMode = Literal["first", "last", "all", "own"]
NAME = r"^[a-z][a-z0-9_]{0,62}$"
PATH_SEPARATOR = " > "


# Keys of an entry that only some types take; those that stand together are explained together.
_OPTIONS_OF_TYPES = (
    ("vocabulary",),
    ("part",),
    ("unit", "integer"),
    ("min", "max"),
    ("scheme",),
    ("currency",),
    ("format",),
)


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else [given]


def _as_choice(given: Any) -> Any:
    # `true` stays what it is, and meets the error that a value of a list is a text.
    is_plain = isinstance(given, str | int | float) and not isinstance(given, bool)
    return {"value": given} if is_plain else given


OneOrMany = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class Expectation(Strict):
    """What the gate expects of an attribute over the whole snapshot."""

    min_coverage: Annotated[float, Field(ge=0, le=1)] = 0.0
    severity: Literal["critical", "warning"] = "warning"


class Attribute(Strict):
    """One attribute of the catalog: the only place where anything about it is written down.

    A new field changes the hash of every template, and so rebuilds every snapshot once.

    from_: raw columns that feed it, the first with a value wins; `column.key` reaches into a cell
      of `key=value` pairs or a JSON object.
    vocabulary: a closed list that is made and not typed (schemas.vocabularies), in the languages of
      vocabulary_locales; `values` holds it, with what the template's own values add and change.
    unit: of a number, which may be a currency's code; currency: of money whose cells and columns
      name none, or only a sign that several share ("kr").
    format: how dates are written, one or several of schemas.sections.dates; the first that fits.
    part: the number of a compound expression that is meant, "6 x 330 ml" or "20 x 30 cm".
    evidence: where a missing value may be looked for.
    scheme: of an identifier; `any` has no check digit and takes every text.
    min_confidence: below it a found value stays unknown.
    target_precision: the share of right answers that is expected of what probes fill; they answer
      only where it is reached.
    rules: whether a name in a text states the value; false where texts are full of such words ("The
      War Room"), which probes and language models may still judge.
    absent: cells by which the source says that there is none ("none", "n/a"); such a value is never
      filled.
    rows: which of the values of several rows of one item count; of rows that are items of their own
      `own` takes no other row's value.
    """

    name: Annotated[str, Field(pattern=NAME)]
    type: AttributeType
    from_: Annotated[OneOrMany, Field(alias="from")] = ()
    label: str = ""
    description: str = ""
    role: Literal["title", "text"] | None = None
    vocabulary: Literal["languages", "countries", "colors"] | None = None
    vocabulary_locales: Annotated[OneOrMany, Field(min_length=1)] = ("en",)
    values: Annotated[
        tuple[Annotated[Choice, BeforeValidator(_as_choice)], ...],
        BeforeValidator(_as_list),
        Field(validate_default=True),
    ] = ()
    unit: str | None = None
    currency: str | None = added(None)
    format: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = added(())
    part: Part | None = None
    min: float | None = None
    max: float | None = None
    integer: bool = False
    pattern: str | None = None
    max_length: Annotated[int, Field(gt=0)] = 20_000
    scheme: Literal["gtin", "isbn", "issn", "orcid", "any"] | None = None
    true_terms: tuple[str, ...] = ("yes", "true", "1")
    false_terms: tuple[str, ...] = ("no", "false", "0")
    languages: tuple[str, ...] = ()
    evidence: tuple[Literal["text", "image"], ...] = ("text",)
    fill: bool = False
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.8
    target_precision: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    rules: bool = True
    absent: OneOrMany = ()
    required: bool = False
    on_invalid: Literal["flag", "quarantine"] = "flag"
    in_text: bool = True
    expect: Expectation = Expectation()
    rows: RowsMode | None = added(None)

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        return None if pattern is None else check_expression(pattern)

    @field_validator("unit")
    @classmethod
    def _unit_is_known(cls, unit: str | None) -> str | None:
        if unit is not None:
            from schemas.currencies import is_currency
            from schemas.units import is_unit

            if not is_unit(unit) and not is_currency(unit):
                raise ValueError(
                    f"{unit!r} is not a unit; write for example g, ml, cm, minute, W, EUR"
                )
        return unit

    @field_validator("format")
    @classmethod
    def _formats_are_known(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        for each in formats:
            check_format(each)
        return formats

    @field_validator("vocabulary_locales")
    @classmethod
    def _locales_are_known(cls, locales: tuple[str, ...]) -> tuple[str, ...]:
        if locales != ("en",):
            from schemas.vocabularies import check_locale

            for locale in locales:
                check_locale(locale)
        return locales

    @field_validator("values")
    @classmethod
    def _values_are_distinct(cls, values: tuple[Choice, ...]) -> tuple[Choice, ...]:
        seen: dict[str, str] = {}
        for choice in values:
            for term in choice.names:
                owner = seen.setdefault(term.casefold(), choice.value)
                if owner != choice.value:
                    raise ValueError(
                        f"{term!r} stands for both {owner!r} and {choice.value!r}; keep it with "
                        "one of them"
                    )
        if len({choice.value for choice in values}) < len(values):
            raise ValueError("the same value stands in the list twice; remove one")
        return values

    @field_validator("values")
    @classmethod
    def _values_of_the_vocabulary(
        cls, values: tuple[Choice, ...], info: ValidationInfo
    ) -> tuple[Choice, ...]:
        vocabulary, locales = info.data.get("vocabulary"), info.data.get("vocabulary_locales")
        if vocabulary is None or locales is None:
            return values
        from schemas.vocabularies import resolve

        return resolve(vocabulary, locales, values)

    @model_validator(mode="after")
    def _fits_its_type(self) -> Attribute:
        problems = [
            *self._misplaced_options(),
            *self._list_problems(),
            *self._role_problems(),
            *self._rows_problems(),
            *self.spec.problems(self),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _misplaced_options(self) -> Iterator[str]:
        for options in _OPTIONS_OF_TYPES:
            values = [getattr(self, option) for option in options]
            # By identity: `min: 0` is given, and equal to False.
            is_given = any(value not in (None, ()) and value is not False for value in values)
            if is_given and not self.spec.options.issuperset(options):
                owners = " or ".join(
                    kind for kind in AttributeType if kind.spec.options.issuperset(options)
                )
                names = " and ".join(filter(None, (", ".join(options[:-1]), options[-1])))
                verb = "belongs" if len(options) == 1 else "belong"
                yield f"{names} {verb} to type {owners}, not {self.type}"

    def _list_problems(self) -> Iterator[str]:
        if self.spec.has_closed_list and not self.values:
            yield f"type {self.type} needs a closed list; add values: [...]"
        elif self.values and not self.spec.has_closed_list and not self.vocabulary:
            yield f"type {self.type} takes no values; use type enum or multi_enum, or remove values"
        if self.vocabulary_locales != ("en",) and not self.vocabulary:
            yield (
                "vocabulary_locales belongs to a vocabulary; add vocabulary: languages, "
                "countries or colors"
            )

    def _role_problems(self) -> Iterator[str]:
        if self.role and not self.spec.takes_role:
            types = " or ".join(kind for kind in AttributeType if kind.spec.takes_role)
            yield f"role {self.role} needs type {types}, not {self.type}"
        if self.fill and not self.spec.is_fillable:
            yield f"nothing fills type {self.type}; set fill: false"
        if self.fill and self.role:
            yield (
                f"role {self.role}: what others are filled from is not filled itself; set fill: "
                "false"
            )

    def _rows_problems(self) -> Iterator[str]:
        if self.rows == "all" and not (self.spec.is_list or self.spec.takes_role):
            types = " or ".join(
                kind for kind in AttributeType if kind.spec.is_list or kind.spec.takes_role
            )
            yield f"rows: all needs a type that holds several values, {types}, not {self.type}"
        if self.rows == "all" and self.pattern is not None:
            yield "rows: all joins texts, which a pattern for one text refuses; keep one of them"

    @property
    def spec(self) -> TypeSpec:
        """What follows from the type, before a value is seen."""
        return self.type.spec

    @property
    def title(self) -> str:
        """The label shown to people: `label`, or the name in words."""
        return self.label or self.name.replace("_", " ").capitalize()

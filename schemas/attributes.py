"""The attribute entry of a catalog template: types, closed lists, ranges, evidence, filling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from schemas.choices import Choice, Strict

NAME = r"^[a-z][a-z0-9_]{0,62}$"
PATH_SEPARATOR = " > "


class AttributeType(StrEnum):
    """What kind of value an attribute holds; decides its Arrow type, its checks and how it is
    filled.
    """

    STRING = "string"
    ENUM = "enum"
    MULTI_ENUM = "multi_enum"
    CATEGORY = "category"
    NUMBER = "number"
    BOOLEAN = "boolean"
    IDENTIFIER = "identifier"
    LOCALIZED = "localized"

    @property
    def has_closed_list(self) -> bool:
        return self in (AttributeType.ENUM, AttributeType.MULTI_ENUM, AttributeType.CATEGORY)


def _as_list(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else [given]


def _as_choice(given: Any) -> Any:
    return (
        {"value": given}
        if isinstance(given, str | int | float) and not isinstance(given, bool)
        else given
    )


OneOrMany = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
AMOUNT_PARTS = ("each", "total")
Part = Literal["pack_count", "each", "total", "width", "height", "depth", "length"]


class Expectation(Strict):
    """What the gate expects of an attribute over the whole snapshot."""

    min_coverage: Annotated[float, Field(ge=0, le=1)] = 0.0
    severity: Literal["critical", "warning"] = "warning"


class Attribute(Strict):
    """One attribute of the catalog: the only place where anything about it is written down.

    from_: raw columns that feed it, the first with a value wins; `column.key` reaches into a cell
    of
      `key=value` pairs or a JSON object.
    vocabulary: a closed list that is made and not typed (schemas.vocabularies), in the languages of
      vocabulary_locales; `values` holds it, with what the template's own values add and change.
    part: the number of a compound expression that is meant, "6 x 330 ml" or "20 x 30 cm".
    evidence: where a missing value may be looked for.
    scheme: of an identifier; `any` has no check digit and takes every text.
    min_confidence: below it a found value stays unknown.
    target_precision: the share of right answers that is expected of what probes fill; they answer
    only where it is.
    rules: whether a name in a text states the value; false where texts are full of such words ("The
    War Room"), which
      probes and language models may still judge.
    absent: cells by which the source says that there is none ("none", "n/a"); such a value is never
    filled.
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

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return pattern

    @field_validator("unit")
    @classmethod
    def _unit_is_known(cls, unit: str | None) -> str | None:
        if unit is not None:
            from schemas.units import is_unit

            if not is_unit(unit):
                raise ValueError(f"{unit!r} is not a unit; write for example g, ml, cm, minute, W")
        return unit

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
        problems = self._type_problems()
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _type_problems(self) -> list[str]:
        problems = [*self._list_problems(), *self._part_problems()]
        if (
            self.unit or self.integer or self.min is not None or self.max is not None
        ) and self.type is not AttributeType.NUMBER:
            problems.append(f"unit, integer, min and max belong to type number, not {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            problems.append(f"min {self.min:g} is above max {self.max:g}; swap them")
        if self.scheme and self.type is not AttributeType.IDENTIFIER:
            problems.append(f"scheme belongs to type identifier, not {self.type}")
        if self.type is AttributeType.IDENTIFIER and not self.scheme:
            problems.append(
                "type identifier needs a scheme; add scheme: gtin, isbn, issn or orcid, whose "
                "check digits are "
                "verified, or scheme: any for codes without one"
            )
        if self.fill and self.scheme == "any":
            problems.append(
                "scheme any has no check digit that a found value could be held against; set fill: "
                "false"
            )
        if self.role and self.type not in (AttributeType.STRING, AttributeType.LOCALIZED):
            problems.append(f"role {self.role} needs type string or localized, not {self.type}")
        if self.fill and self.type is AttributeType.LOCALIZED:
            problems.append(f"nothing fills type {self.type}; set fill: false")
        if self.fill and self.role:
            problems.append(
                f"role {self.role}: what others are filled from is not filled itself; set fill: "
                "false"
            )
        return problems

    def _list_problems(self) -> Iterator[str]:
        if self.vocabulary and self.type not in (AttributeType.ENUM, AttributeType.MULTI_ENUM):
            yield f"vocabulary belongs to type enum or multi_enum, not {self.type}"
        elif self.type.has_closed_list and not self.values:
            yield f"type {self.type} needs a closed list; add values: [...]"
        elif self.values and not self.type.has_closed_list:
            yield f"type {self.type} takes no values; use type enum or multi_enum, or remove values"
        if self.vocabulary_locales != ("en",) and not self.vocabulary:
            yield (
                "vocabulary_locales belongs to a vocabulary; add vocabulary: languages, "
                "countries or colors"
            )

    def _part_problems(self) -> Iterator[str]:
        if self.part is None:
            return
        if self.type is not AttributeType.NUMBER:
            yield f"part belongs to type number, not {self.type}"
        elif self.part == "pack_count":
            if self.unit is not None:
                yield "part pack_count is a number of pieces; remove the unit"
        elif self.unit is None:
            example = "ml" if self.part in AMOUNT_PARTS else "cm"
            yield f"part {self.part} is an amount; add a unit, for example {example}"
        elif self.part not in AMOUNT_PARTS:
            from schemas.units import same_kind

            if not same_kind(self.unit, "cm"):
                yield f"part {self.part} is a length; {self.unit!r} is none, write for example cm"

    @property
    def title(self) -> str:
        """The label shown to people: `label`, or the name in words."""
        return self.label or self.name.replace("_", " ").capitalize()

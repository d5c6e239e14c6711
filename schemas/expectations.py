"""Checks of a snapshot, derived from the template as Great Expectations' own expectations.

Pure data: `transforms.validation.gate` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from schemas.attributes import Attribute
from schemas.checks import KINDS, Severity
from schemas.reasons import REASONS, Effect
from schemas.tables.specs import QUARANTINE, TableSpec, tables_of_items
from schemas.template import Template

SOURCES = ("record", "text", "image", "neighbour", "model")
UNIT_NORM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation over one frame of the snapshot.

    frame: `run` (one row: the account of the run), `drift` (one row: how far it is from the last
      snapshot), `list:<attribute>` (one row per entry of a list column), or the name of a table
      (what its rows are checked by: scalar columns of items, ids and norms of vectors).
    kind: id in schemas.checks.KINDS; expectation: class name in great_expectations.expectations.
    severity: critical refuses the snapshot.
    """

    frame: str
    kind: str
    expectation: str
    arguments: dict[str, Any]
    meaning: str
    severity: Severity

    @property
    def column(self) -> str:
        return str(self.arguments["column"])

    @property
    def mostly(self) -> float:
        return float(self.arguments.get("mostly", 1.0))

    @property
    def fix(self) -> str:
        return KINDS[self.kind].fix


def derive_checks(template: Template) -> list[Check]:
    """Return all checks of a snapshot of this template, in the order in which they are reported.

    A run that reuses what an earlier gate found matches checks by frame, column and meaning: a
    changed meaning costs one check of all files.
    """
    checks = [*_run_checks(template), *_item_checks(template)]
    for attribute in template.attributes:
        checks += _attribute_checks(attribute)
    for spec in tables_of_items(template.spaces):
        checks += _rows_of_items_checks(spec)
    checks += _quarantine_checks()
    return [
        replace(check, severity=template.gate.severities.get(check.kind, check.severity))
        for check in checks
    ]


def _check(
    frame: str, kind: str, expectation: str, arguments: dict[str, Any], meaning: str = ""
) -> Check:
    return Check(
        frame, kind, expectation, arguments, meaning or KINDS[kind].about, KINDS[kind].severity
    )


def between(
    frame: str, kind: str, column: str, low: float | None, high: float | None, meaning: str = ""
) -> Check:
    """Expect the values of a column between two numbers, both included; None: no limit."""
    limits = {
        key: value for key, value in (("min_value", low), ("max_value", high)) if value is not None
    }
    return _check(
        frame, kind, "ExpectColumnValuesToBeBetween", {"column": column, **limits}, meaning
    )


def _run_checks(template: Template) -> Iterator[Check]:
    gate = template.gate
    for kind in KINDS.values():
        if kind.counted_in:
            yield between("run", kind.id, kind.counted_in, 0, 0)
    yield between("run", "min-items", "items", gate.min_items, None)
    meaning = (
        f"the language model failed on at most {gate.max_describe_failure_rate:.0%} of the items "
        "it was asked"
    )
    yield between(
        "run",
        "describe-failure-rate",
        "describe_failure_rate",
        None,
        gate.max_describe_failure_rate,
        meaning,
    )
    meaning = f"at most {gate.max_quarantine_rate:.0%} of the records are in quarantine"
    yield between(
        "run", "quarantine-rate", "quarantine_rate", None, gate.max_quarantine_rate, meaning
    )


def _none(frame: str, kind: str, column: str, meaning: str = "") -> Check:
    """Expect nulls in a column that names what is wrong with a row."""
    return _check(frame, kind, "ExpectColumnValuesToBeNull", {"column": column}, meaning)


def _item_checks(template: Template) -> Iterator[Check]:
    yield _check("items", "ids-unique", "ExpectColumnValuesToBeUnique", {"column": "item_id"})
    yield _none("items", "ids-in-bucket", "misplaced_id")
    yield _none("items", "image-count", "miscounted_id")
    yield _none("items", "evidence", "without_evidence")
    yield _none("items", "source-kept", "not_as_given")
    yield _none("items", "max-length", "too_long")
    if any(a.pattern or a.spec.stored_pattern(a) for a in template.attributes):
        yield _none("items", "pattern", "off_pattern")
    if any(attribute.scheme not in (None, "any") for attribute in template.attributes):
        yield _none("items", "check-digit", "wrong_check_digit")


def _attribute_checks(attribute: Attribute) -> Iterator[Check]:
    name, expect = attribute.name, attribute.expect
    if attribute.spec.has_closed_list:
        frame = f"list:{name}" if attribute.spec.is_list else "items"
        allowed = {"column": name, "value_set": [choice.value for choice in attribute.values]}
        meaning = f"{name} stays in its closed list"
        yield _check(frame, "closed-list", "ExpectColumnValuesToBeInSet", allowed, meaning)
    if attribute.min is not None or attribute.max is not None:
        yield between(
            "items", "range", name, attribute.min, attribute.max, f"{name} stays in its range"
        )
    if attribute.required:
        yield _check(
            "items",
            "required",
            "ExpectColumnValuesToNotBeNull",
            {"column": name},
            f"{name} is required",
        )
    elif expect.min_coverage > 0:
        covered = {"column": name, "mostly": expect.min_coverage}
        meaning = f"{name} is known for at least {expect.min_coverage:.0%} of the items"
        check = _check("items", "coverage", "ExpectColumnValuesToNotBeNull", covered, meaning)
        yield replace(check, severity=expect.severity)
    sources = {"column": f"{name}__source", "value_set": list(SOURCES)}
    meaning = f"every value of {name} has a source"
    yield _check("items", "source-known", "ExpectColumnValuesToBeInSet", sources, meaning)
    meaning = f"filled values of {name} reach the confidence that the template asks for"
    yield between(
        "items", "confidence", f"{name}__confidence", attribute.min_confidence, 1, meaning
    )


def _rows_of_items_checks(spec: TableSpec) -> Iterator[Check]:
    yield _check(
        spec.name,
        spec.unique_check,
        "ExpectColumnValuesToBeUnique",
        {"column": "item_id" if spec.one_row_per == "item" else "row_id"},
        f"one {spec.row} an item" if spec.one_row_per == "item" else f"each {spec.row} once",
    )
    meaning = f"every {spec.row} belongs to an item of its bucket"
    yield _none(spec.name, spec.owner_check, "stray_id", meaning)
    if spec.vectors:
        low, high = 1 - UNIT_NORM_TOLERANCE, 1 + UNIT_NORM_TOLERANCE
        meaning = f"{spec.row}s are finite and of length one"
        yield between(spec.name, "vector-norm", "norm", low, high, meaning)


def _quarantine_checks() -> Iterator[Check]:
    registered = sorted(
        reason.id for reason in REASONS.values() if Effect.QUARANTINE in reason.effects
    )
    reasons = {"column": "reason", "value_set": registered}
    yield _check(QUARANTINE.name, "quarantine-reason", "ExpectColumnValuesToBeInSet", reasons)

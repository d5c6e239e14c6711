"""What a snapshot must fulfil, derived from the template as Great Expectations' own expectations.

Pure data: `transforms.gate` runs them. To add a check: one entry in the list of the frame it looks at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from schemas.attributes import Attribute, AttributeType
from schemas.template import Template

SOURCES = ("record", "text", "image", "neighbour", "model")
UNIT_NORM_TOLERANCE = 1e-3

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation over one frame of the snapshot.

    frame: `run` (one row: the account of the run), `items` (one row an item, scalar columns),
      `list:<attribute>` (one row per entry of a list column), `embeddings/<kind>` (one row a vector: ids and norm).
    expectation: class name in great_expectations.expectations; severity: critical refuses the snapshot.
    """

    frame: str
    expectation: str
    arguments: dict[str, Any]
    severity: Severity
    meaning: str

    @property
    def column(self) -> str:
        return str(self.arguments["column"])

    @property
    def mostly(self) -> float:
        return float(self.arguments.get("mostly", 1.0))


def derive_checks(template: Template) -> list[Check]:
    """Every expectation of a snapshot of this template, in the order in which they are reported."""
    checks = [*_run_checks(template), *_item_checks()]
    for attribute in template.attributes:
        checks += _attribute_checks(attribute)
    for kind in ("text", "image"):
        checks += _embedding_checks(kind)
    return checks


def _between(frame: str, column: str, low: float | None, high: float | None, severity: Severity, meaning: str) -> Check:
    limits = {key: value for key, value in (("min_value", low), ("max_value", high)) if value is not None}
    return Check(frame, "ExpectColumnValuesToBeBetween", {"column": column, **limits}, severity, meaning)


def _run_checks(template: Template) -> Iterator[Check]:
    gate = template.gate
    yield _between("run", "unaccounted_records", 0, 0, "critical", "records in = items + quarantine")
    meaning = "image-table rows in = attached + repeated + of quarantined items + quarantined"
    yield _between("run", "unaccounted_image_rows", 0, 0, "critical", meaning)
    meaning = "every data file lies there as it was written, and no other"
    yield _between("run", "missing_or_changed_files", 0, 0, "critical", meaning)
    yield _between("run", "buckets_not_reported_once", 0, 0, "critical", "every bucket was written exactly once")
    yield _between("run", "unreadable_files", 0, 0, "critical", "every input file was read whole")
    yield _between("run", "items", gate.min_items, None, "critical", "the snapshot holds items")
    meaning = f"the language model failed on at most {gate.max_describe_failure_rate:.0%} of the items it was asked"
    yield _between("run", "describe_failure_rate", None, gate.max_describe_failure_rate, "critical", meaning)
    meaning = f"at most {gate.max_quarantine_rate:.0%} of the records are in quarantine"
    yield _between("run", "quarantine_rate", None, gate.max_quarantine_rate, "critical", meaning)


def _none(frame: str, column: str, meaning: str) -> Check:
    """For a column that names what is wrong and is null where all is well."""
    return Check(frame, "ExpectColumnValuesToBeNull", {"column": column}, "critical", meaning)


def _item_checks() -> Iterator[Check]:
    yield Check("items", "ExpectColumnValuesToBeUnique", {"column": "item_id"}, "critical", "ids are unique")
    yield _none("items", "misplaced_id", "every id lies in the file of its bucket, so no id is in two files")
    yield _none("items", "miscounted_id", "image_count is the number of usable pictures")


def _attribute_checks(attribute: Attribute) -> Iterator[Check]:
    name, expect = attribute.name, attribute.expect
    if attribute.type.has_closed_list:
        frame = f"list:{name}" if attribute.type is AttributeType.MULTI_ENUM else "items"
        allowed = {"column": name, "value_set": [choice.value for choice in attribute.values]}
        yield Check(frame, "ExpectColumnValuesToBeInSet", allowed, "critical", f"{name} stays in its closed list")
    if attribute.min is not None or attribute.max is not None:
        yield _between("items", name, attribute.min, attribute.max, "critical", f"{name} stays in its range")
    if attribute.required:
        yield Check("items", "ExpectColumnValuesToNotBeNull", {"column": name}, "critical", f"{name} is required")
    elif expect.min_coverage > 0:
        covered = {"column": name, "mostly": expect.min_coverage}
        meaning = f"{name} is known for at least {expect.min_coverage:.0%} of the items"
        yield Check("items", "ExpectColumnValuesToNotBeNull", covered, expect.severity, meaning)
    sources = {"column": f"{name}__source", "value_set": list(SOURCES)}
    yield Check("items", "ExpectColumnValuesToBeInSet", sources, "critical", f"every value of {name} has a source")
    meaning = f"filled values of {name} reach the confidence that the template asks for"
    yield _between("items", f"{name}__confidence", attribute.min_confidence, 1, "critical", meaning)


def _embedding_checks(kind: str) -> Iterator[Check]:
    frame = f"embeddings/{kind}"
    yield Check(frame, "ExpectColumnValuesToBeUnique", {"column": "item_id"}, "critical", f"one {kind} vector an item")
    yield _none(frame, "stray_id", f"every {kind} vector belongs to an item of its bucket")
    low, high = 1 - UNIT_NORM_TOLERANCE, 1 + UNIT_NORM_TOLERANCE
    yield _between(frame, "norm", low, high, "critical", f"{kind} vectors are finite and of length one")

"""Row predicates derived from the template: an item passes, or goes to quarantine with its raw
record.

PCollection[Bucket] → PCollection[Bucket]. Runs before texts are embedded, so that no model is asked
for rows that will be quarantined. To add a check: one function that yields rejects, one line in
CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import apache_beam as beam

from schemas.elements import Bucket, Item, Reject
from schemas.reasons import REMARKS, Effect, reason
from schemas.template import Template
from transforms.runtime.buckets import each_item
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS
from transforms.runtime.stages.fused import FusedStep, applied, in_one


def required_missing(template: Template, item: Item) -> Iterator[Reject]:
    """Reject an item without a value of a required attribute, filled ones included."""
    for attribute in template.attributes:
        known = item.values.get(attribute.name)
        if attribute.required and (known is None or known.value is None):
            reason_id = f" ({known.reason})" if known is not None else ""
            message = (
                f"{attribute.name} is required but has no value{reason_id}; fill it at the source "
                "or set required: false"
            )
            yield _reject(item, "required-missing", attribute.name, message)


def value_rejected(template: Template, item: Item) -> Iterator[Reject]:
    """Reject an item with an invalid value where the attribute says on_invalid: quarantine."""
    for flag in item.record.flags:
        attribute = template.by_name.get(flag.field)
        if attribute is None or flag.reason in REMARKS:
            continue
        if attribute.on_invalid == "quarantine":
            yield _reject(item, "value-rejected", flag.field, f"{flag.reason}: {flag.detail}")


def image_required(template: Template, item: Item) -> Iterator[Reject]:
    """Reject an item without a usable picture where the template requires one."""
    usable = any(image.features is not None for image in item.images)
    if template.record.images.required and not usable:
        tried = (
            "; ".join(f"{image.path}: {image.reason}" for image in item.images)
            or "the record names none"
        )
        yield _reject(
            item,
            "image-required",
            "images",
            f"the template requires a picture and none can be used: {tried}",
        )


def describe_failed(template: Template, item: Item) -> Iterator[Reject]:
    """Reject an item that the language model failed on, where the template says so."""
    answer = item.answer
    failed = (
        answer is not None
        and answer.reason is not None
        and Effect.QUARANTINE in reason(answer.reason).effects
    )
    if answer is not None and failed and template.describe.on_failure == "quarantine":
        message = f"{answer.message} (the template says describe.on_failure: quarantine)"
        yield _reject(item, str(answer.reason), "image_description", message, stage="describe")


Check = Callable[[Template, Item], Iterator[Reject]]
# Checks that depend on the source alone: run before a language model is paid for the row.
SOURCE_CHECKS: tuple[Check, ...] = (value_rejected, image_required)
CHECKS: tuple[Check, ...] = (required_missing, *SOURCE_CHECKS, describe_failed)


def check_item(template: Template, item: Item, checks: Sequence[Check] = CHECKS) -> Item | Reject:
    """Return the item, or a reject with the first reason why its row may not be published."""
    for check in checks:
        for reject in check(template, item):
            return reject
    return item


def _reject(item: Item, reason: str, field: str, message: str, stage: str = "validate") -> Reject:
    return item.record.rejected(reason, stage, message, field)


@dataclass(eq=False)
class ValidateItems(beam.PTransform):
    """Move items that break a row check to the bucket's rejects."""

    template: Template
    checks: Sequence[Check] = CHECKS
    element_secs: float = DEFAULT_ELEMENT_SECS

    def step(self) -> FusedStep:
        """Return Bucket → Bucket."""
        check = partial(_checked, self.template, self.checks)
        return applied(
            partial(each_item, stage="validate", function=check, element_secs=self.element_secs)
        )

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[Bucket]:
        return buckets | in_one(self.step()).with_output_types(Bucket)


def _checked(template: Template, checks: Sequence[Check], item: Item) -> Item | Reject:
    return check_item(template, item, checks)

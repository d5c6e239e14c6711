"""Answers of a language model in an earlier run, read back from its items tables and used again
where they still hold.

PCollection[DataFile] → PCollection[KV[bucket, PreviousAnswer]]; (PreviousAnswer, what is answered
now) → ItemAnswer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Evidence, ItemAnswer, PreviousAnswer, Value
from schemas.reasons import REASONS
from schemas.tables.arrow import PROVENANCE_SUFFIX
from schemas.template import Template
from transforms.attribute_types.registry import operations_of
from transforms.describe.answers import METHOD
from transforms.runtime.buckets import bucket_of
from transforms.runtime.parquet import DataFile, read_parquet

_DESCRIPTION = "image_description"
BATCH_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class PreviousAnswersConfig:
    """The choice of answers that are used again, and the snapshot they are from.

    attributes, description: what would be asked now as it was asked then; stale: whether the rest
    is kept as well, until something better is known. said_by: model and prompt hash whose answers
    are not stale; None: all are not.
    """

    snapshot: str
    template: Template
    attributes: frozenset[str]
    description: bool
    stale: bool
    num_buckets: int
    said_by: tuple[str, str] | None = None

    def still_holds(self, is_same_question: bool, provenance: Mapping[str, Any] | None) -> bool:
        """Tell whether an answer is what a model would say now.

        Stale ones stand among new ones until a budget reaches them.
        """
        if provenance is None or self.said_by is None:
            return is_same_question
        return is_same_question and (provenance["model"], provenance["prompt_hash"]) == self.said_by


def read_previous_answers(
    config: PreviousAnswersConfig, file: DataFile
) -> Iterator[PreviousAnswer]:
    """Read the previous answers of a file's items; none for items that a model said nothing of.

    Raises DamagedFileError.
    """
    table = read_parquet(config.snapshot, file)
    names = [a.name for a in config.template.attributes if a.fill and a.name in table.column_names]
    wanted = [
        "item_id",
        "fingerprint",
        "image_alt_text",
        "images",
        _DESCRIPTION,
        _DESCRIPTION + PROVENANCE_SUFFIX,
    ]
    wanted += [each for name in names for each in (name, name + PROVENANCE_SUFFIX)]
    for batch in table.select(wanted).to_batches(BATCH_ROWS):
        for row in batch.to_pylist():
            current, stale = _answer(config, row, names, True), _answer(config, row, names, False)
            kept = stale if config.stale and (stale.values or stale.description) else None
            if current.values or current.description or kept is not None:
                yield PreviousAnswer(row["item_id"], row["fingerprint"], current, kept)


def _answer(
    config: PreviousAnswersConfig, row: Mapping[str, Any], names: list[str], current: bool
) -> ItemAnswer:
    answer = ItemAnswer(row["item_id"], values=dict(_values(config, row, names, current)))
    provenance = row[_DESCRIPTION + PROVENANCE_SUFFIX]
    if (
        config.still_holds(config.description, provenance) != current
        or not _is_said(provenance)
        or not row[_DESCRIPTION]
    ):
        return answer
    return replace(
        answer,
        description=row[_DESCRIPTION],
        alt_text=row["image_alt_text"] or "",
        method=provenance["method"],
        model=provenance["model"],
        prompt_hash=provenance["prompt_hash"],
        fingerprint=provenance["fingerprint"] or "",
        described=(provenance["evidence"]["image"],)
        if provenance["evidence"] and provenance["evidence"]["image"]
        else (),
    )


def _values(
    config: PreviousAnswersConfig, row: Mapping[str, Any], names: list[str], current: bool
) -> Iterator[tuple[str, AttributeValue]]:
    for name in names:
        provenance, attribute = row[name + PROVENANCE_SUFFIX], config.template.by_name[name]
        if config.still_holds(name in config.attributes, provenance) != current or not _is_said(
            provenance
        ):
            continue
        value = value_from_arrow(attribute, row[name])
        if current or (value is not None and _still_allowed(attribute, value)):
            yield name, _with_provenance(value, provenance)


def _is_said(provenance: Mapping[str, Any] | None) -> bool:
    """Tell whether a language model answered, be it that it does not know."""
    if provenance is None or not (provenance["method"] or "").startswith(METHOD):
        return False
    reason = provenance["reason"]
    # Failures are asked again, and answers that could not be used at all, which are found in the
    # store; of a usable one a single value may be off the schema (a wrong check digit), and would
    # be asked for alone.
    unusable = (reason or "").startswith("answer-") and reason != "answer-off-schema"
    return reason is None or (reason in REASONS and not REASONS[reason].passes and not unusable)


def _still_allowed(attribute: Attribute, value: Value) -> bool:
    """Tell whether a closed list, which may have changed since, still has the value."""
    if not attribute.spec.has_closed_list:
        return True
    allowed = {choice.value for choice in attribute.values}
    return set(value if isinstance(value, list) else [str(value)]) <= allowed


def _with_provenance(value: Value | None, row: Mapping[str, Any]) -> AttributeValue:
    seen = row["evidence"]
    evidence = None
    if seen is not None:
        evidence = Evidence(
            seen["field"], seen["begin"], seen["end"], seen["text"] or "", seen["image"]
        )
    kept = {
        name: row[name]
        for name in ("source", "method", "model", "prompt_hash", "fingerprint", "reason")
    }
    confidence = None if row["confidence"] is None else round(row["confidence"], 4)
    return AttributeValue(
        value, confidence=confidence, evidence=evidence, candidate=row["candidate"], **kept
    )


def value_from_arrow(attribute: Attribute, value: Any) -> Value | None:
    """Return a value as elements hold it, from its Arrow column; the inverse of
    transforms.tables.build.arrow_value.
    """
    return None if value is None else operations_of(attribute).from_arrow(value)


@dataclass(eq=False)
class ReadPreviousAnswers(beam.PTransform):
    """PCollection[DataFile] of items tables → PCollection[KV[bucket, PreviousAnswer]], by today's
    buckets.
    """

    config: PreviousAnswersConfig

    def expand(
        self, files: beam.PCollection[DataFile]
    ) -> beam.PCollection[tuple[int, PreviousAnswer]]:
        config = self.config
        return files | beam.FlatMap(
            lambda file: (
                (bucket_of(each.item_id, config.num_buckets), each)
                for each in read_previous_answers(config, file)
            )
        ).with_output_types(tuple[int, PreviousAnswer])

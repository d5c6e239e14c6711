"""Examples as the page shows them: picture and title, what the source gave, what was made of it,
where it was seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipelines.report.gather import Gathered, Row
from pipelines.report.html import clean
from pipelines.report.thumbnails import Thumbnail, Thumbnails
from schemas.reasons import REASONS
from schemas.secrets import without_secrets
from schemas.tables.arrow import GIVEN_SUFFIX, PROVENANCE_SUFFIX

AROUND_CHARS = 110
MAX_VALUE_CHARS, MAX_RAW_CHARS = 160, 1_200
# Flags that say that two things that belong together disagree; both sides stand in the detail.
CONTRADICTIONS = frozenset(
    reason.id
    for reason in REASONS.values()
    if reason.stage == "contradict" or reason.id.endswith("contradict-value")
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a value was seen: the text around the span, and the span.

    place: the field, in words.
    """

    place: str
    before: str
    span: str
    after: str


@dataclass(frozen=True, slots=True)
class Card:
    """One example.

    kind: filled, unknown, flag; reason: of an unknown or a flag; value: filled or candidate.
    """

    kind: str
    attribute: str
    item_id: str
    title: str
    source_text: str
    given: str
    value: str
    source: str
    method: str
    confidence: float | None
    reason: str
    detail: str
    evidence: Evidence | None
    picture: Thumbnail | None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record in quarantine. raw: its beginning as text; place: file and position."""

    item_id: str
    field: str
    message: str
    raw: str
    place: str
    input: str


def shown(value: Any, max_chars: int = MAX_VALUE_CHARS) -> str:
    """Return a value in one line; empty for none.

    >>> shown(["new", "sale"]), shown(2.0), shown(None)
    ('new, sale', '2', '')
    """
    if value is None:
        return ""
    if isinstance(value, Mapping):
        text = "; ".join(f"{key}: {each}" for key, each in value.items())
    elif isinstance(value, (list, tuple)):
        text = ", ".join(map(str, value))
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return clean(text, max_chars)


def value_cards(found: Gathered, attribute: str, pictures: Thumbnails) -> Iterator[Card]:
    """Yield examples of an attribute: filled values first, then unknowns of which a candidate was
    considered.
    """
    for kind, ids in (("filled", found.filled[attribute]), ("unknown", found.unknown[attribute])):
        for item_id in ids:
            row = found.rows[item_id]
            provenance = row[attribute + PROVENANCE_SUFFIX] or {}
            value = row[attribute] if kind == "filled" else _candidate(provenance.get("candidate"))
            card = _card(found, row, attribute, provenance, pictures)
            yield replace(card, kind=kind, value=_value(attribute, value))


def flag_cards(found: Gathered, reason: str, pictures: Thumbnails) -> Iterator[Card]:
    """Yield examples of a flag, each with the value of the attribute that it is about."""
    for item_id in found.flagged[reason]:
        row = found.rows[item_id]
        flag = next(each for each in row["flags"] if each["reason"] == reason)
        attribute = flag["field"] or ""
        provenance = row.get(attribute + PROVENANCE_SUFFIX) or {}
        card = _card(found, row, attribute, provenance | {"reason": reason}, pictures)
        yield replace(
            card,
            kind="flag",
            value=_value(attribute, row.get(attribute)),
            detail=clean(flag["detail"] or "", 600),
        )


def _card(
    found: Gathered,
    row: Row,
    attribute: str,
    provenance: Mapping[str, Any],
    pictures: Thumbnails,
) -> Card:
    """Return the card of an item's attribute, still without kind, value and detail."""
    evidence = provenance.get("evidence") or {}
    return Card(
        kind="",
        # A flag of a picture names its address.
        attribute=clean(without_secrets(attribute), MAX_VALUE_CHARS),
        item_id=clean(row["item_id"], MAX_VALUE_CHARS),
        title=shown(row.get(found.title)),
        source_text=clean(row["text_source"], 280),
        given=shown(row.get(attribute + GIVEN_SUFFIX)),
        value="",
        source=provenance.get("source") or "",
        method=clean(provenance.get("method") or "", MAX_VALUE_CHARS),
        confidence=provenance.get("confidence"),
        reason=provenance.get("reason") or "",
        detail="",
        evidence=_evidence(row, evidence),
        picture=pictures.of(row["images"], evidence.get("image")),
    )


def _value(attribute: str, value: Any) -> str:
    """Return the value in one line; a flag of an item's images has none, they are on the card."""
    return "" if attribute == "images" else shown(value)


def _candidate(text: str | None) -> Any:
    """Return the candidate of an unknown: several stand as a JSON list."""
    if text and text.startswith("["):
        try:
            return json.loads(text)
        except ValueError:  # a text that merely looks like a list
            return text
    return text


def _evidence(row: Row, evidence: Mapping[str, Any]) -> Evidence | None:
    """Return the span in what stands around it, if the column still holds it there, else the span
    alone.
    """
    place, span = evidence.get("field") or "", evidence.get("text") or ""
    if not span:
        return None
    text, begin, end = row.get(place), evidence.get("begin"), evidence.get("end")
    if not isinstance(text, str) or begin is None or end is None or text[begin:end] != span:
        return Evidence(clean(place), "", clean(span), "")
    first, last = max(0, begin - AROUND_CHARS), min(len(text), end + AROUND_CHARS)
    before = ("… " if first else "") + clean(text[first:begin])
    after = clean(text[end:last]) + (" …" if last < len(text) else "")
    # What `clean` takes off the ends is what keeps the words apart.
    before += " " if text[first:begin][-1:].isspace() else ""
    return Evidence(
        clean(place), before, clean(span), (" " if text[end:last][:1].isspace() else "") + after
    )


def set_aside(row: Row) -> SetAside:
    """Return a row of the quarantine table as the page shows it."""
    place = (
        f"{row['source_file'].rpartition('/')[2]}, {row['source_begin']} + {row['source_position']}"
    )
    return SetAside(
        item_id=clean(row["item_id"] or "", MAX_VALUE_CHARS),
        field=clean(row["field"] or "", MAX_VALUE_CHARS),
        message=clean(row["message"], 600),
        raw=clean(_raw_text(row), MAX_RAW_CHARS),
        place=clean(place),
        input=row["input"],
    )


def _raw_text(row: Row) -> str:
    """Return the record's bytes as text; of a Parquet row its cells."""
    raw, header = row["raw"], row["raw_header"]
    if row["raw_format"] == "parquet" and header:
        try:
            schema = pa.ipc.read_schema(pa.py_buffer(header))
            cells: Sequence[Any] = pa.ipc.read_record_batch(pa.py_buffer(raw), schema).to_pylist()
            return json.dumps(cells[0] if cells else {}, default=str, ensure_ascii=False)
        except (pa.ArrowException, OSError, ValueError):  # what was refused may be no record batch
            pass
    text: str = raw[: MAX_RAW_CHARS * 4].decode("utf-8", "backslashreplace")
    return text

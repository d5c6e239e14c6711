"""The gate's kinds of checks: each with a stable id, what it means, how severe it is, and what to
do when it fails.

`gate.severities` of a template changes the severity of a kind; docs/gate.md lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]

_WRITER = (
    "keep the snapshot and report it, it is a fault of this program or of the disk; run again "
    "with --full"
)
_ROWS = (
    "rows are checked before they are written, so this is a fault of this program; keep the "
    "snapshot and report it"
)
_MEANT = (
    "if the change is meant, run again with --accept-drift, or raise the limit in the template's "
    "gate.drift"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of check.

    severity: unless the template says otherwise; fix: what to do when it fails.
    """

    id: str
    about: str
    fix: str
    severity: Severity = "critical"


def _kinds(*rows: tuple[str, str, str] | tuple[str, str, str, Severity]) -> dict[str, Kind]:
    return {row[0]: Kind(*row) for row in rows}


KINDS = _kinds(
    ("records-accounted", "records in = items + quarantine", _WRITER),
    (
        "image-rows-accounted",
        "image-table rows in = attached + repeated + of quarantined items + quarantined",
        _WRITER,
    ),
    ("files-as-written", "every data file lies there as it was written, and no other", _WRITER),
    ("buckets-once", "every bucket was written exactly once", _WRITER),
    (
        "inputs-readable",
        "every input file was read whole",
        "mend or remove the file that quarantine names, run again",
    ),
    (
        "min-items",
        "the snapshot holds items",
        "look whether the export is empty or the inputs are the right ones",
    ),
    (
        "describe-failure-rate",
        "share of the items asked about that the language model failed on",
        "mend the server and run again: what was answered is kept; docs/reasons.md explains the "
        "reasons",
    ),
    (
        "quarantine-rate",
        "share of the records in quarantine",
        "look at the quarantine table by reason, mend the export or the template, run again",
    ),
    ("file-types", "columns and types of every file are the template's, units included", _WRITER),
    ("vectors-there", "items with a text, and items with a picture, have their vector", _WRITER),
    ("records-match", "the records table and the items name each other", _WRITER),
    ("ids-unique", "ids are unique", _WRITER),
    ("ids-in-bucket", "every id lies in the file of its bucket, so no id is in two files", _WRITER),
    ("image-count", "image_count is the number of usable pictures", _WRITER),
    ("closed-list", "values stay in their closed list", _ROWS),
    ("range", "numbers stay in their range", _ROWS),
    ("max-length", "texts are no longer than allowed", _ROWS),
    ("pattern", "texts match their pattern", _ROWS),
    ("check-digit", "identifiers have the right check digit", _ROWS),
    ("required", "required attributes are known", _ROWS),
    (
        "coverage",
        "share of the items that the attribute is known of",
        "see whether its column was renamed or emptied; else lower expect.min_coverage",
        "warning",
    ),
    ("source-known", "every value says where it came from", _ROWS),
    ("confidence", "filled values reach the confidence that the template asks for", _ROWS),
    ("evidence", "every filled value has method and evidence", _ROWS),
    (
        "source-kept",
        "what the source gave stands beside each value, and nothing is filled over it",
        _ROWS,
    ),
    ("vector-unique", "one vector an item", _WRITER),
    ("vector-owned", "every vector belongs to an item of its bucket", _WRITER),
    ("vector-norm", "vectors are finite and of length one", _WRITER),
    (
        "quarantine-reason",
        "every record in quarantine has a registered reason and a message",
        _WRITER,
    ),
    (
        "drift-items-lost",
        "share of the last snapshot's items that went",
        f"see whether the export is whole; {_MEANT}",
    ),
    (
        "drift-items-gained",
        "new items, as a share of the last snapshot's",
        f"see what came; {_MEANT}",
        "warning",
    ),
    (
        "drift-quarantine",
        "rise of the share of records in quarantine",
        f"look at quarantine by reason; {_MEANT}",
    ),
    (
        "drift-null-rate",
        "rise of the share of items without a value",
        f"see whether a column was emptied; {_MEANT}",
    ),
    (
        "drift-values",
        "distance between the distributions of an attribute's values",
        f"look at the values; {_MEANT}",
    ),
    (
        "drift-vectors",
        "distance between the mean vectors",
        f"see what texts or pictures became; {_MEANT}",
    ),
)

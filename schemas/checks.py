"""The gate's kinds of checks: stable id, meaning, severity, and what to do when one fails.

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
    "if the change is intended, run again with --accept-drift, or raise the limit in the "
    "template's gate.drift"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of check.

    about: what holds where all is well; fix: what to do when it fails; severity: unless the
      template says otherwise.
    counted_in: of a check over the whole run, the column of the gate's `run` frame that counts what
      is wrong, 0 where all is well. The account counts it, or `Found.faults` does under the kind's
      id. Empty for checks of rows.
    """

    id: str
    about: str
    fix: str
    severity: Severity = "critical"
    counted_in: str = ""


# In the order in which the checks of the whole run are reported.
KINDS = {
    kind.id: kind
    for kind in (
        Kind(
            "records-accounted",
            "records in = items + quarantine",
            _WRITER,
            counted_in="unaccounted_records",
        ),
        Kind(
            "image-rows-accounted",
            "image-table rows in = attached + repeated + of quarantined items + quarantined",
            _WRITER,
            counted_in="unaccounted_image_rows",
        ),
        Kind(
            "files-as-written",
            "every data file lies there as it was written, and no other",
            _WRITER,
            counted_in="missing_or_changed_files",
        ),
        Kind(
            "buckets-once",
            "every bucket was written exactly once",
            _WRITER,
            counted_in="buckets_not_reported_once",
        ),
        Kind(
            "file-types",
            "columns and types of every file are the template's, units included",
            _WRITER,
            counted_in="files_of_other_types",
        ),
        Kind(
            "vectors-there",
            "items with a text, and items with a picture, have their vector",
            _WRITER,
            counted_in="items_without_their_vector",
        ),
        Kind(
            "encoders-answer",
            "no encoder failed on everything that it was given",
            "look at the items' flags or the pictures' reasons; `catalog-enrich doctor` with the "
            "encoder's options tries it; docs/encoders.md",
            counted_in="encoders_that_always_failed",
        ),
        Kind(
            "vectors-described",
            "every vector table is what its contract says: encoder, dimension and what went in",
            _WRITER,
            counted_in="vector_tables_not_as_described",
        ),
        Kind(
            "canaries-agree",
            "encoders give the canaries the vectors that are kept beside their tables",
            "an encoder that gives no vectors has to be put right; of one that changed under its "
            "name say so with another revision (--text-revision, --image-revision or the "
            "template's vectors), and its table is rebuilt",
            counted_in="canaries_that_disagree",
        ),
        Kind(
            "records-match",
            "the records table and the items name each other",
            _WRITER,
            counted_in="records_without_their_item",
        ),
        Kind(
            "inputs-readable",
            "every input file was read whole",
            "fix or remove the file that quarantine names, run again",
            counted_in="unreadable_files",
        ),
        Kind(
            "min-items",
            "the snapshot holds items",
            "look whether the export is empty or the inputs are the right ones",
        ),
        Kind(
            "describe-failure-rate",
            "share of the items asked about that the language model failed on",
            "fix the server and run again: what was answered is kept; docs/reasons.md explains "
            "the reasons",
        ),
        Kind(
            "quarantine-rate",
            "share of the records in quarantine",
            "look at the quarantine table by reason, fix the export or the template, run again",
        ),
        Kind("ids-unique", "ids are unique", _WRITER),
        Kind(
            "ids-in-bucket",
            "every id lies in the file of its bucket, so no id is in two files",
            _WRITER,
        ),
        Kind("image-count", "image_count is the number of usable pictures", _WRITER),
        Kind("closed-list", "values stay in their closed list", _ROWS),
        Kind("range", "numbers stay in their range", _ROWS),
        Kind("max-length", "texts are no longer than allowed", _ROWS),
        Kind("pattern", "texts match their pattern", _ROWS),
        Kind("check-digit", "identifiers have the right check digit", _ROWS),
        Kind("required", "required attributes are known", _ROWS),
        Kind(
            "coverage",
            "share of the items that the attribute is known of",
            "see whether its column was renamed or emptied; else lower expect.min_coverage",
            "warning",
        ),
        Kind("source-known", "every value says where it came from", _ROWS),
        Kind("confidence", "filled values reach the confidence that the template asks for", _ROWS),
        Kind("evidence", "every filled value has method and evidence", _ROWS),
        Kind(
            "source-kept",
            "what the source gave stands beside each value, and nothing is filled over it",
            _ROWS,
        ),
        Kind("vector-unique", "one vector an item", _WRITER),
        Kind("vector-owned", "every vector belongs to an item of its bucket", _WRITER),
        Kind("vector-norm", "vectors are finite and of length one", _WRITER),
        Kind(
            "quarantine-reason",
            "every record in quarantine has a registered reason and a message",
            _WRITER,
        ),
        Kind(
            "drift-items-lost",
            "share of the last snapshot's items that went",
            f"see whether the export is whole; {_MEANT}",
        ),
        Kind(
            "drift-items-gained",
            "new items, as a share of the last snapshot's",
            f"see what came; {_MEANT}",
            "warning",
        ),
        Kind(
            "drift-quarantine",
            "rise of the share of records in quarantine",
            f"look at quarantine by reason; {_MEANT}",
        ),
        Kind(
            "drift-null-rate",
            "rise of the share of items without a value",
            f"see whether a column was emptied; {_MEANT}",
        ),
        Kind(
            "drift-values",
            "distance between the distributions of an attribute's values",
            f"look at the values; {_MEANT}",
        ),
        Kind(
            "drift-vectors",
            "distance between the mean vectors",
            f"see what texts or pictures became; {_MEANT}",
        ),
    )
}

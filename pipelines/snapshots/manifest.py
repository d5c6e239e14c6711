"""The manifest of a snapshot: what shaped it, what it holds, and how its checks went.

The structure is the file's: a field is a key of `manifest.json`, in the order of the file. What an
older program did not write has a default; a key that this program does not know is dropped when
the file is read, since nothing ever writes a manifest a second time. A change that would make an
older program misread the file raises VERSION.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import field

from transforms.describe.usage import Usage
from transforms.probes.report import ProbeReport
from transforms.readers import SplitReport
from transforms.runtime import storage
from transforms.runtime.parquet import DataFile
from transforms.runtime.reports import write_json

VERSION = 2
# How the source of an unknown value begins in `Counts.values`; the reason id follows.
UNKNOWN = "unknown:"


class ManifestError(Exception):
    """A manifest cannot be used; the message names the file and what is wrong with it."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a whole snapshot. A record of the catalog is an item or quarantined.

    items_deleted: kept though their records have left the catalog; no other count includes them,
      except `rows`.
    quarantined: reason → records of the catalog; image_rows_quarantined: reason → rows of image
      tables; answers_quarantined: reason → unusable answers of a language model.
    image_rows_attached: rows that added an image; image_rows_repeated: rows whose item had the
      image already; image_rows_item_quarantined: rows whose item was quarantined.
    described: what the language model did in this run; encoded: encoders behind an endpoint.
    values: attribute → source, or UNKNOWN and a reason → items.
    missing: values that may be filled, items with any, and how many of both need no language model.
    images: state → image references; rows: table → rows.
    texts_cut: space of vectors → items whose text is longer than what the encoder read of it.
    vectors_failed: space of vectors → items whose vector its encoder failed to make; those that the
      budget left open are none of them.
    unaccounted, unaccounted_image_rows: what went nowhere; always 0, or the gate refuses.
    """

    records_in: int = 0
    items: int
    items_deleted: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    image_rows_in: int = 0
    image_rows_attached: int = 0
    image_rows_repeated: int = 0
    image_rows_item_quarantined: int = 0
    image_rows_quarantined: dict[str, int] = field(default_factory=dict)
    answers_quarantined: dict[str, int] = field(default_factory=dict)
    described: Usage = field(default_factory=Usage)
    encoded: Usage = field(default_factory=Usage)
    values: dict[str, dict[str, int]]
    missing: dict[str, int] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    texts_cut: dict[str, int] = field(default_factory=dict)
    vectors_failed: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    records_quarantined: int
    unaccounted: int = 0
    unaccounted_image_rows: int = 0

    @property
    def quarantined_by_reason(self) -> dict[str, int]:
        """Reason → records, rows of image tables and answers of a language model together."""
        total: Counter[str] = Counter()
        for kind in (self.quarantined, self.image_rows_quarantined, self.answers_quarantined):
            total.update(kind)
        return dict(total)

    @property
    def filled(self) -> int:
        """Values that the catalog did not give."""
        return sum(number for source, number in self._by_source() if source != "record")

    def known(self, attribute: str) -> int:
        """Return items with a value of this attribute, whoever gave it."""
        by_source = self.values.get(attribute, {}).items()
        return sum(number for source, number in by_source if not source.startswith(UNKNOWN))

    def _by_source(self) -> Iterator[tuple[str, int]]:
        for by_source in self.values.values():
            for source, number in by_source.items():
                if not source.startswith(UNKNOWN):
                    yield source, number


class CheckEntry(msgspec.Struct, frozen=True, kw_only=True):
    """How one of the gate's checks went.

    check: what it promises; column: `<frame>.<column>`; expected: arguments of the expectation.
    values: how many were looked at; unexpected: how many of them failed; fix: what to do then.
    """

    id: str = ""
    check: str
    column: str
    severity: str
    expectation: str = ""
    expected: dict[str, Any] = field(default_factory=dict)
    passed: bool
    values: int
    unexpected: int
    examples: list[str] = field(default_factory=list)
    fix: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that shaped a snapshot and everything that it holds.

    versions: of this program, the template, models, prompts and libraries; options: as the run was
      given them, for later commands on the same output.
    stages: stage → counter → number; distributions: stage → measure → count, sum, min and max.
    vectors_sha256: of the file that says what the vectors are (transforms/vectors/contract.py),
      empty where an earlier version wrote none.
    reference: what was read of catalogs that only probes learn from.
    based_on: run id that the snapshot continues from; made_anew_because: why every record was
      rebuilt, empty where not.
    records: items by what the catalog did to them since then, None where every record was rebuilt.
    since_full: items that came, went or changed since every record was last rebuilt. It and
      trusted_comparisons are None in manifests of versions that did not write them: such a
      snapshot can be read and rolled back to, but no run continues from it.
    pool: files of the items that demonstrations are chosen from, below `pool/`.
    trusted_comparisons: reason and field by which the whole catalog can be judged.
    shape, asked: digests that decide about reuse, see pipelines/run/versions.py.
    endpoints: server and model of an encoder → length of its vectors.
    compared_with: run id that drift was measured against.
    """

    manifest_version: int = VERSION
    run_id: str
    published: bool
    started: dt.datetime
    finished: dt.datetime | None = None
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    inputs: list[SplitReport] = field(default_factory=list)
    unmapped_columns: list[str] = field(default_factory=list)
    workers: int = 1
    buckets: int
    counts: Counts
    stages: dict[str, dict[str, int]] = field(default_factory=dict)
    checks: list[CheckEntry] = field(default_factory=list)
    files: list[DataFile]
    vectors_sha256: str = ""
    probes: list[ProbeReport] = field(default_factory=list)
    reference: list[SplitReport] = field(default_factory=list)
    command: str = "run"
    based_on: str | None = None
    made_anew_because: list[str] = field(default_factory=list)
    records: dict[str, int] | None = None
    buckets_written: int = 0
    since_full: int | None = None
    pool: list[str] = field(default_factory=list)
    trusted_comparisons: list[tuple[str, str]] | None = None
    shape: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, int] = field(default_factory=dict)
    compared_with: str | None = None
    distributions: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    @property
    def failed(self) -> list[CheckEntry]:
        """Checks that failed, the critical ones first."""
        failed = [check for check in self.checks if not check.passed]
        return sorted(failed, key=lambda check: check.severity != "critical")


class _Header(msgspec.Struct):
    """What every version of the manifest begins with."""

    manifest_version: int = 1


def read_manifest(path: str) -> Manifest:
    """Return the manifest in a file.

    Raises ManifestError for one that is damaged or of a newer version, and what the file system
    raises where it cannot be read.
    """
    data = storage.read_bytes(path)
    try:
        # The version first: a newer file may lack, or mean otherwise, anything else.
        version = msgspec.json.decode(data, type=_Header).manifest_version
        if version > VERSION:
            raise ManifestError(
                f"{path} has manifest version {version}, this program reads up to {VERSION}; "
                "upgrade catalog-enrich"
            )
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} is damaged: {error}") from error


def write_manifest(path: str, manifest: Manifest) -> None:
    """Write a manifest as indented JSON."""
    write_json(path, manifest)

"""The manifest of a snapshot: what shaped it, what it holds, and how its checks went.

The structure is the file's: a field is a key of `manifest.json`, in the order of the file. What an
older program did not write has a default; a key that this program does not know is dropped when
the file is read, since nothing ever writes a manifest a second time. A change that would make an
older program misread the file raises VERSION. Whatever the schema does not allow is damage: a
negative count, a time without its zone, a path that leads out of the snapshot.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, field

from schemas.secrets import hidden, masked_in, masked_options
from transforms.describe.usage import Usage
from transforms.probes.report import ProbeReport
from transforms.readers import SplitReport
from transforms.runtime import storage
from transforms.runtime.parquet import DataFile
from transforms.runtime.sealed import DamagedFileError, decode_json, sealed_json

Count: TypeAlias = Annotated[int, Meta(ge=0)]
Time: TypeAlias = Annotated[dt.datetime, Meta(tz=True)]
# Of a file in a folder of the snapshot, or of one in a folder that is known: no path leads out.
Name: TypeAlias = Annotated[str, Meta(pattern=r"\A[^/.\\][^/\\]*\Z")]

VERSION = 2
# Where a file beside the tables lies, below the snapshot.
_PLACE = re.compile(r"[\w-][\w.-]*(/[\w-][^/\\]*)?")
# How the source of an unknown value begins in `Counts.values`; the reason id follows.
UNKNOWN = "unknown:"


class NewerVersionError(DamagedFileError):
    """A later version of this program wrote a file; what it means is not known here."""

    remedy = "nothing was changed"


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of a whole snapshot. A record of the catalog is an item, a further row
    of one, or quarantined.

    items_deleted: kept though their records have left the catalog; no other count includes them,
      except `rows`.
    rows_merged: records of the catalog that are a part of an item which another one stands for.
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

    records_in: Count = 0
    items: Count
    items_deleted: Count = 0
    rows_merged: Count = 0
    quarantined: dict[str, Count] = field(default_factory=dict)
    image_rows_in: Count = 0
    image_rows_attached: Count = 0
    image_rows_repeated: Count = 0
    image_rows_item_quarantined: Count = 0
    image_rows_quarantined: dict[str, Count] = field(default_factory=dict)
    answers_quarantined: dict[str, Count] = field(default_factory=dict)
    described: Usage = field(default_factory=Usage)
    encoded: Usage = field(default_factory=Usage)
    values: dict[str, dict[str, Count]]
    missing: dict[str, Count] = field(default_factory=dict)
    flags: dict[str, Count] = field(default_factory=dict)
    images: dict[str, Count] = field(default_factory=dict)
    texts_cut: dict[str, Count] = field(default_factory=dict)
    vectors_failed: dict[str, Count] = field(default_factory=dict)
    rows: dict[str, Count] = field(default_factory=dict)
    records_quarantined: Count
    unaccounted: Count = 0
    unaccounted_image_rows: Count = 0

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
    values: Count
    unexpected: Count
    examples: list[str] = field(default_factory=list)
    fix: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that shaped a snapshot and everything that it holds.

    versions: of this program, the template, models, prompts and libraries; options: as the run was
      given them, for later commands on the same output.
    stages: stage → counter → number; distributions: stage → measure → count, sum, min and max.
    vectors_sha256: of the file that says what the vectors are (transforms/vectors/contract.py),
      empty where an earlier version wrote none.
    beside: other files of the snapshot that later runs rest on → SHA-256; none of earlier versions.
    reference: what was read of catalogs that only probes learn from.
    based_on: run id that the snapshot continues from; made_anew_because: why every record was
      rebuilt, empty where not; vectors_anew_because: why tables of vectors were rebuilt, or are
      gone, while the items stayed.
    records: items by what the catalog did to them since then, None where every record was rebuilt.
    since_full: items that came, went or changed since every record was last rebuilt. It and
      trusted_comparisons are None in manifests of versions that did not write them: such a
      snapshot can be read and rolled back to, but no run continues from it.
    unmapped_columns: that the template does not read; the first of them, long names cut.
    unmapped_columns_count: how many there are; 0 in manifests before 0.2, which list all.
    pool: files of the items that demonstrations are chosen from, below `pool/`.
    trusted_comparisons: reason and field by which the whole catalog can be judged.
    shape, asked: digests that decide about reuse, see pipelines/run/versions.py.
    endpoints: server and model of an encoder → length of its vectors.
    compared_with: run id that drift was measured against.
    """

    manifest_version: int = VERSION
    run_id: str
    published: bool
    started: Time
    finished: Time | None = None
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    inputs: list[SplitReport] = field(default_factory=list)
    unmapped_columns: list[str] = field(default_factory=list)
    unmapped_columns_count: int = 0
    missing_columns: list[str] = field(default_factory=list)
    workers: int = 1
    buckets: Annotated[int, Meta(ge=1)]
    counts: Counts
    stages: dict[str, dict[str, int]] = field(default_factory=dict)
    checks: list[CheckEntry] = field(default_factory=list)
    files: list[DataFile]
    vectors_sha256: str = ""
    beside: dict[str, str] = field(default_factory=dict)
    probes: list[ProbeReport] = field(default_factory=list)
    reference: list[SplitReport] = field(default_factory=list)
    command: str = "run"
    based_on: str | None = None
    made_anew_because: list[str] = field(default_factory=list)
    vectors_anew_because: list[str] = field(default_factory=list)
    records: dict[str, Count] | None = None
    buckets_written: Count = 0
    since_full: Count | None = None
    pool: list[Name] = field(default_factory=list)
    trusted_comparisons: list[tuple[str, str]] | None = None
    shape: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, int] = field(default_factory=dict)
    compared_with: str | None = None
    distributions: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    @property
    def images_root(self) -> str:
        """The folder of the images that the run was given, empty where it had none."""
        given = self.options.get("images_root")
        return given if isinstance(given, str) else ""

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

    Raises DamagedFileError for one that is damaged, NewerVersionError, and what the file system
    raises where it cannot be read.
    """
    data = storage.read_bytes(path)
    # The version first: a newer file may lack, or mean otherwise, anything else.
    version = decode_json(data, _Header, path).manifest_version
    if version > VERSION:
        raise NewerVersionError(
            f"{path} has manifest version {version}, this program reads up to {VERSION}; "
            "upgrade catalog-enrich"
        )
    manifest = decode_json(data, Manifest, path)
    fault = _fault(manifest)
    if fault:
        raise DamagedFileError(f"{path} is damaged: {fault}")
    # Earlier versions took a key for the name of its variable, and queries for parts of a path.
    return msgspec.structs.replace(manifest, options=masked_options(manifest.options))


def _fault(manifest: Manifest) -> str:
    """Return what the schema cannot say of a manifest, or the empty string."""
    for file in manifest.files:
        if not file.is_in_place:
            return f"{file.path!r} is no file of table {file.table!r}"
    paths = [*manifest.beside, *(probe.path for probe in manifest.probes)]
    for path in paths:
        if not _PLACE.fullmatch(path):
            return f"{path!r} is no file of a snapshot"
    return ""


def write_manifest(path: str, manifest: Manifest) -> None:
    """Write a manifest as indented JSON with its checksum, without secrets of the environment;
    readers see all of it or nothing.
    """
    storage.write_whole(path, sealed_json(masked_in(msgspec.to_builtins(manifest), hidden)))

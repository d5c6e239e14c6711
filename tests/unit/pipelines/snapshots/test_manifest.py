"""The manifest: read as it was written, and refused by name where it cannot be."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.snapshots.manifest import (
    VERSION,
    NewerVersionError,
    read_manifest,
    write_manifest,
)
from pipelines.snapshots.snapshot import UnusableSnapshotError, read_snapshot
from tests.manifests import make_check, make_counts, make_manifest
from transforms.runtime.sealed import DamagedFileError

OUTSIDE = {"table": "../../other", "path": "../../other/bucket-00000.parquet"}
OUTSIDE |= {"rows": 1, "bytes": 1, "digest": ""}


def written(folder: Path, **changes: Any) -> Path:
    """A whole manifest whose keys are changed, or left out where the change is None."""
    path = folder / "manifest.json"
    write_manifest(str(path), make_manifest(checks=[make_check()]))
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: each for key, each in document.items() if each is not None}))
    return path


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Every field comes back from the file, dates and nested entries included."""
    path = str(tmp_path / "manifest.json")
    counts = make_counts(values={"color": {"record": 2, "text": 3, "unknown:not-stated": 1}})
    manifest = make_manifest(counts=counts, checks=[make_check()], records={"new": 1})
    write_manifest(path, manifest)
    assert read_manifest(path) == manifest
    assert json.loads(Path(path).read_text())["started"] == "2026-01-01T12:00:00Z"


def test_what_an_older_program_did_not_write_has_a_default(tmp_path: Path) -> None:
    """A manifest without later keys, also within counts and checks, is read; unknown keys are
    dropped.
    """
    check = {
        "check": "ids are unique",
        "column": "items.item_id",
        "severity": "critical",
        "passed": True,
        "values": 3,
        "unexpected": 0,
    }
    counts = {"items": 3, "records_quarantined": 1, "values": {}, "of_tomorrow": 1}
    later = ("probes", "reference", "pool", "distributions", "compared_with", "options", "command")
    later += ("inputs", "since_full", "trusted_comparisons")
    old = written(
        tmp_path, counts=counts, checks=[check], of_tomorrow={}, **dict.fromkeys(later, None)
    )
    manifest = read_manifest(str(old))
    assert (manifest.command, manifest.probes, manifest.options) == ("run", [], {})
    assert (manifest.counts.items_deleted, manifest.counts.described.calls) == (0, 0)
    assert (manifest.checks[0].id, manifest.checks[0].fix) == ("", "")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"buckets": None}, "`buckets`"),
        ({"run_id": 7}, "$.run_id"),
        ({"started": "yesterday"}, "$.started"),
        ({"counts": {"items": "many", "records_quarantined": 0, "values": {}}}, "$.counts.items"),
        ({"files": [{"table": "items"}]}, "$.files[0]"),
        ({"files": [OUTSIDE]}, "'../../other/bucket-00000.parquet' is no file"),
        ({"beside": {"../../current.json": ""}}, "'../../current.json' is no file"),
        ({"pool": ["../0.arrow"]}, "$.pool[0]"),
        ({"started": "2026-01-01T12:00:00"}, "$.started"),
        ({"counts": ["items"]}, "$.counts"),
        ({"counts": {"items": -1, "records_quarantined": 0, "values": {}}}, "$.counts.items"),
        ({"counts": {"items": 1, "records_quarantined": 0, "values": {"c": {"x": -1}}}}, "values"),
        ({"records": {"new": -3}}, "$.records"),
        ({"buckets": 0}, "$.buckets"),
        ({"since_full": "7"}, "$.since_full"),
    ],
)
def test_damage_is_named(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    """A missing or wrong field is refused; the message has the file's path and the field's."""
    path = written(tmp_path, **changes)
    with pytest.raises(DamagedFileError) as error:
        read_manifest(str(path))
    assert str(path) in str(error.value)
    assert named in str(error.value)


@pytest.mark.parametrize("content", [b"{half", b"[]", b"", b"\xff\xfe"])
def test_what_is_not_a_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    """Half a file, another JSON document and bytes that are not text are named as damaged."""
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"manifest\.json is damaged"):
        read_manifest(str(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_is_never_believed(tmp_path: Path, at: int, by: int) -> None:
    """Whichever byte of the file changed, it is refused, or says what it said before."""
    path = tmp_path / "manifest.json"
    manifest = make_manifest(checks=[make_check()], records={"new": 1, "changed": 27})
    write_manifest(str(path), manifest)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= by
    path.write_bytes(data)
    with suppress(DamagedFileError):
        assert read_manifest(str(path)) == manifest


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A manifest of a newer version is not guessed at, whatever else it says; the message has both
    versions.
    """
    path = written(tmp_path, manifest_version=VERSION + 1, counts="elsewhere")
    with pytest.raises(
        NewerVersionError, match=f"version {VERSION + 1}.* up to {VERSION}"
    ) as found:
        read_manifest(str(path))
    assert "upgrade catalog-enrich" in str(found.value)


def test_counts_tell_values_from_gaps() -> None:
    """Known values leave out what is unknown, and filled ones also what the catalog gave."""
    values = {"color": {"record": 2, "text": 3, "unknown:not-stated": 4}, "size": {"model": 1}}
    counts = make_counts(values=values)
    assert (counts.known("color"), counts.known("size"), counts.known("gone")) == (5, 1, 0)
    assert counts.filled == 4


@pytest.mark.parametrize("missing", ["since_full", "trusted_comparisons"])
def test_no_run_continues_from_what_an_old_version_left_out(missing: str, tmp_path: Path) -> None:
    """A manifest without what reuse needs is read and listed, but the next run rebuilds."""
    written(tmp_path, **{missing: None})
    (tmp_path / "buckets.json").write_text("[]")
    assert read_manifest(str(tmp_path / "manifest.json")).published
    with pytest.raises(UnusableSnapshotError, match="an older version wrote it"):
        read_snapshot(str(tmp_path))

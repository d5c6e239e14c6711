"""Storage: the same functions for local paths and for URLs, and what they promise."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from tests.memory_storage import MemoryStorage
from transforms.runtime import storage
from transforms.runtime.listing import files_in, folder_names


@pytest.fixture(params=["disk", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path / "out") if request.param == "disk" else "store://out"
    MemoryStorage.files.clear()


def test_what_is_written_is_read_back_as_stored(folder: str) -> None:
    """A name that ends in .gz makes nothing packed or unpacked."""
    path = storage.join(folder, "deep", "picture.gz")
    data = gzip.compress(b"picture")
    storage.write_bytes(path, data)
    assert storage.read_bytes(path) == data
    assert storage.size_bytes(path) == len(data)
    assert storage.name_of(path) == "picture.gz"
    with storage.open_file(path) as file:
        assert file.read(2) == data[:2]


def test_a_file_is_replaced_as_a_whole(folder: str) -> None:
    """After a replacement the new bytes are there, and nothing else is in the folder."""
    path = storage.join(folder, "current.json")
    storage.write_whole(path, b"old")
    storage.write_whole(path, memoryview(b"new"), storage.join(folder, ".current.json.1"))
    assert storage.read_bytes(path) == b"new"
    assert [found.path for found in files_in(folder)] == [path]


def test_a_file_that_cannot_be_completed_leaves_the_old_one(tmp_path: Path) -> None:
    """When the bytes cannot be written down first, readers keep what they had."""
    path = tmp_path / "current.json"
    storage.write_whole(str(path), b"old")
    with pytest.raises(OSError, match="elsewhere"):
        storage.write_whole(str(path), b"new", str(tmp_path / "elsewhere" / "part"))
    assert path.read_bytes() == b"old"


def test_files_are_found_copied_and_deleted(folder: str) -> None:
    """Copies are listed beside their sources, and what was deleted is missing."""
    first, second = (storage.join(folder, name) for name in ("a.arrow", "b.arrow"))
    storage.write_bytes(first, b"rows")
    storage.copy_files([first], [second])
    found = files_in(folder, ".arrow")
    assert sorted((each.path, each.size_bytes) for each in found) == [(first, 4), (second, 4)]
    assert storage.find_file(first).size_bytes == 4
    storage.delete_files([first])
    assert storage.is_missing(first)
    assert storage.exists(second)
    assert not storage.is_missing(second)


def test_folders_are_named_and_removed_with_what_they_hold(folder: str) -> None:
    """A removed folder takes its files along and leaves its neighbours."""
    for run in ("20260102", "20260101"):
        storage.write_bytes(storage.join(folder, run, "items", "one"), b"")
    assert folder_names(folder) == ["20260101", "20260102"]
    storage.remove_folder(storage.join(folder, "20260101"))
    assert folder_names(folder) == ["20260102"]
    storage.remove_folder(storage.join(folder, "never there"))
    assert folder_names(storage.join(folder, "never there")) == []


def test_only_file_systems_with_folders_say_so(tmp_path: Path) -> None:
    """A disk has folders, an object store has names."""
    assert storage.has_folders(str(tmp_path))
    assert not storage.has_folders("store://out")


def test_an_unknown_scheme_is_refused() -> None:
    """A URL of a storage that is not installed is reported before anything is read from it."""
    with pytest.raises(ValueError, match="nowhere"):
        storage.require_file_system("nowhere://bucket/pictures")
    storage.require_file_system("store://out")


def test_a_storage_that_cannot_be_asked_has_not_said_that_a_file_is_missing() -> None:
    """Only a certain answer counts, for what is missing is cleaned up."""
    assert not storage.is_missing("nowhere://bucket/manifest.json")


def test_files_of_this_machine_are_handled_without_beam(tmp_path: Path) -> None:
    """What reads, lists and writes on a disk costs no import of Beam, which takes a second."""
    code = f"""
import sys
from transforms.runtime import storage
storage.connect(lambda: 1 / 0)
path = storage.join({str(tmp_path)!r}, "deep", storage.name_of("a/b.txt"))
storage.write_bytes(path, b"rows")
storage.copy_files([path], [path + "2"])
assert [each.size_bytes for each in storage.find_files({str(tmp_path)!r} + "/**")] == [4, 4]
assert storage.find_file(path).size_bytes == storage.size_bytes(path) == 4
assert storage.exists(path) and storage.has_folders(path) and not storage.is_missing(path)
storage.require_file_system(path)
storage.delete_files([path])
sys.exit("apache_beam" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PATTERNS = ["*", "**", "*.txt", "a/*", "a/**", "a/", "**/*.txt", "[ab]*", "[!a]*", "[^a]*", "?.txt"]
PATTERNS += ["a[1].txt", "a[[]1].txt", "[]", "[!]", "[]x]*", "x[", "a.txt", "nothing", "*1*", "***"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_on_a_disk_what_it_means_in_a_store(pattern: str, tmp_path: Path) -> None:
    """Which files of this machine a pattern names is what Beam's own matching says."""
    for name in ("a.txt", "b.txt", "a/c.txt", "a/deep/d.txt", "a[1].txt", "a1.txt", "x[", "^.txt"):
        storage.write_bytes(str(tmp_path / name), name.encode())
    pattern = f"{tmp_path}/{pattern}"
    expected = FileSystems.match([pattern])[0].metadata_list
    assert storage.find_files(pattern) == [storage.found_file(each) for each in expected]


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    """The message names the pattern."""
    storage.write_bytes(str(tmp_path / "a"), b"")
    with pytest.raises(OSError, match=r"\[z-a\]"):
        storage.find_files(f"{tmp_path}/[z-a]")


def test_a_copy_leaves_other_names_of_what_it_replaces(tmp_path: Path) -> None:
    """A file that a snapshot shares with another keeps its bytes when one of its names is copied over."""
    for name in ("new", "kept"):
        storage.write_bytes(str(tmp_path / name), name.encode())
    (tmp_path / "shared").hardlink_to(tmp_path / "kept")
    storage.copy_files([str(tmp_path / "new")], [str(tmp_path / "shared")])
    assert (tmp_path / "shared").read_bytes() == b"new"
    assert (tmp_path / "kept").read_bytes() == b"kept"


def test_alike_accesses_to_s3_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two accesses have the same client; another option or environment gets one of its own."""
    pytest.importorskip("boto3", reason="boto3 is not installed")
    from apache_beam.io.aws.clients.s3.boto3_client import Client

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    storage.share_s3_clients()
    options = {"s3_region_name": "eu-west-1", "s3_access_key_id": "a", "s3_secret_access_key": "b"}
    first, second = Client(options), Client(dict(options))
    assert first is not second, "each has its own place in what it reads"
    assert first.client is second.client
    elsewhere = Client({**options, "s3_region_name": "eu-west-2"})
    assert elsewhere.client.meta.region_name == "eu-west-2"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8")
    assert Client(options).client.meta.endpoint_url == "http://127.0.0.1:8"
    assert first.client.meta.endpoint_url == "http://127.0.0.1:9"

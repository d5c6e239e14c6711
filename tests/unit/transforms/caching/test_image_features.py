"""Features of pictures over runs: kept by content, found again, never trusted blindly."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.elements import ImageFeatures, encode
from transforms.caching.image_features import FeatureCodec
from transforms.caching.key_range import MANY_FILES, KeyRangeCache


def features(number: int, text: str = "") -> ImageFeatures:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return ImageFeatures(digest, "0" * 16, 8, 8, "PNG", 1, text=text, vector=bytes([number] * 8))


def store(
    folder: Path, made_by: str = "m", first: str = "0000", last: str = "ffff"
) -> KeyRangeCache[ImageFeatures]:
    opened = KeyRangeCache(str(folder), first, last, FeatureCodec(made_by))
    opened.load()
    return opened


def keep(folder: Path, *kept: ImageFeatures, made_by: str = "m") -> None:
    opened = store(folder, made_by)
    for each in kept:
        opened.put(each.digest, each)
    opened.close()


def test_what_is_kept_is_found_by_content_and_maker(tmp_path: Path) -> None:
    """Features come back as they were, to those who would make the same and to nobody else."""
    keep(tmp_path, features(1), features(2))
    keep(tmp_path, features(1, "other"), made_by="n")
    assert [store(tmp_path).get(features(n).digest) for n in (1, 2, 3)] == [
        features(1),
        features(2),
        None,
    ]
    assert store(tmp_path, "n").get(features(1).digest) == features(1, "other")


def test_failures_are_not_kept(tmp_path: Path) -> None:
    """A picture that a model failed on is tried again."""
    failed = ImageFeatures(features(1).digest, "", 8, 8, "PNG", 1, failure="backend-failed")
    keep(tmp_path, failed)
    assert store(tmp_path).get(failed.digest) is None


@pytest.mark.parametrize("broken", [{"vector": b"12345"}, {"style": b"123"}])
def test_broken_vectors_are_made_again(tmp_path: Path, broken: dict[str, bytes]) -> None:
    """Features whose vector or style ends within a number are not used."""
    kept = replace(features(1), **broken)
    keep(tmp_path, kept)
    assert store(tmp_path).get(kept.digest) is None


def test_what_a_killed_run_had_kept_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a close, what was written until then is there."""
    monkeypatch.setattr(FeatureCodec, "flush_secs", 0.0)
    opened = store(tmp_path)
    opened.put(features(1).digest, features(1))
    assert store(tmp_path).get(features(1).digest) == features(1)


def test_many_files_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    """Files of many runs are put together, other makers' rows with them; a range leaves others'
    files alone.
    """
    keep(tmp_path, features(99), made_by="n")
    for number in range(12):
        keep(tmp_path, features(number))
    assert len(list(tmp_path.iterdir())) <= MANY_FILES + 1
    low, high = store(tmp_path, "m", "0000", "7fff"), store(tmp_path, "m", "8000", "ffff")
    before = sorted(tmp_path.iterdir())
    low.close()
    high.close()
    assert sorted(tmp_path.iterdir()) == before
    assert all(store(tmp_path).get(features(n).digest) == features(n) for n in range(12))
    assert store(tmp_path, "n").get(features(99).digest) == features(99)


@pytest.mark.parametrize("damage", [b"", b"no parquet", None])
def test_damage_costs_time_only(tmp_path: Path, damage: bytes | None) -> None:
    """A file of other bytes is passed over; a row of another version too."""
    keep(tmp_path, features(1))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-9] if damage is None else damage)
    assert store(tmp_path).get(features(1).digest) is None


def test_a_row_that_belies_its_digest_is_not_used(tmp_path: Path) -> None:
    """Features of one picture are never taken for another's."""
    opened = store(tmp_path)
    opened.put(features(2).digest, features(1))
    opened.close()
    assert store(tmp_path).get(features(2).digest) is None


def test_what_cannot_be_read_is_not_removed(tmp_path: Path) -> None:
    """A file that fails while files are put together stays where it is, for when it can be read
    again.
    """
    for number in range(MANY_FILES + 1):
        keep(tmp_path, features(number))
    opened = store(tmp_path)
    spoilt = min(tmp_path.iterdir())
    spoilt.write_bytes(b"not now")
    opened.close()
    assert spoilt.read_bytes() == b"not now"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """A file with the columns as they were written ever since, in any order of rows, is used."""
    rows = [
        {"digest": each.digest, "made_by": "m", "features": encode(each)}
        for each in (features(2), features(1))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "0000-ffff-abc.parquet")
    opened = store(tmp_path)
    assert [opened.get(features(n).digest) for n in (1, 2)] == [features(1), features(2)]
    assert opened.unreadable == []


def test_a_storage_that_cannot_be_listed_costs_time_only() -> None:
    """Features cost no money: the run goes on and makes them again."""
    opened = KeyRangeCache("nowhere://bucket/features", "0000", "ffff", FeatureCodec("m"))
    opened.load()
    assert opened.get(features(1).digest) is None

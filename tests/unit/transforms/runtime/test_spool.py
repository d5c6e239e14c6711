"""Spooling: buckets are stable, and what is written comes back once."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import ImageRef, encode
from transforms.runtime.buckets import bucket_of
from transforms.runtime.spool import FLUSH_BYTES, Spool, read_spool, write_spool


def test_a_bucket_never_changes() -> None:
    """The bucket of an id is the same on every machine and in every version."""
    assert [bucket_of(key, 16) for key in ("", "sku-1", "ö")] == [4, 6, 10]


@given(st.text(), st.sampled_from([1, 4, 64, 4096]))
def test_a_bucket_is_in_range(key: str, num_buckets: int) -> None:
    """Every text has a bucket below the number of buckets."""
    assert 0 <= bucket_of(key, num_buckets) < num_buckets


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Each bucket's elements come back from its own references, and only those."""
    elements = {bucket: [ImageRef(f"{bucket}-{n}", bucket) for n in range(5)] for bucket in (3, 1)}
    buffers = {b: [encode(e) for e in each] for b, each in elements.items()}
    refs = dict(write_spool(str(tmp_path), buffers, "ImageRef"))
    for bucket, expected in elements.items():
        assert list(read_spool([refs[bucket]], ImageRef)) == expected


def test_only_references_are_shuffled(tmp_path: Path) -> None:
    """Spool gives a file, a batch number and the kind of elements per bucket, not the elements."""
    big = "x" * (FLUSH_BYTES // 4)
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        keyed = pipeline | beam.Create([(n % 2, ImageRef(f"{n}{big}", n)) for n in range(6)])
        refs = (
            keyed
            | Spool(str(tmp_path))
            | beam.MapTuple(lambda bucket, ref: (bucket, type(ref[1]).__name__, ref[2]))
        )
        assert_that(
            refs | beam.Distinct(), equal_to([(0, "int", "ImageRef"), (1, "int", "ImageRef")])
        )

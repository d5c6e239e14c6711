"""Spooling: buckets are stable, and what is written comes back once."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import apache_beam as beam
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import (
    LONG_HEADER_BYTES,
    ImageRef,
    ImageRow,
    RawRecord,
    Record,
    Reject,
    Spooled,
)
from transforms.runtime.buckets import bucket_of
from transforms.runtime.spool import FLUSH_BYTES, Batch, Spool, read_spool, write_spool

LONG = b"name," * LONG_HEADER_BYTES
# Short, long, and those that look like the number of another.
HEADERS = (b"", b"sku,name\n", LONG, LONG + b"more", b"\xff header ", b"\xff header 0", b"\xff")


def test_a_bucket_never_changes() -> None:
    """The bucket of an id is the same on every machine and in every version."""
    assert [bucket_of(key, 16) for key in ("", "sku-1", "ö")] == [4, 6, 10]


@given(st.text(), st.sampled_from([1, 4, 64, 4096]))
def test_a_bucket_is_in_range(key: str, num_buckets: int) -> None:
    """Every text has a bucket below the number of buckets."""
    assert 0 <= bucket_of(key, num_buckets) < num_buckets


def batch_of(elements: Iterable[Spooled]) -> Batch:
    batch = Batch()
    for each in elements:
        batch.add(each)
    return batch


def raw(number: int, header: bytes) -> RawRecord:
    return RawRecord(b"%d" % number, "csv", "in.csv", number, header=header)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Each bucket's elements come back from its own references, and only those."""
    elements = {bucket: [ImageRef(f"{bucket}-{n}", bucket) for n in range(5)] for bucket in (3, 1)}
    batches = {(bucket, "ImageRef"): batch_of(each) for bucket, each in elements.items()}
    refs = dict(write_spool(str(tmp_path), batches))
    for bucket, expected in elements.items():
        assert list(read_spool([refs[bucket]], ImageRef)) == expected


@given(st.lists(st.lists(st.sampled_from(HEADERS), min_size=1, max_size=3), max_size=6))
def test_whatever_header_a_record_has_comes_back(headers: list[list[bytes]]) -> None:
    """Records, rejects and rows of image tables come back with the headers of all their rows."""
    rows = [[raw(n, header) for n, header in enumerate(each)] for each in headers]
    given_elements: dict[type[Record | Reject | ImageRow], list[Spooled]] = {
        Record: [Record("a", {}, {}, (), (), first, rows=tuple(more)) for first, *more in rows],
        Reject: [
            Reject(first, "missing-id", "read", "", rows=tuple(more)) for first, *more in rows
        ],
        ImageRow: [ImageRow("a", "a.png", first) for first, *_ in rows],
    }
    with TemporaryDirectory() as folder:
        for kind, elements in given_elements.items():
            refs = write_spool(folder, {(0, kind.__name__): batch_of(elements)})
            assert list(read_spool([ref for _, ref in refs], kind)) == elements


def test_a_long_header_is_written_once(tmp_path: Path) -> None:
    """A thousand records of a file with a header of half a megabyte take hardly more than one of
    them, and share it in memory.
    """
    header = random.Random(7).randbytes(1 << 19)
    batch = Batch()
    sizes = [batch.add(Record("a", {}, {}, (), (), raw(n, header))) for n in range(1_000)]
    assert sum(sizes) < 2 * len(header)
    refs = [ref for _, ref in write_spool(str(tmp_path), {(0, "Record"): batch})]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * len(header)
    found = list(read_spool(refs, Record))
    assert len({id(each.raw.header) for each in found}) == 1
    assert found[-1].raw == raw(999, header)


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

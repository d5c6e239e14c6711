"""The number of buckets and workers of a run, chosen by the size of its inputs."""

from __future__ import annotations

import os
from collections.abc import Sequence

from schemas.template import Template
from transforms.readers import InputSplit, Peek
from transforms.runtime.bounds.admission import COPIES, ELEMENT_BYTES

# A bucket is held in memory: its records, the features of its images, its vectors and its tables
# as they are written, about 40 KB an item with vectors of 1,280 + 384 dimensions.
BUCKET_BYTES = 2 * 2**20
BUCKET_RECORDS = 2_000
MIN_BUCKETS = 4
MAX_BUCKETS = 4096
# A bucket may hold so many times what is expected of it before anything is set aside.
SLACK = 4
USUAL_SHARE = 5.0
# Where nothing is known of the records, and of those that are but a few bytes.
LEAST_RECORD_BYTES = 100
# Catalogs smaller than this are done before a second process has loaded its models.
PARALLEL_BYTES = 24 * 2**10
# Without images a worker has less to load and a record costs far less.
PARALLEL_BYTES_WITHOUT_PICTURES = 512 * 2**10


def choose_buckets(splits: list[InputSplit], seen: Peek) -> int:
    """Return a power of two at which a bucket has about BUCKET_BYTES, BUCKET_RECORDS at most."""
    plain_bytes = sum(_plain_bytes(split, seen) for split in splits if split.kind == "catalog")
    wanted = max(
        plain_bytes / BUCKET_BYTES, plain_bytes / max(1.0, seen.mean_bytes) / BUCKET_RECORDS
    )
    buckets = MIN_BUCKETS
    while buckets < wanted and buckets < MAX_BUCKETS:
        buckets *= 2
    return buckets


def bucket_limit(max_bytes: int, splits: Sequence[InputSplit], seen: Peek, buckets: int) -> int:
    """Return the bytes that a bucket may hold: `max_bytes`, or SLACK times what is to be expected
    of this input in so many buckets.
    """
    plain_bytes = sum(_plain_bytes(split, seen) for split in splits)
    records = plain_bytes / max(LEAST_RECORD_BYTES, seen.mean_bytes)
    expected = (COPIES * plain_bytes + ELEMENT_BYTES * records) / max(1, buckets)
    return max(max_bytes, int(SLACK * expected))


def _plain_bytes(split: InputSplit, seen: Peek | None = None) -> float:
    # gzip of catalog text is about a fifth of it, Parquet with zstd about a third, unless what was
    # looked at tells more. Of members of archives the unpacked size is known.
    if split.layers and ":" not in split.layers[-1]:
        return split.size_bytes * max(USUAL_SHARE, seen.unpacked_share if seen else 0.0)
    return split.size_bytes * (3 if split.format == "parquet" else 1)


def choose_workers(template: Template, splits: list[InputSplit]) -> int:
    """Return as many processes as pay off: one for a small catalog, else one per core."""
    least = PARALLEL_BYTES if template.record.images.are_read else PARALLEL_BYTES_WITHOUT_PICTURES
    return count_cores() if sum(_plain_bytes(split) for split in splits) >= least else 1


def count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

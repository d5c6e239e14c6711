"""How many buckets and workers a run gets, from what its inputs weigh."""

from __future__ import annotations

import os

from schemas.template import Template
from transforms.readers import InputSplit, Peek

# A bucket is held in memory: its records, the features of its pictures, its vectors and its tables
# as they are written, about 40 KB an item with vectors of 1,280 + 384 dimensions.
BUCKET_BYTES = 2 * 2**20


BUCKET_RECORDS = 2_000


MIN_BUCKETS = 4


MAX_BUCKETS = 4096


# Catalogs smaller than this are done before a second process has loaded its models.
PARALLEL_BYTES = 24 * 2**10


PARALLEL_BYTES_WITHOUT_PICTURES = 512 * 2**10


def choose_buckets(splits: list[InputSplit], seen: Peek) -> int:
    """A power of two, so that a bucket holds about BUCKET_BYTES of input and BUCKET_RECORDS at
    most.
    """
    plain_bytes = sum(_plain_bytes(split) for split in splits if split.kind == "catalog")
    wanted = max(
        plain_bytes / BUCKET_BYTES, plain_bytes / max(1.0, seen.mean_bytes) / BUCKET_RECORDS
    )
    buckets = MIN_BUCKETS
    while buckets < wanted and buckets < MAX_BUCKETS:
        buckets *= 2
    return buckets


def _plain_bytes(split: InputSplit) -> int:
    # gzip of catalog text is about a fifth of it, Parquet with zstd about a third.
    return split.size_bytes * (5 if split.gzipped else 3 if split.format == "parquet" else 1)


def choose_workers(template: Template, splits: list[InputSplit]) -> int:
    """As many processes as pay off: one for a small catalog, one a core for others."""
    least = PARALLEL_BYTES if template.record.images.columns else PARALLEL_BYTES_WITHOUT_PICTURES
    return count_cores() if sum(_plain_bytes(split) for split in splits) >= least else 1


def count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

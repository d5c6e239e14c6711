"""Digests and hashes that stay the same over runs, machines, Python versions and processes.

What was computed yesterday is compared with what is computed today: answers are found by the digest
of their question, folds and samples are drawn by the hash of an id. A change of a number here makes
every earlier snapshot and every paid-for answer unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson


def digest(
    content: Any, *, sort_keys: bool = False, default: Callable[[Any], Any] | None = None
) -> str:
    """Return the SHA-256 of content as JSON, 64 hexadecimal digits.

    sort_keys: where mappings mean the same in any order. The order of a JSON schema's properties
    does shape an answer, so it counts unless asked otherwise.
    default: what stands for values that JSON has no form of; without it they raise TypeError.

    >>> digest(["a", 1])[:16]
    '135f17a475a61afd'
    """
    option = orjson.OPT_SORT_KEYS if sort_keys else None
    return hashlib.sha256(orjson.dumps(content, default, option)).hexdigest()


def stable_hash(key: str | bytes, *, size_bytes: int = 8, purpose: str = "") -> int:
    """Return a number of `size_bytes` bytes, evenly spread over keys.

    purpose: keeps choices apart that are made of the same keys, say a fold and a sample: else one
    would decide on the other. At most 16 bytes.

    >>> stable_hash("sku-1") % 16
    6
    """
    data = key if isinstance(key, bytes) else key.encode()
    hashed = hashlib.blake2b(data, digest_size=size_bytes, person=purpose.encode())
    return int.from_bytes(hashed.digest(), "big")


def stable_share(key: str, *, purpose: str) -> float:
    """Return a number from 0 to below 1 for a key; keys below a share are a sample of that share.

    A larger share takes all that a smaller one takes.
    """
    return stable_hash(key, purpose=purpose) / 2**64

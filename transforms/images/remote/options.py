"""What may be fetched, and how."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.images.remote.hosts import Bucket, Host

# Of pictures that are held in memory at once, each as large as one may be.
_HELD_BYTES, _MOST_AT_ONCE = 1 << 29, 32


@dataclass(frozen=True)
class FetchOptions:
    """Where pictures may be fetched from and how.

    kept: folder of contents and of what is known of addresses; run: asks each address once.
    per_host: at once; per_min: requests to a host, 0 for no limit. buckets: of object stores.
    """

    hosts: tuple[Host, ...]
    kept: str
    run: str
    max_bytes: int
    timeout_secs: float = 60.0
    per_host: int = 4
    per_min: float = 0.0
    buckets: tuple[Bucket, ...] = ()

    @property
    def at_once(self) -> int:
        """Pictures that are fetched at once, of all hosts together."""
        return max(self.per_host, min(_MOST_AT_ONCE, _HELD_BYTES // self.max_bytes))

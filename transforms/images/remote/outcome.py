"""What becomes of an address that gives no picture, and how far fetching has come."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from transforms.images.references import shown
from transforms.images.remote.known import Kept

# Reasons that may go away by themselves.
PASSING = ("image-fetch-failed", "image-too-slow")
# A host or bucket that failed as often in a row is not asked any more in this run.
MAX_FAILURES = 5

# Called with how many more addresses are done with.
Progress = Callable[[int], None]


def unwatched(_count: int) -> None:
    """Tell nobody."""


class ProblemError(Exception):
    """Why an address gives no picture: a registered reason, and what is said of the address."""

    def __init__(self, reason: str, fault: str) -> None:
        super().__init__(fault)
        self.reason = reason


def too_large(max_bytes: int) -> ProblemError:
    fault = f"has more than the {max_bytes:,} bytes allowed; raise --max-image-bytes"
    return ProblemError("image-too-many-bytes", fault)


def failed(run: str, address: str, before: Kept, problem: ProblemError) -> Kept:
    """Return what is known of an address after a failure: what was fetched once is better than no
    picture; the flag says that it is old.
    """
    message = f"{shown(address)} {problem}"
    if before.digest and problem.reason in PASSING:
        note = f"{message}; the picture of an earlier run is used"
        return msgspec.structs.replace(before, run=run, note=note)
    return Kept(run, reason=problem.reason, message=message)


def has_failed(kept: Kept) -> bool:
    """Tell whether an address failed in a way that may go away."""
    return kept.reason in PASSING or bool(kept.note)

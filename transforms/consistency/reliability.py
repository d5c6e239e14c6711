"""How far the checks of a catalog can be trusted: what contradicts most items is no
contradiction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# One in five: a check that errs more often than that is no witness. With fewer than MIN_CHECKS
# nobody can tell.
MAX_CONTRADICTED = 0.2


MIN_CHECKS = 20


Tally = Counter[tuple[str, str, bool]]


def add_tallies(tallies: Iterable[Tally]) -> Tally:
    total: Tally = Counter()
    for one in tallies:
        total.update(one)
    return total


def reliable_checks(counts: Tally, min_checks: int = MIN_CHECKS) -> frozenset[tuple[str, str]]:
    """Return the (reason, field) whose comparisons agree often enough here for a contradiction
    to be worth a flag.
    """
    kinds = {(reason, field) for reason, field, _ in counts}
    made = {kind: counts[(*kind, False)] + counts[(*kind, True)] for kind in kinds}
    return frozenset(
        kind
        for kind in kinds
        if made[kind] >= min_checks and counts[(*kind, True)] <= MAX_CONTRADICTED * made[kind]
    )

"""How far checks can be trusted in a catalog: one that contradicts many of its items says nothing
about any of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# One in five: a comparison that fails more often than that does not compare what it seems to.
MAX_CONTRADICTED = 0.2
MIN_CHECKS = 20  # with fewer, the share of contradictions is mostly chance

# (reason, field, contradicted) → number of comparisons.
Tally = Counter[tuple[str, str, bool]]


def add_tallies(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies, which are left as they are."""
    # `Counter.update` adds in place; a sum by `+` would copy the total for each of them.
    total: Tally = Counter()
    for one in tallies:
        total.update(one)
    return total


def reliable_checks(counts: Tally, min_checks: int = MIN_CHECKS) -> frozenset[tuple[str, str]]:
    """Return the (reason, field) whose comparisons agree often enough in this catalog for a
    contradiction to be worth a flag.
    """
    kinds = {(reason, field) for reason, field, _ in counts}
    made = {kind: counts[(*kind, False)] + counts[(*kind, True)] for kind in kinds}
    return frozenset(
        kind
        for kind in kinds
        if made[kind] >= min_checks and counts[(*kind, True)] <= MAX_CONTRADICTED * made[kind]
    )

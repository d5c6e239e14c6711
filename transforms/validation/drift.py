"""Distance of a snapshot from the last published one: shares, distributions and mean vectors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from schemas.checks import KINDS, Severity
from schemas.expectations import Check, between
from schemas.template import Drift, Gate
from transforms.validation.distributions import Distributions, distance

MAX_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Shift:
    """One measure of drift.

    kind: in schemas.checks; subject: attribute or kind of vectors, empty for the whole.
    value: the distance; limit: the largest that is accepted; examples: what it was and is.
    severity: `shifts` sets it to what the template says.
    """

    kind: str
    subject: str
    value: float
    limit: float
    examples: tuple[str, ...]
    severity: Severity = "critical"

    @property
    def column(self) -> str:
        return f"{self.kind}:{self.subject}" if self.subject else self.kind

    def check(self) -> Check:
        of = f" of {self.subject}" if self.subject else ""
        meaning = f"{KINDS[self.kind].about}{of}, at most {self.limit:g}"
        return replace(
            between("drift", self.kind, self.column, None, self.limit, meaning),
            severity=self.severity,
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """A snapshot to compare.

    quarantine_rate: share of the records; entries: attribute → digest of what decides on its
    values; encoders: kind of vectors → model.
    """

    distributions: Distributions
    quarantine_rate: float
    entries: dict[str, str]
    encoders: dict[str, str]

    def as_row(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        return {**asdict(self), "distributions": self.distributions.as_row()}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Compared:
        """Rebuild from the result of `as_row`. Raises KeyError for something else."""
        distributions = Distributions.of_row(row["distributions"])
        return cls(distributions, row["quarantine_rate"], row["entries"], row["encoders"])


def shifts(gate: Gate, before: Compared, now: Compared, *, accepted: bool = False) -> list[Shift]:
    """Return every measure that both snapshots have enough items for, in the order of the kinds.

    Attributes whose entry changed, and vectors of another encoder, are not comparable and left out.
    When a catalog has grown beyond its limit, as from a sample to the whole, only that is reported:
    everything else would differ too.
    accepted: the change is intended, so it does not refuse the snapshot.
    """
    drift, old, new = gate.drift, before.distributions, now.distributions
    if old.items < drift.min_items:
        return []
    found = [*_counts(drift, old, new)]
    is_of_one_size = new.items <= (1 + drift.items_gained) * old.items
    if new.items >= drift.min_items and is_of_one_size:
        rise = now.quarantine_rate - before.quarantine_rate
        examples = (f"was {before.quarantine_rate:.1%}, is {now.quarantine_rate:.1%}",)
        found.append(Shift("drift-quarantine", "", max(0.0, rise), drift.quarantine_rate, examples))
        same = [name for name in new.known if before.entries.get(name) == now.entries.get(name)]
        found += [*_null_rates(drift, old, new, same), *_values(drift, old, new, same)]
    found += _vectors(drift, before, now) if is_of_one_size else ()
    return [
        replace(each, severity="warning" if accepted else gate.severity_of(each.kind))
        for each in found
    ]


def _counts(drift: Drift, old: Distributions, new: Distributions) -> Iterator[Shift]:
    examples = (f"were {old.items:,}, are {new.items:,}",)
    change = (new.items - old.items) / old.items
    yield Shift("drift-items-lost", "", max(0.0, -change), drift.items_lost, examples)
    yield Shift("drift-items-gained", "", max(0.0, change), drift.items_gained, examples)


def _null_rates(
    drift: Drift, old: Distributions, new: Distributions, same: Sequence[str]
) -> Iterator[Shift]:
    for name in same:
        was, now = (1 - each.known.get(name, 0) / each.items for each in (old, new))
        examples = (f"was {was:.1%}, is {now:.1%}",)
        yield Shift("drift-null-rate", name, max(0.0, now - was), drift.null_rate, examples)


def _values(
    drift: Drift, old: Distributions, new: Distributions, same: Sequence[str]
) -> Iterator[Shift]:
    for name in same:
        was, now = (each.values.get(name, Counter()) for each in (old, new))
        sizes = sum(was.values()), sum(now.values())
        if min(sizes) < drift.min_items:
            continue
        shares = {
            value: (was.get(value, 0) / sizes[0], now.get(value, 0) / sizes[1])
            for value in {*was, *now}
        }
        most = sorted(shares, key=lambda value: (-abs(shares[value][1] - shares[value][0]), value))[
            :MAX_EXAMPLES
        ]
        examples = tuple(
            f"{value}: was {shares[value][0]:.1%}, is {shares[value][1]:.1%}" for value in most
        )
        yield Shift("drift-values", name, distance(was, now), drift.values, examples)


def _vectors(drift: Drift, before: Compared, now: Compared) -> Iterator[Shift]:
    for kind, encoder in now.encoders.items():
        sides = (before.distributions, now.distributions)
        counts = [side.vectors.get(kind, 0) for side in sides]
        if before.encoders.get(kind) != encoder or min(counts) < drift.min_items:
            continue
        means = [side.sums[kind] / side.vectors[kind] for side in sides]
        if means[0].shape == means[1].shape:
            examples = (f"means of {counts[0]:,} and of {counts[1]:,} vectors",)
            yield Shift(
                "drift-vectors",
                kind,
                mean_shift(means, counts),
                drift.vectors,
                examples,
                "critical",
            )


def mean_shift(means: Sequence[Any], counts: Sequence[int]) -> float:
    """Distance between the means of two samples of unit vectors, corrected for chance.

    A mean of n unit vectors is off by sqrt((1 - |mean|^2) / n) on average: the standard error of
    all dimensions.
    """
    by_chance = sum(
        (1 - float(mean @ mean)) / count for mean, count in zip(means, counts, strict=True)
    )
    apart = means[0] - means[1]
    return math.sqrt(max(0.0, float(apart @ apart) - by_chance))

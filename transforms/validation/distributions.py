"""Distributions of a snapshot's values, as small counts that add up over buckets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.attributes import Attribute
from schemas.hashing import digest
from schemas.template import Template
from transforms.attribute_types.registry import operations_of


@dataclass(slots=True)
class Distributions:
    """Counts over the items with a record, of a snapshot or of some of its buckets.

    known: attribute → items with a value; values: attribute → value, or bin of a number → how
    often; of types with few values or bins only.
    vectors: kind → number of vectors; sums: kind → float64 array of shape (dimension,), their sum.
    """

    items: int = 0
    known: Counter[str] = field(default_factory=Counter)
    values: dict[str, Counter[str]] = field(default_factory=dict)
    vectors: Counter[str] = field(default_factory=Counter)
    sums: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = field(default_factory=dict)

    def add_items(self, template: Template, table: pa.Table) -> None:
        """Count rows of the items table."""
        self.items += table.num_rows
        for attribute in template.attributes:
            column = table[attribute.name]
            self.known[attribute.name] += len(column) - column.null_count
            counts = operations_of(attribute).count(column.combine_chunks())
            if counts is not None:
                self.values.setdefault(attribute.name, Counter()).update(counts)

    def add_vectors(self, kind: str, matrix: np.ndarray[Any, Any]) -> None:
        """Count vectors; matrix: shape (rows, dimension).

        Those with NaN or infinity are left out: the gate refuses them anyway.
        """
        sound = matrix[np.isfinite(matrix).all(axis=1)]
        self.vectors[kind] += len(sound)
        self.sums[kind] = self.sums.get(kind, 0.0) + sound.sum(axis=0, dtype=np.float64)

    def combined(self, other: Distributions, sign: int) -> Distributions:
        """Return the sum of both (sign 1), or the rest without the other (sign -1)."""
        values = {
            name: _summed(self.values.get(name, Counter()), other.values.get(name, Counter()), sign)
            for name in {*self.values, *other.values}
        }
        sums = {
            kind: self.sums.get(kind, 0.0) + sign * other.sums.get(kind, 0.0)
            for kind in {*self.sums, *other.sums}
        }
        return Distributions(
            self.items + sign * other.items,
            _summed(self.known, other.known, sign),
            values,
            _summed(self.vectors, other.vectors, sign),
            {kind: np.asarray(total, np.float64) for kind, total in sums.items()},
        )

    def as_row(self) -> dict[str, Any]:
        """Return a form that JSON can hold."""
        sums = {kind: total.tolist() for kind, total in self.sums.items()}
        values = {name: dict(sorted(counts.items())) for name, counts in self.values.items()}
        return {
            "items": self.items,
            "known": dict(self.known),
            "values": values,
            "vectors": dict(self.vectors),
            "sums": sums,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Distributions:
        """Rebuild from the result of `as_row`. Raises KeyError for something else."""
        return cls(
            row["items"],
            Counter(row["known"]),
            {name: Counter(counts) for name, counts in row["values"].items()},
            Counter(row["vectors"]),
            {kind: np.array(total, np.float64) for kind, total in row["sums"].items()},
        )


def _summed(one: Counter[str], other: Counter[str], sign: int) -> Counter[str]:
    total = Counter(one)
    for name, count in other.items():
        total[name] += sign * count
    return Counter({name: count for name, count in total.items() if count})


def distance(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Jensen-Shannon distance (base 2) of two distributions, 0 to 1, corrected for chance.

    Two samples of one distribution are not equal: their divergence is (k - 1) (1/n + 1/m) / (8 ln
    2) on average, for k values and samples of n and m (half of the chi-squared statistic's
    expectation; Lin, Divergence measures based on the Shannon entropy, 1991, for the divergence).
    That much is taken off before the root.

    >>> even = {"a": 500, "b": 500}
    >>> round(distance(even, even), 3), distance({"a": 900}, {"b": 900}) > 0.99
    (0.0, True)
    """
    names = sorted({*one, *other})
    counts_of_one = [one.get(name, 0) for name in names]
    counts_of_other = [other.get(name, 0) for name in names]
    counts = np.array([counts_of_one, counts_of_other], np.float64)
    sizes = counts.sum(axis=1)
    if not sizes.all():
        return 0.0
    p, q = counts / sizes[:, None]
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(side > 0, side * np.log2(side / middle), 0.0).sum() for side in (p, q)]
    by_chance = (len(names) - 1) * (1 / sizes).sum() / (8 * math.log(2))
    return math.sqrt(max(0.0, min(1.0, sum(parts) / 2 - by_chance)))


def entry_digest(attribute: Attribute, filled_by: Sequence[str]) -> str:
    """Digest of everything that decides on an attribute's values.

    Where it differs between two snapshots, their distributions are not compared.
    """
    entry = [
        attribute.model_dump(
            mode="json", by_alias=True, exclude={"expect", "description", "label"}
        ),
        *filled_by,
    ]
    return digest(entry, sort_keys=True)[:16]

"""Decisions of an evaluation: counted by hand, or of a known share of right ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pipelines.evaluation.decisions import Decision


def decision(
    item: int = 0,
    attribute: str = "color",
    said: str = "",
    truth: str = "",
    sure: float | None = 0.9,
    **changes: Any,
) -> Decision:
    """Values are letters: said="ab" are the values a and b.

    Answered, unless changed, when anything is said.
    """
    baseline = changes.pop("baseline", "a")
    return replace(
        Decision(
            fold=0,
            item_id=f"sku-{item}",
            attribute=attribute,
            accepted=tuple(truth),
            candidate=tuple(said),
            answered=bool(said),
            confidence=sure if said else None,
            rung="rules" if said else "",
            source="text" if said else None,
            method="rule:enum" if said else None,
            evidence="",
            reason=None if said else "not-stated",
            matched=len(set(said) & set(truth)),
            predicted=len(said),
            expected=len(truth),
            baseline=tuple(baseline),
            baseline_matched=len(set(baseline) & set(truth)),
            baseline_predicted=len(baseline),
            title="",
            images=(),
        ),
        **changes,
    )


# Single-valued, falling confidence: right, right, invented, wrong, right but not answered, missed, rightly none.
CASE = [
    decision(0, said="a", truth="a", sure=0.95),
    decision(1, said="b", truth="b", sure=0.9),
    decision(2, said="b", truth="", sure=0.8, rung="probe"),
    decision(3, said="a", truth="b", sure=0.7, rung="probe"),
    decision(4, said="c", truth="c", sure=0.4, answered=False),
    decision(5, truth="a"),
    decision(6),
]


ATTRIBUTES = ("color", "size", "style")


def run(items: int, skill: float, seed: int) -> list[Decision]:
    """Decisions of which a share of `skill` is right; truths are the same whatever the seed."""
    random, slots = np.random.default_rng(seed), []
    for number in range(items):
        for place, attribute in enumerate(ATTRIBUTES):
            truth = "" if (number + place) % 5 == 0 else "abc"[(number + place) % 3]
            said = truth if random.random() < skill else "x"
            slots.append(
                decision(
                    number,
                    attribute,
                    said,
                    truth,
                    sure=round(float(random.random()), 3),
                    fold=number % 2,
                )
            )
    return slots

"""The stage that composes the texts of items.

PCollection[Bucket] → PCollection[Bucket]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import apache_beam as beam

from schemas.elements import Bucket
from schemas.template import Template
from transforms.items.text import compose_item
from transforms.runtime.buckets import each_item
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS
from transforms.runtime.stages.fused import FusedStep, applied, in_one


@dataclass(eq=False)
class ComposeText(beam.PTransform):
    """Adds both texts to every item."""

    template: Template
    element_secs: float = DEFAULT_ELEMENT_SECS

    def step(self) -> FusedStep:
        """Return Bucket → Bucket."""
        compose = partial(compose_item, self.template)
        return applied(
            partial(each_item, stage="text", function=compose, element_secs=self.element_secs)
        )

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[Bucket]:
        return buckets | in_one(self.step()).with_output_types(Bucket)

"""The stage that composes the texts of items.

PCollection[Bucket] → PCollection[Bucket]
"""

from __future__ import annotations

from dataclasses import dataclass

import apache_beam as beam

from schemas.elements import Bucket
from schemas.template import Template
from transforms.items.text import compose_item
from transforms.runtime.buckets import each_item
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS


@dataclass(eq=False)
class ComposeText(beam.PTransform):
    """Adds both texts to every item."""

    template: Template
    element_secs: float = DEFAULT_ELEMENT_SECS

    def expand(self, buckets: beam.PCollection[Bucket]) -> beam.PCollection[Bucket]:
        template = self.template
        return buckets | beam.Map(
            each_item, "text", lambda item: compose_item(template, item), self.element_secs
        ).with_output_types(Bucket)

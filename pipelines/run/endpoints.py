"""What is asked of encoders behind an endpoint before a run: once, and not once a worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipelines.configuration.config import Plan
from pipelines.configuration.errors import ConfigError
from pipelines.snapshots.snapshot import Snapshot
from transforms.models.encoders import Encoder, ServedEncoder


def ask_endpoints(plan: Plan, earlier: Snapshot | None) -> Plan:
    """Return the plan with the dimensions of the encoders that have to be asked for them.

    Raises ConfigError when one does not answer, or answers otherwise than in the run that made
    `earlier`: another model must not go under an old name, unless `--full` accepts it.
    """
    before: dict[str, int] = {}
    if earlier is not None and not plan.config.reuse.full:
        before = earlier.manifest.endpoints
    found: dict[str, int] = {}
    for name, encoder in _encoders(plan):
        if not isinstance(encoder, ServedEncoder) or encoder.address in found:
            continue
        try:
            now = encoder.dimension
        except ValueError as error:
            raise ConfigError([f"{name}: {error}"]) from None
        then = before.get(encoder.address, now)
        if earlier is not None and now != then:
            raise ConfigError(
                [
                    f"{name}: {encoder.model!r} gives vectors of {now} numbers, and gave {then} in "
                    f"run {earlier.run_id}: another model is served under this name; serve the old "
                    "one, or name a revision, or give --full, to make all vectors anew"
                ]
            )
        found[encoder.address] = now
    models = replace(plan.config.models, dimensions=tuple(sorted(found.items())))
    return replace(plan, config=replace(plan.config, models=models))


def _encoders(plan: Plan) -> Iterator[tuple[str, Encoder]]:
    for space in plan.spaces:
        yield f"vectors {space.name}: encoder {space.options.backend}", space.build(plan.models)

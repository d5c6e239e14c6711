"""What is asked of encoders behind an endpoint before a run: once, and not once a worker."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from pipelines.configuration.errors import ConfigError
from pipelines.configuration.plan import Plan
from pipelines.snapshots.snapshot import Snapshot
from transforms.models.contract import ModelGoneError
from transforms.models.encoders import Encoder, ServedEncoder
from transforms.models.spaces import VectorSpace
from transforms.vectors.canaries import Agreement
from transforms.vectors.contract import VectorContract
from transforms.vectors.fit import fit


def ask_endpoints(plan: Plan, earlier: Snapshot | None) -> Plan:
    """Return the plan with the dimensions of the encoders that have to be asked for them.

    Raises ConfigError when one does not answer, or answers otherwise than in the run that made
    `earlier`: another model must not go under an old name, unless `--full` accepts it.
    """
    before: dict[str, int] = {}
    if earlier is not None and not plan.config.reuse.full:
        before = earlier.manifest.endpoints
    found: dict[str, int] = {}
    for space in plan.spaces:
        name, encoder = _named(space), space.build(plan.models)
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
                    "one, or name a revision, or give --full, to rebuild all vectors"
                ]
            )
        found[encoder.address] = now
    models = replace(plan.config.models, dimensions=tuple(sorted(found.items())))
    return replace(plan, config=replace(plan.config, models=models))


def refuse_moved(
    plan: Plan, spaces: Collection[VectorSpace], contracts: Mapping[str, VectorContract]
) -> None:
    """Raise ConfigError where an endpoint gives canaries other vectors than those that are kept.

    spaces: that may be made; contracts: by table. A server that the run starts is not asked: its
    weights are known. `--full` does not accept it: vectors of before would stay in the table.
    """
    problems = []
    for space, contract in _unproven(spaces, contracts):
        found = _asked_again(space, space.build(plan.models), contract)
        if not found.fits:
            named, option = contract.document.id, f"--{space.modality}-revision"
            problems.append(
                f"{_named(space)}: {named!r} does not answer as it did when {contract.table} was "
                f"made: {found.problem}. Nothing was embedded. Serve the old model, or name the "
                f"new one by another revision ({option}, or revision in the template's vectors); "
                "the table is then rebuilt"
            )
    if problems:
        raise ConfigError(problems)


def _unproven(
    spaces: Collection[VectorSpace], contracts: Mapping[str, VectorContract]
) -> Iterator[tuple[VectorSpace, VectorContract]]:
    """Yield each encoder behind an endpoint that has canaries, once."""
    asked = set()
    for space in spaces:
        contract = contracts[space.spec.table]
        key = space.options, tuple(canary.key for canary in contract.canaries)
        if space.options.endpoint and contract.canaries:
            if key not in asked:
                yield space, contract
            asked.add(key)


def _asked_again(space: VectorSpace, encoder: Encoder, contract: VectorContract) -> Agreement:
    """Embed the kept canaries once more. Raises ConfigError where the endpoint does not answer."""
    try:
        encoder.load()
        return fit(contract, encoder, contract.canaries)
    except (ValueError, ModelGoneError) as error:
        raise ConfigError([f"{_named(space)}: {error}"]) from None
    finally:
        if isinstance(encoder, ServedEncoder):
            encoder.close()


def _named(space: VectorSpace) -> str:
    return f"vectors {space.name}: encoder {space.options.backend}"

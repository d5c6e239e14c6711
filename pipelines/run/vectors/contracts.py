"""What the vectors of a run are, compared with those of the snapshot that it continues from.

An encoder that changed under its name would fill one table with vectors of two spaces, and readers
who embed queries would get neighbours by chance. What is known before anything is embedded, weights
and dimension, ends the run at once; what only the vectors show is found by the gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.configuration.errors import ConfigError
from transforms.vectors.canaries import Canary, agreement
from transforms.vectors.contract import EncoderEntry, VectorContract, with_canaries

if TYPE_CHECKING:
    from transforms.vectors.stage import CanaryReport

Contracts = Mapping[str, VectorContract]


def continued(now: Contracts, before: Contracts) -> dict[str, VectorContract]:
    """Return today's contracts, with the canaries of tables that go on as they were."""
    return {
        table: replace(contract, canaries=before[table].canaries)
        if table in before and before[table].digest == contract.digest
        else contract
        for table, contract in now.items()
    }


def refuse_changed(now: Contracts, before: Contracts, *, accepted: bool) -> None:
    """Raise ConfigError where an encoder has other weights or another dimension than the one that
    made a table under the same name and revision.

    accepted: such a table is rebuilt instead.
    """
    problems = [
        f"{table}: {problem}. Nothing was embedded. If the change is meant, name it (another "
        f"revision or model of the {contract.of} encoder), or run once with --full; the table is "
        "then rebuilt"
        for table, contract in now.items()
        if table in before
        for problem in _changed_under_its_name(before[table], contract)
    ]
    if problems and not accepted:
        raise ConfigError(problems)


def _changed_under_its_name(before: VectorContract, now: VectorContract) -> Iterator[str]:
    was, is_now = before.document, now.document
    if (was.id, was.revision) != (is_now.id, is_now.revision):
        return
    named = f"encoder {_named(is_now)} changed under its name"
    asked = before.built_with.get("dimension"), now.built_with.get("dimension")
    if before.dimension != now.dimension and asked[0] == asked[1]:
        yield (
            f"{named}: it makes vectors of {now.dimension} numbers, those that are kept have "
            f"{before.dimension}"
        )
    elif was.weights_sha256 and is_now.weights_sha256 != was.weights_sha256:
        yield (
            f"{named}: its weights have digest {is_now.weights_sha256[:12] or 'none'}, those that "
            f"made the kept vectors have {was.weights_sha256[:12]}"
        )


def _named(entry: EncoderEntry) -> str:
    return entry.id + (f"@{entry.revision}" if entry.revision else "")


def proven(contracts: Contracts, reports: Sequence[CanaryReport]) -> dict[str, VectorContract]:
    """Return the contracts with their canaries: kept ones, or the first that a worker found."""
    found: dict[str, tuple[Canary, ...]] = {}
    for report in sorted(reports, key=lambda report: not report.is_first):
        if report.canaries:
            found.setdefault(report.table, report.canaries)
    return {table: with_canaries(contract, found) for table, contract in contracts.items()}


def disagreements(contracts: Contracts, reports: Sequence[CanaryReport]) -> Iterator[str]:
    """Yield what is wrong with the canaries of the workers, a line for each table and problem."""
    reported = set()
    for report in reports:
        contract = contracts[report.table]
        problem = report.problem
        if not problem:
            found = agreement(contract.canaries, report.canaries)
            problem = f"{_named(contract.document)}: {found.problem}" if found.problem else ""
        line = f"{report.table}: {problem}"
        if problem and line not in reported:
            reported.add(line)
            yield line


def misdescribed(
    contracts: Contracts, described: Mapping[str, set[tuple[str, int]]]
) -> Iterator[str]:
    """Yield tables whose files say something else than their contract.

    described: table → digest of the contract and dimension of each file; the digest is empty where
    an earlier version wrote the file.
    """
    for table, found in sorted(described.items()):
        if table not in contracts:
            yield f"{table}: it has no contract"
            continue
        contract = contracts[table]
        for said, dimension in sorted(found):
            if dimension != contract.dimension:
                numbers = f"{dimension} numbers, the contract says {contract.dimension}"
                yield f"{table}: vectors of {numbers}"
            elif said and said != contract.digest:
                yield f"{table}: a file has the contract of another encoder or another text"

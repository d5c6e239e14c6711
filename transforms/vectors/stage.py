"""Canaries of a run: embedded for tables that have none yet, and wherever an encoder is loaded.

The launching process compares what the workers found with what is kept beside the tables, so an
encoder that changed under its name, or differs between two workers, is found before anything is
published.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import msgspec

from transforms.models.contract import ModelOptions
from transforms.models.encoders import Encoder
from transforms.models.spaces import (
    Shared,
    VectorSpace,
    shared_image_encoder,
    shared_text_encoder,
)
from transforms.runtime import storage
from transforms.runtime.json_files import write_json
from transforms.runtime.listing import files_in
from transforms.vectors.canaries import (
    Canary,
    CanaryError,
    agreement,
    canary_keys,
    embed_canaries,
)
from transforms.vectors.contract import VectorContract


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """What one worker's encoder made of the canaries of a table.

    problem: why there are none, empty where there are. is_first: no earlier table has any, so that
    these are written into the files.
    """

    table: str
    canaries: tuple[Canary, ...] = ()
    problem: str = ""
    is_first: bool = False

    def agrees_with(self, contract: VectorContract) -> bool:
        """Tell whether vectors of this encoder may stand beside those that were kept."""
        if self.problem:
            return False
        return not contract.canaries or agreement(contract.canaries, self.canaries).fits


@dataclass(frozen=True, slots=True)
class CanaryWatch:
    """Embeds the canaries of vector tables and leaves reports of them below `folder`.

    contracts: by table.
    """

    folder: str
    contracts: Mapping[str, VectorContract]

    def watch(self, table: str, encoder: Encoder, *, is_first: bool = False) -> CanaryReport:
        """Report what a loaded encoder, which is about to make rows of a table, makes of the
        canaries.
        """
        contract = self.contracts[table]
        keys = [canary.key for canary in contract.canaries]
        try:
            found = embed_canaries(encoder, keys or canary_keys(encoder.card, contract.of))
            report = CanaryReport(table, found, is_first=is_first)
        except CanaryError as error:
            report = CanaryReport(table, problem=str(error))
        # A file of its own, so that no worker waits for another and a retried bundle does no harm.
        write_json(storage.join(self.folder, f"{uuid.uuid4().hex}.json"), report)
        return report

    def agrees(self, table: str, encoder: Encoder) -> bool:
        """Report, and tell whether the encoder gives the canaries the vectors that are kept."""
        return self.watch(table, encoder).agrees_with(self.contracts[table])


@dataclass
class WatchedTables:
    """The vector tables that a worker makes with one encoder: its canaries are embedded once.

    watch: None where nothing is compared.
    """

    watch: CanaryWatch | None
    tables: tuple[str, ...]
    _agrees: bool | None = None

    def agree(self, encoder: Encoder) -> bool:
        """Tell whether the loaded encoder gives the canaries the vectors that are kept; where it
        does not, the gate will refuse, and what it made must not be kept for later runs.
        """
        if self._agrees is None:
            watched = self.tables if self.watch is not None else ()
            agree = [self.watch.agrees(table, encoder) for table in watched if self.watch]
            self._agrees = all(agree)  # after every table had its report
        return self._agrees


def read_canary_reports(folder: str) -> list[CanaryReport]:
    """Return what all workers reported, by table and content."""
    reports = [
        msgspec.json.decode(storage.read_bytes(file.path), type=CanaryReport)
        for file in files_in(folder, ".json")
    ]
    return sorted(reports, key=lambda each: (each.table, each.problem, repr(each.canaries)))


class _Embed(beam.DoFn):
    def __init__(self, transform: EmbedCanaries) -> None:
        self._watch, self._models = transform.watch, transform.models
        # Held, so that the stages that make the vectors find their encoder loaded.
        self._encoders: list[Shared[Any]] = []

    def process(self, space: VectorSpace) -> Iterator[tuple[str, Sequence[Canary]]]:
        share = shared_text_encoder if space.modality == "text" else shared_image_encoder
        encoder: Shared[Any] = share(self._models, space.options)
        self._encoders.append(encoder)
        with encoder.loaded() as loaded:
            report = self._watch.watch(space.spec.table, loaded, is_first=True)
        yield report.table, report.canaries


@dataclass(eq=False)
class EmbedCanaries(beam.PTransform):
    """Spaces whose table is made for the first time → table and its canaries, () of an encoder that
    cannot embed them.
    """

    watch: CanaryWatch
    models: ModelOptions

    def expand(
        self, spaces: beam.PCollection[VectorSpace]
    ) -> beam.PCollection[tuple[str, Sequence[Canary]]]:
        return spaces | beam.ParDo(_Embed(self))

"""A Beam runner that does to a pipeline what distributed engines may do to it, all at once.

`--runner tests.engines.hostile.HostileRunner` does what Beam's local runner does, except that

- no two transforms are fused: every element goes through its coder, and its bytes are counted;
- what one bundle would have had comes in several, its elements in another order;
- each bundle is run twice, and one of the two results, drawn by chance, is never seen by anybody.

Chance comes from the variable HOSTILE_SEED, so that a failure comes again. The file that
HOSTILE_REPORT names is given a line of JSON for each pipeline: what crossed its stages.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.coders.coder_impl import create_InputStream
from apache_beam.metrics import monitoring_infos
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.portability.common_urns import primitives
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, translations
from apache_beam.runners.portability.fn_api_runner.execution import ListBuffer
from apache_beam.runners.portability.fn_api_runner.fn_runner import BundleManager
from apache_beam.runners.runner import PipelineResult

RUNNER = "tests.engines.hostile.HostileRunner"
SEED, REPORT = "HOSTILE_SEED", "HOSTILE_REPORT"
# Into how many bundles one is split at most.
MOST_BUNDLES = 3


@dataclass
class Crossing:
    """The elements of a PCollection, as the runner was sent them. name: the PCollection's."""

    name: str
    elements: int = 0
    bytes: int = 0
    largest_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        self.elements += 1
        self.bytes += size_bytes
        self.largest_bytes = max(self.largest_bytes, size_bytes)


def crossings(report: Path) -> list[Crossing]:
    """Return what crossed the stages of all pipelines of a report."""
    lines = report.read_text("utf-8").splitlines()
    return [Crossing(**each) for line in lines for each in json.loads(line)]


class HostileRunner(FnApiRunner):  # type: ignore[misc]
    """The local runner, hostile as the module says."""

    def __init__(self) -> None:
        super().__init__()
        self._chance = random.Random(0)
        self._crossings: dict[str, Crossing] = {}

    def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> PipelineResult:
        self._chance = random.Random(int(os.environ.get(SEED, "0")))
        self._crossings = {}
        result = super().run_pipeline(pipeline, options)
        if REPORT in os.environ:
            crossings = [asdict(each) for each in self._crossings.values()]
            with Path(os.environ[REPORT]).open("a", encoding="utf-8") as report:
                report.write(json.dumps(crossings) + "\n")
        return result

    def create_stages(self, pipeline_proto: Any) -> tuple[Any, list[translations.Stage]]:
        """Translate a pipeline as the local runner does, without what saves work."""
        return translations.create_and_optimize_stages(  # type: ignore[no-any-return]
            pipeline_proto,
            phases=[
                translations.annotate_downstream_side_inputs,
                translations.fix_side_input_pcoll_coders,
                translations.lift_combiners,
                translations.expand_sdf,
                translations.expand_gbk,
                translations.sink_flattens,
                _kept_apart,
                # Puts a write and a read where two stages meet.
                translations.greedily_fuse,
                translations.read_to_impulse,
                translations.impulse_to_input,
                translations.sort_stages,
                translations.add_impulse_to_dangling_transforms,
                translations.setup_timer_mapping,
                translations.populate_data_channel_coders,
            ],
            known_runner_urns=frozenset([primitives.FLATTEN.urn, primitives.GROUP_BY_KEY.urn]),
            use_state_iterables=False,
            is_drain=False,
        )

    def _get_bundle_manager(self, bundle_context_manager: Any) -> BundleManager:
        tokens = FnApiRunner.get_cache_token_generator(static=False)
        return _HostileBundles(bundle_context_manager, tokens, self._chance, self._crossings)


def _kept_apart(stages: Iterable[translations.Stage], _: Any) -> Iterator[translations.Stage]:
    for stage in stages:
        # A stage that has to start again is never fused with what comes before it.
        stage.forced_root = True
        yield stage


class _HostileBundles(BundleManager):  # type: ignore[misc]
    """Runs the bundles of one stage."""

    def __init__(
        self,
        context: Any,
        tokens: Iterator[Any],
        chance: random.Random,
        crossings: dict[str, Crossing],
    ) -> None:
        super().__init__(context, cache_token_generator=tokens)
        self._chance, self._crossings = chance, crossings

    def process_bundle(
        self,
        inputs: Mapping[str, Iterable[bytes]],
        expected_outputs: Mapping[str, bytes],
        fired_timers: Mapping[Any, Any],
        expected_output_timers: Mapping[Any, Any],
        dry_run: bool = False,
    ) -> tuple[Any, list[Any]]:
        results, splits = [], []
        timers = fired_timers
        for part in self._parts(inputs):
            drops_first = self._chance.random() < 0.5
            if drops_first:
                self._run_in_vain(part, expected_outputs, timers, expected_output_timers)
            seen = self._chunks(expected_outputs)
            result, split = super().process_bundle(
                part, expected_outputs, timers, expected_output_timers
            )
            self._count(expected_outputs, seen)
            if not drops_first:
                self._run_in_vain(part, expected_outputs, timers, expected_output_timers)
            results.append(result)
            splits += split
            timers = {}
        return _merged(results), splits

    def _run_in_vain(self, part: Any, outputs: Any, timers: Any, output_timers: Any) -> None:
        state = self.bundle_context_manager.execution_context.state_servicer
        state.checkpoint()
        try:
            super().process_bundle(part, outputs, timers, output_timers, dry_run=True)
        finally:
            state.restore()

    def _parts(self, inputs: Mapping[str, Iterable[bytes]]) -> Iterator[dict[str, list[bytes]]]:
        """Return the inputs of the bundles that are run in the place of one."""
        elements = {name: self._elements(name, buffer) for name, buffer in inputs.items()}
        for each in elements.values():
            self._chance.shuffle(each)
        most = min(MOST_BUNDLES, max(map(len, elements.values()), default=1))
        count = self._chance.randint(1, most) if most else 1
        for number in range(count):
            yield {name: each[number::count] for name, each in elements.items()}

    def _elements(self, transform: str, chunks: Iterable[bytes]) -> list[bytes]:
        """Return the encoded elements of chunks that hold any number of them."""
        coder = self.bundle_context_manager.get_input_coder_impl(transform)
        found = []
        for chunk in chunks:
            stream, begin = create_InputStream(chunk), 0
            while stream.size():
                coder.decode_from_stream(stream, True)
                end = len(chunk) - stream.size()
                found.append(chunk[begin:end])
                begin = end
        return found

    def _chunks(self, outputs: Mapping[str, bytes]) -> dict[str, int]:
        """Return how many chunks each output has; none of those that are grouped as they come."""
        found = {}
        for transform, buffer_id in outputs.items():
            buffer = self.bundle_context_manager.get_buffer(buffer_id, transform)
            if isinstance(buffer, ListBuffer):
                found[transform] = sum(1 for _ in buffer)
        return found

    def _count(self, outputs: Mapping[str, bytes], seen: Mapping[str, int]) -> None:
        descriptor = self.bundle_context_manager.process_bundle_descriptor
        for transform, before in seen.items():
            buffer = self.bundle_context_manager.get_buffer(outputs[transform], transform)
            (pcollection,) = descriptor.transforms[transform].inputs.values()
            name = descriptor.pcollections[pcollection].unique_name
            crossing = self._crossings.setdefault(name, Crossing(name))
            new = itertools.islice(buffer, before, None)
            for element in self._elements(transform, new):
                crossing.add(len(element))


def _merged(results: list[Any]) -> Any:
    if len(results) == 1:
        return results[0]
    done = [result.process_bundle for result in results]
    infos = itertools.chain.from_iterable(each.monitoring_infos for each in done)
    residuals = itertools.chain.from_iterable(each.residual_roots for each in done)
    return beam_fn_api_pb2.InstructionResponse(
        process_bundle=beam_fn_api_pb2.ProcessBundleResponse(
            monitoring_infos=monitoring_infos.consolidate(infos), residual_roots=list(residuals)
        )
    )

"""What runs pipelines, made of the arguments that are not ours.

Beam is imported by the functions that need it: most commands do not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from pipelines.configuration.errors import ConfigError
from pipelines.configuration.secret_options import passed_problems
from transforms.runtime import storage

if TYPE_CHECKING:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

LOCAL_RUNNER = "FnApiRunner"


def connect_storage(passed: Sequence[str] = ()) -> None:
    """Let object stores be opened before there is a pipeline, with Beam's options for them
    (`--s3_region_name` ...).
    """
    storage.connect(lambda: _pipeline_options(passed))


def _pipeline_options(flags: Sequence[str]) -> PipelineOptions:
    from pipelines.configuration.kept_views import KeptViews

    return KeptViews(list(flags))


@dataclass(frozen=True, slots=True)
class Runner:
    """What runs pipelines: Beam's runner of this name, the worker processes of this machine's own,
    and the arguments that are Beam's.

    Beam's options are made of it where a pipeline is, so that a run which makes none loads no Beam.
    """

    name: str = LOCAL_RUNNER
    workers: int = 1
    passed: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Tell whether this machine does the work."""
        return self.name == LOCAL_RUNNER

    @property
    def works_here(self) -> bool:
        """Tell whether this process does the work itself: otherwise it waits for those that do."""
        return self.is_local and self.workers == 1

    def in_one_process(self) -> Runner:
        """Return it for work that is done before further processes would have started."""
        return replace(self, workers=1) if self.is_local else self

    def options(self) -> PipelineOptions:
        """Return Beam's options."""
        flags = [f"--runner={self.name}", *self.passed]
        if self.is_local:
            mode = "in_memory" if self.workers == 1 else "multi_processing"
            flags += [f"--direct_num_workers={self.workers}", f"--direct_running_mode={mode}"]
        return _pipeline_options(flags)


def checked_runner(name: str, workers: int, passed: Sequence[str]) -> Runner:
    """Return what the arguments name that are not ours.

    Raises ConfigError for a runner that does not exist, for unknown arguments, and for secrets
    among them.
    """
    runner = Runner(name, workers, tuple(passed))
    if runner == Runner(workers=workers):  # as mostly: Beam need not be loaded to find that good
        return runner
    if name == "DaskRunner":
        raise ConfigError(
            [
                "--runner DaskRunner loses records silently; use FnApiRunner, PortableRunner or a "
                "service"
            ]
        )
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigError([f"--runner {name}: {error}"]) from error
    _, unread = beam_parser().parse_known_args(list(passed))
    problems = [f"unknown argument {argument}" for argument in unread]
    problems += passed_problems(passed)
    if problems:
        raise ConfigError(problems)
    return runner


def new_pipeline(runner: Runner) -> beam.Pipeline:
    """Return an empty pipeline that is run so, with the same options in every process of it.

    Beam's local runner starts its processes without the options unless it is handed them: they
    would look for an object store at its default address.
    """
    import apache_beam as beam
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    # Beam takes its handler of worker processes from there.
    import pipelines.configuration.worker_processes  # noqa: F401

    options = runner.options()
    if not runner.is_local:
        return beam.Pipeline(options=options)
    given = JobServiceHandle.encode_pipeline_options(options.get_all_options(drop_default=True))
    provision = ExtendedProvisionInfo(beam_provision_api_pb2.ProvisionInfo(pipeline_options=given))
    return beam.Pipeline(FnApiRunner(provision_info=provision), options)


@cache
def beam_parser() -> argparse.ArgumentParser:
    """Return a parser of every option of every PipelineOptions class that is loaded."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    pending = [PipelineOptions]
    while pending:
        options = pending.pop()
        pending += options.__subclasses__()
        if "_add_argparse_args" in options.__dict__:
            options._add_argparse_args(parser)
    return parser

"""Beam's options, made of the arguments that are not ours, and pipelines that carry them.

Beam is imported by the functions that need it: most commands do not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
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
    from apache_beam.options.pipeline_options import PipelineOptions

    return PipelineOptions(list(flags))


def beam_options(runner: str, workers: int, passed: Sequence[str]) -> PipelineOptions:
    """Return Beam's options, made of the arguments that are not ours.

    Raises ConfigError for a runner that does not exist, for unknown arguments, and for secrets
    among them.
    """
    from apache_beam.runners.runner import create_runner

    if runner == "DaskRunner":
        raise ConfigError(
            [
                "--runner DaskRunner loses records silently; use FnApiRunner, PortableRunner or a "
                "service"
            ]
        )
    try:
        create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        raise ConfigError([f"--runner {runner}: {error}"]) from error
    _, unread = beam_parser().parse_known_args(list(passed))
    problems = [f"unknown argument {argument}" for argument in unread]
    problems += passed_problems(passed)
    if problems:
        raise ConfigError(problems)
    flags = [f"--runner={runner}", *passed]
    if runner == LOCAL_RUNNER:
        mode = "in_memory" if workers == 1 else "multi_processing"
        flags += [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}"]
    return _pipeline_options(flags)


def in_one_process(options: PipelineOptions) -> PipelineOptions:
    """Return the options for work that is done before further processes would have started."""
    from apache_beam.options.pipeline_options import PipelineOptions

    if not is_local(options):
        return options
    flags = {
        **options.get_all_options(drop_default=True),
        "direct_num_workers": 1,
        "direct_running_mode": "in_memory",
    }
    return PipelineOptions.from_dictionary(flags)


def works_here(options: PipelineOptions) -> bool:
    """Tell whether this process does the work itself: otherwise it waits for those that do."""
    mode = options.get_all_options().get("direct_running_mode")
    return is_local(options) and mode == "in_memory"


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Return an empty pipeline that runs with these options in every process of it.

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

    if not is_local(options):
        return beam.Pipeline(options=options)
    given = JobServiceHandle.encode_pipeline_options(options.get_all_options(drop_default=True))
    provision = ExtendedProvisionInfo(beam_provision_api_pb2.ProvisionInfo(pipeline_options=given))
    return beam.Pipeline(FnApiRunner(provision_info=provision), options)


def is_local(options: PipelineOptions) -> bool:
    """Tell whether this machine does the work."""
    from apache_beam.options.pipeline_options import StandardOptions

    return bool(options.view_as(StandardOptions).runner == LOCAL_RUNNER)


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

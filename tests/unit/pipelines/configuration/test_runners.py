"""What Beam is told: secrets stay off the command line, workers get the options."""

from __future__ import annotations

import copy

import apache_beam as beam
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, S3Options, StandardOptions

from pipelines.configuration.errors import ConfigError
from pipelines.configuration.runners import (
    LOCAL_RUNNER,
    Runner,
    checked_runner,
    new_pipeline,
)


@pytest.mark.parametrize(
    "option", ["--s3_secret_access_key=hush", "--s3_session_token=hush", "--s3_access_key_id=hush"]
)
def test_secrets_on_the_command_line_are_refused(option: str) -> None:
    """The message names the variable to set instead and does not repeat the secret."""
    with pytest.raises(ConfigError, match="set AWS_") as refused:
        checked_runner(LOCAL_RUNNER, 1, [option])
    assert "hush" not in str(refused.value)


def _endpoint(_: int) -> str | None:
    endpoint: str | None = FileSystems._pipeline_options.view_as(S3Options).s3_endpoint_url
    return endpoint


def _expect(found: list[str | None]) -> None:
    assert found == ["http://127.0.0.1:1"]


def test_worker_processes_get_the_options() -> None:
    """An object store at another address is found in every process of the local runner."""
    runner = checked_runner(LOCAL_RUNNER, 2, ["--s3_endpoint_url", "http://127.0.0.1:1"])
    with new_pipeline(runner) as pipeline:
        found = pipeline | beam.Create([1]) | beam.Map(_endpoint)
        _ = found | beam.combiners.ToList() | beam.Map(_expect)


def test_views_of_options_are_beams_own() -> None:
    """Whatever options are looked at as, they hold what Beam's own hold, and share what is set later."""
    runner = checked_runner(LOCAL_RUNNER, 2, ["--s3_endpoint_url", "http://127.0.0.1:1"])
    options = runner.options()
    own = PipelineOptions(
        [
            *("--runner=FnApiRunner", "--s3_endpoint_url", "http://127.0.0.1:1"),
            *("--direct_num_workers=2", "--direct_running_mode=multi_processing"),
        ]
    )
    assert options.get_all_options() == own.get_all_options()
    assert options.view_as(S3Options) is options.view_as(S3Options)
    options.view_as(S3Options).s3_region_name = "eu-west-1"
    assert options.view_as(StandardOptions).view_as(S3Options).s3_region_name == "eu-west-1"
    assert copy.deepcopy(options).get_all_options() == options.get_all_options()


def test_a_process_knows_whether_it_works_or_waits() -> None:
    """One worker is this process; several, and those of another runner, are others."""
    assert Runner().works_here
    two = Runner(workers=2)
    assert not two.works_here
    assert two.in_one_process().works_here
    assert not Runner("PortableRunner").works_here

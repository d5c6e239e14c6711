"""From parsed options to what a run is asked to do, and to what its manifest remembers of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipelines.configuration.config import EnrichConfig
from pipelines.configuration.declare import all_options, dest_of, read_options
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.runners import LOCAL_RUNNER
from schemas.loading import packaged_templates
from schemas.secrets import masked_in
from transforms.runtime.storage import is_local

# Of the command and its display, and not of what is made.
_NOT_REMEMBERED = frozenset(["beam_args", "earlier", "json", "progress", "quiet"])
# Runners whose workers are on machines of a service, with no disk that could be shared.
_SERVICES = frozenset(["DataflowRunner"])
# What workers read and write, of the options that name files or folders.
_OF_WORKERS = ("input", "output", "images_root", "image_table", "reference", "work_dir")


def config_from(options: argparse.Namespace) -> EnrichConfig:
    """Return the configuration that parsed options describe.

    Raises ConfigError for values outside their range, and for paths that the runner's workers
    cannot see.
    """
    if getattr(options, "runner", LOCAL_RUNNER) != LOCAL_RUNNER:
        options = _for_workers(options)
    try:
        # A command that does not declare --no-report, as `evaluate`, writes a report of its own.
        return read_options(EnrichConfig, options, report=False, options=remembered(options))
    except ValueError as error:
        raise ConfigError(str(error).splitlines()) from error


def remembered(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a run as its manifest keeps them, with whole paths.

    Without secrets: an address in a condition on the catalog may hold some, nothing else does.
    """
    declared = [each for each, _, _ in all_options(EnrichConfig)]
    dropped = _NOT_REMEMBERED | {dest_of(each) for each in declared if each.once}
    kept = {name: value for name, value in sorted(vars(options).items()) if name not in dropped}
    paths = (dest_of(each) for each in declared if each.is_path)
    kept |= {name: _whole(kept[name]) for name in paths if kept.get(name)}
    return dict(masked_in(kept))


def _for_workers(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options with whole paths: workers are started in folders of their own."""
    declared = [dest_of(each) for each, _, _ in all_options(EnrichConfig) if each.is_path]
    given = {name: getattr(options, name, None) for name in (*declared, "output")}
    if options.runner in _SERVICES:
        problems = [
            f"--{name.replace('_', '-')} {path}: the workers of {options.runner} do not see this "
            "machine's disk; name a bucket (gs://)"
            for name in _OF_WORKERS
            for path in _listed(given[name])
            if is_local(path)
        ]
        if problems:
            raise ConfigError(problems)
    whole = {name: _whole(paths) for name, paths in given.items() if paths}
    return argparse.Namespace(**{**vars(options), **whole})


def _listed(paths: Any) -> list[str]:
    return [paths] if isinstance(paths, str) and paths else list(paths or ())


def _whole(paths: Any) -> Any:
    if isinstance(paths, str):
        if not is_local(paths) or paths in packaged_templates():
            return paths
        return str(Path(paths).absolute())
    return [_whole(path) for path in paths]

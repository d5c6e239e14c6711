"""Model libraries kept quiet while they load: what matters is raised, the rest is noise."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# They tell of every export of a model, and advise to keep what it gave.
_EXPORTERS = ("optimum", "sentence_transformers.backend", "nncf")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep progress bars and load reports off the user's terminal while weights are read."""
    from transformers.utils import logging as own

    # Settings of the whole process, so they are put back afterwards.
    settings: Any = own
    verbosity, bars = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity_error()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(verbosity)
        if bars:
            settings.enable_progress_bar()


@contextmanager
def quiet_export() -> Iterator[None]:
    """Keep what tracing a network says of itself off the user's terminal."""
    loggers = [logging.getLogger(name) for name in _EXPORTERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

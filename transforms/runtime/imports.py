"""Imports of much at once, which Python's collector need not look through."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Import in the body without looking for garbage: all that an import makes stays, and a fifth
    of its time goes into finding that out.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def for_good() -> Iterator[None]:
    """Import in the body what the process keeps to its end: no later pass of the collector looks
    at it either.
    """
    loaded = len(sys.modules)
    with without_collector():
        yield
    if len(sys.modules) > loaded:  # and not whatever is there when nothing was
        gc.freeze()

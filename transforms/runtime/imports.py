"""Imports of much at once, which Python's collector need not look through."""

from __future__ import annotations

import gc
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

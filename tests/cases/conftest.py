"""Runs of the cases are gated as those of tests/pipeline."""

from __future__ import annotations

from tests.quick_libraries import quick_gate

__all__ = ["quick_gate"]

"""Beam's options, looked at by Beam some seven hundred times while a graph is built."""

from __future__ import annotations

from typing import Any, TypeVar

from apache_beam.options.pipeline_options import PipelineOptions

View = TypeVar("View", bound=PipelineOptions)


class KeptViews(PipelineOptions):
    """Options that make each view of themselves once.

    Beam asks for one at every step of a graph, and parses the whole command line for it. All views
    share their values, so one of a kind is as good as the next.
    """

    def view_as(self, cls: type[View]) -> View:
        """Return the options as Beam's options of this kind."""
        # Options refuse attributes that no argument has.
        views: dict[type[Any], Any] = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]

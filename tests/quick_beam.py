"""Some hundred small runs cost what Beam needs to put a pipeline together, not what the job does.

For each transform Beam looks through its DoFn's methods eight times and parses the whole command line some four
times. What these give does not change within a pipeline, so that the tests ask once: a small run takes a third less.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import userstate

_KEPT_DOFNS = 4_096


def make_beam_quick() -> None:
    """Remember states and timers of a DoFn, and the views of an object of options, for this
    process.
    """
    userstate.get_dofn_specs = functools.lru_cache(_KEPT_DOFNS)(userstate.get_dofn_specs)
    view_as, kept = PipelineOptions.view_as, weakref.WeakKeyDictionary()

    def remembered(self: PipelineOptions, kind: type[Any]) -> Any:
        # All views share their values, so one view of a kind is as good as the next.
        views = kept.setdefault(self, {})
        if kind not in views:
            views[kind] = view_as(self, kind)
        return views[kind]

    PipelineOptions.view_as = remembered

"""Some hundred small runs cost what Beam needs to put a pipeline together, not what the job does.

For each transform Beam looks through its DoFn's methods eight times and parses the whole command line some four
times. What these give does not change with a class and within a pipeline, so that the tests ask once: a small run takes
half as long.
"""

from __future__ import annotations

import weakref
from types import MethodType
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import userstate
from apache_beam.transforms.core import DoFn


def make_beam_quick() -> None:
    """Remember states and timers of a class of DoFns, and the views of an object of options, for
    this process.
    """
    specs_of, known = userstate.get_dofn_specs, {}

    def specs(dofn: DoFn) -> Any:
        # Beam looks at methods, which are the class's own unless the object was given one.
        if any(isinstance(given, MethodType) for given in vars(dofn).values()):
            return specs_of(dofn)
        if type(dofn) not in known:
            known[type(dofn)] = specs_of(dofn)
        return known[type(dofn)]

    userstate.get_dofn_specs = specs
    view_as, kept = PipelineOptions.view_as, weakref.WeakKeyDictionary()

    def remembered(self: PipelineOptions, kind: type[Any]) -> Any:
        # All views share their values, so one view of a kind is as good as the next.
        views = kept.setdefault(self, {})
        if kind not in views:
            views[kind] = view_as(self, kind)
        return views[kind]

    PipelineOptions.view_as = remembered

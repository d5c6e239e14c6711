"""Some hundred small runs cost what libraries need for any run, not what the job does.

For each transform Beam looks through its DoFn's methods eight times, parses the whole command line some four
times, and weighs what it keeps of side inputs by looking through all modules. Great Expectations writes down each
expectation forty times to check it once. What these give does not change with a class, within a pipeline, or with an
expectation, so that the tests ask once: a small run takes half as long.
"""

from __future__ import annotations

import functools
import weakref
from types import FunctionType, MethodType
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import statecache
from apache_beam.transforms import core, userstate
from apache_beam.transforms.core import DoFn

# Those of some twenty runs.
MOST_EXPECTATIONS = 1000


def make_beam_quick() -> None:
    """Remember states and timers of a class of DoFns, the arguments of its methods, and the views
    of an object of options, for this process; let side inputs weigh nothing.
    """
    _remember_states()
    _remember_arguments()
    _remember_views()
    # The limit of 100 MB is far above what a test has.
    statecache.get_deep_size = lambda *_: 1


def _remember_states() -> None:
    specs_of, known = userstate.get_dofn_specs, {}

    def specs(dofn: DoFn) -> Any:
        # Beam looks at methods, which are the class's own unless the object was given one.
        if any(isinstance(given, MethodType) for given in vars(dofn).values()):
            return specs_of(dofn)
        if type(dofn) not in known:
            known[type(dofn)] = specs_of(dofn)
        return known[type(dofn)]

    userstate.get_dofn_specs = specs


def _remember_arguments() -> None:
    arguments_of = core.get_function_args_defaults
    known: weakref.WeakKeyDictionary[FunctionType, Any] = weakref.WeakKeyDictionary()

    def arguments(called: Any) -> Any:
        # Of a method without the object: that is the same for all methods of a function.
        written = getattr(called, "__func__", None)
        if not (isinstance(called, MethodType) and isinstance(written, FunctionType)):
            return arguments_of(called)
        if written not in known:
            known[written] = arguments_of(called)
        names, defaults = known[written]
        return list(names), list(defaults)

    core.get_function_args_defaults = arguments


def _remember_views() -> None:
    view_as, kept = PipelineOptions.view_as, weakref.WeakKeyDictionary()

    def remembered(self: PipelineOptions, kind: type[Any]) -> Any:
        # All views share their values, so one view of a kind is as good as the next.
        views = kept.setdefault(self, {})
        if kind not in views:
            views[kind] = view_as(self, kind)
        return views[kind]

    PipelineOptions.view_as = remembered


@functools.cache
def make_gate_quick() -> None:
    """Remember how each expectation is written down; loads Great Expectations, which takes seconds,
    so that only tests of runs ask for it.
    """
    from great_expectations.expectations.expectation import Expectation

    written = Expectation.configuration.fget
    known: dict[int, tuple[Any, Any]] = {}

    def configuration(self: Any) -> Any:
        # Expectations take no weak references; a suite has far fewer than are kept here.
        kept = known.get(id(self))
        if kept is None or kept[0] is not self:
            if len(known) >= MOST_EXPECTATIONS:
                known.clear()
            kept = known[id(self)] = (self, written(self))
        return kept[1]

    Expectation.configuration = property(configuration)


@pytest.fixture(scope="session", autouse=True)
def quick_gate() -> None:
    """The quick gate, for all tests below the conftest.py that imports this fixture."""
    make_gate_quick()

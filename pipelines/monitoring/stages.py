"""The stages of a run in the order of the flow: what each does, and how the live view shows it.

The one list of them: metrics, their documentation and the live view follow from it. A stage counts
under its name with the `Meter` of its transform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage, and its line of the live view where it has one.

    name: begins the names of its metrics; about: what it does, for their documentation.
    title: of its line, empty where it has none; counts: the counter that the line shows.
    total: what that count ends at, at most: a stage and its counter.
    whole: ends before the next stage begins; the others run bucket by bucket, side by side.
    optional: not shown before it begins, since not every run has it.
    steady: counts one by one, so that a rate can be given while it runs; the others count a bucket
      at once.
    loads_model: is silent while its workers load a model.
    """

    name: str
    about: str
    title: str = ""
    counts: str = ""
    total: tuple[str, str] | None = None
    whole: bool = False
    steady: bool = True
    loads_model: bool = False
    optional: bool = False


_RECORDS = ("read", "records")
# Items that are asked about: at most as many questions, since equal ones are asked once.
_QUESTIONS = ("question", "items")
STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "recheck",
            "asks hosts whether the pictures of an earlier run have changed (live view only)",
            title="pictures checked",
            counts="done",
            total=("recheck", "asked"),
            whole=True,
            optional=True,
        ),
        Stage(
            "read",
            "reads records and normalises them",
            title="records read",
            counts="records",
            whole=True,
        ),
        Stage(
            "fetch",
            "fetches pictures of addresses and buckets (--fetch-images)",
            title="pictures fetched",
            counts="done",
            total=("fetch", "asked"),
            whole=True,
            optional=True,
        ),
        Stage(
            "locate",
            "finds picture files",
            title="pictures located",
            counts="pictures",
            whole=True,
        ),
        Stage(
            "prepare",
            "decodes pictures and looks at them with the image models",
            title="pictures prepared",
            counts="pictures",
            total=("locate", "pictures"),
            whole=True,
            loads_model=True,
        ),
        Stage("contradict", "looks for what speaks against source values"),
        Stage(
            "learn",
            "makes examples of rows with known values",
            title="examples made",
            counts="items",
            whole=True,
            loads_model=True,
            optional=True,
        ),
        Stage(
            "train",
            "trains probes",
            title="probes trained",
            counts="probes",
            whole=True,
            steady=False,
            optional=True,
        ),
        Stage("question", "makes questions of what is open"),
        Stage(
            "describe",
            "asks a language model",
            title="model answers",
            counts="answers",
            total=_QUESTIONS,
            whole=True,
            loads_model=True,
            optional=True,
        ),
        Stage(
            "rehearse",
            "counts what a language model would be asked (catalog-enrich plan)",
            title="questions counted",
            counts="answers",
            total=_QUESTIONS,
            whole=True,
            optional=True,
        ),
        Stage(
            "assemble",
            "puts a bucket's records, pictures and answers together",
            title="items assembled",
            counts="items",
            total=_RECORDS,
            steady=False,
        ),
        Stage("fill", "fills values by rules and probes"),
        Stage("validate", "checks rows"),
        Stage("text", "composes texts"),
        Stage(
            "embed",
            "makes text vectors",
            title="items embedded",
            counts="items",
            total=_RECORDS,
            loads_model=True,
        ),
        Stage(
            "write",
            "writes tables",
            title="items written",
            counts="items",
            total=_RECORDS,
            steady=False,
        ),
        Stage("gate", "checks the written snapshot"),
    )
}

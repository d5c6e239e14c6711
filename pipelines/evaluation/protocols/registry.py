"""The protocols of an evaluation: what is run on, what each fold hides, what counts as true, how
values are compared.

Request → Trial. Truth never reaches the pipeline but as cells that a fold hides again; prepared
catalogs are written to the work folder. Whatever does not fit is refused before anything runs, with
a ConfigError that says what to do.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.evaluation.protocols.catalogs import Request, Trial
from pipelines.evaluation.protocols.holdout import hidden, holdout
from pipelines.evaluation.protocols.implicitave import implicitave
from pipelines.evaluation.protocols.wdc_pave import wdc_pave

# Protocols


PROTOCOLS: dict[str, Callable[[Request], Trial]] = {
    "hidden": hidden,
    "holdout": holdout,
    "wdc-pave": wdc_pave,
    "implicitave": implicitave,
}


# Catalogs


# Truth

"""Known values of the catalog itself, hidden fold by fold."""

from __future__ import annotations

from pipelines.configuration.errors import ConfigError
from pipelines.evaluation.judge import same_value
from pipelines.evaluation.protocols.catalogs import Request, Trial, masks_of, plain_catalog
from pipelines.evaluation.truth import read_truth


def hidden(request: Request) -> Trial:
    """Values that were removed from the catalog and are kept in a file of their own; one run,
    nothing else hidden.
    """
    if request.truth is None:
        raise ConfigError(
            ["--truth is missing: name the file of removed values, or use --protocol holdout"]
        )
    ids, inputs = plain_catalog(request)
    found = read_truth(request.template, request.truth, ids, request.read_limits)
    return Trial(inputs, (None,), found.truth, same_value, request.reference, tuple(found.notes()))


def holdout(request: Request) -> Trial:
    """Each known value of a fillable attribute is hidden once, by itself, and held against what the
    source gave.
    """
    if request.truth is not None:
        raise ConfigError(
            [
                "--truth: protocol holdout takes the catalog's own values; leave it out, or use "
                "hidden"
            ]
        )
    _ids, inputs = plain_catalog(request)
    names = [
        attribute.name
        for attribute in request.template.attributes
        if attribute.fill and attribute.from_
    ]
    if not names:
        raise ConfigError(
            [
                f"template {request.template.name} has no attribute with fill: true and from:; "
                "nothing can be hidden"
            ]
        )
    masks = masks_of(names, "value", request.folds, request.seed, "--folds")
    return Trial(inputs, masks, None, same_value, request.reference)

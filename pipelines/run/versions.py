"""What decides on a snapshot besides its input, in parts with names.

If a part differs from the last snapshot's, what rests on it is rebuilt. Most parts are digests that
are only compared, so a change of how they are made rebuilds every catalog once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipelines.configuration.plan import Plan
from schemas.attributes import Attribute
from schemas.hashing import digest
from transforms.items import text
from transforms.models import (
    build_chat_model,
    build_image_encoder,
    build_tagger,
    build_text_encoder,
)
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import Encoder, encoder_identity
from transforms.models.spaces import own_image_options, own_text_options, space_identity
from transforms.readers import ReadLimits
from transforms.runtime.options import asking, rebuilding

# Raise it when the same input gives other tables: snapshots of earlier versions are then rebuilt.
VERSION = 3
DESCRIPTION = "image_description"
# Begins the part of each space of vectors.
VECTORS = "vectors "


def snapshot_versions(plan: Plan) -> dict[str, str]:
    """Part → digest or name; snapshots of equal shape differ by their input only."""
    config = plan.config
    return {
        "tables": f"{VERSION}",
        "text": f"{text.VERSION}",
        "template": plan.template.hash,
        "language model": _digest([*_asked_by(plan), rebuilding(config.ask)])
        if plan.asks_model
        else "none",
        "tagger": _digest([build_tagger(plan.models).model, build_tagger(plan.models).prompt_hash]),
        "image encoder": _own(build_image_encoder, plan.models, own_image_options(plan.models)),
        "text encoder": _own(build_text_encoder, plan.models, own_text_options(plan.models)),
        "filling": _digest(list(rebuilding(config).values())),
        "reference": _digest(
            [[split.path, split.begin, split.size_bytes] for split in plan.reference_splits]
        ),
        "pictures": _digest([config.images_root, rebuilding(config.image_limits)]),
        "limits": _digest(_limits(config.read_limits)),
    }


def _limits(limits: ReadLimits) -> dict[str, Any]:
    """Return the limits as the digests of earlier versions have them: those that came later count
    where they are not what they are by default.
    """
    usual = rebuilding(ReadLimits())
    others = {name: value for name, value in rebuilding(limits).items() if value != usual[name]}
    return {"max_record_bytes": limits.max_record_bytes, "max_raw_bytes": 64 << 20} | others


def vector_versions(plan: Plan) -> dict[str, str]:
    """Space → what its table rests on besides the items; another one rebuilds that table."""
    return {space.name: space_identity(space, plan.template, plan.models) for space in plan.spaces}


def vector_shape(plan: Plan) -> dict[str, str]:
    """Return `vector_versions` as parts of a manifest's shape."""
    return {f"{VECTORS}{name}": version for name, version in vector_versions(plan).items()}


def vector_versions_before(shape: Mapping[str, str]) -> dict[str, str]:
    """Return what `vector_versions` was for a snapshot, by the parts in its manifest."""
    # Earlier versions had the run's own encoders and no others.
    legacy = {"text": "text encoder", "image": "image encoder"}
    before = {space: shape[part] for space, part in legacy.items() if part in shape}
    named = {
        part.removeprefix(VECTORS): version
        for part, version in shape.items()
        if part.startswith(VECTORS)
    }
    return named or before


def _own(
    build: Callable[[ModelOptions, EncoderOptions], Encoder],
    models: ModelOptions,
    options: EncoderOptions,
) -> str:
    return encoder_identity(build(models, options), options)


def asked_of(plan: Plan) -> dict[str, str]:
    """Return what a language model's answer depends on: attribute, or DESCRIPTION → digest.

    Empty where none is asked.
    """
    if not plan.asks_model:
        return {}
    shared = _asked_by(plan)
    keys = {a.name: _digest([*shared, _entry(a)]) for a in plan.template.attributes if a.fill}
    return keys | {DESCRIPTION: _digest(shared)}


def _asked_by(plan: Plan) -> list[Any]:
    ask = plan.config.ask
    prompt = ask.prompt()
    return [
        build_chat_model(plan.models).model,
        prompt.key,
        prompt.hash,
        plan.template.describe.subject,
        *asking(ask).values(),
    ]


def _entry(attribute: Attribute) -> dict[str, Any]:
    """Return the part of an attribute's entry that reaches a language model or decides on its
    answer.
    """
    return attribute.model_dump(
        mode="json",
        by_alias=True,
        exclude={"from_", "required", "rules", "absent", "target_precision", "expect"},
    )


def _digest(content: Any) -> str:
    return digest(content, sort_keys=True, default=str)[:16]

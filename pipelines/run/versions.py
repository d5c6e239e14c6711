"""What decides on a snapshot besides its input, in parts with names.

If a part differs from the last snapshot's, what rests on it is rebuilt. Most parts are digests that
are only compared, so a change of how they are made rebuilds every catalog once.
"""

from __future__ import annotations

from typing import Any

from pipelines.configuration.config import Plan
from schemas.attributes import Attribute
from schemas.hashing import digest
from transforms.models import (
    build_chat_model,
    build_image_encoder,
    build_tagger,
    build_text_encoder,
)
from transforms.models.encoders import encoder_identity
from transforms.runtime.options import asking, rebuilding

# Raise it when the same input gives other tables: snapshots of earlier versions are then rebuilt.
VERSION = 3
DESCRIPTION = "image_description"


def snapshot_versions(plan: Plan) -> dict[str, str]:
    """Part → digest or name; snapshots of equal shape differ by their input only."""
    config = plan.config
    return {
        "tables": f"{VERSION}",
        "template": plan.template.hash,
        "language model": _digest([*_asked_by(plan), rebuilding(config.ask)])
        if plan.asks_model
        else "none",
        "tagger": _digest([build_tagger(plan.models).model, build_tagger(plan.models).prompt_hash]),
        "image encoder": encoder_identity(build_image_encoder(plan.models), plan.models.image),
        "text encoder": encoder_identity(build_text_encoder(plan.models), plan.models.text),
        "filling": _digest(list(rebuilding(config).values())),
        "reference": _digest(
            [[split.path, split.begin, split.size_bytes] for split in plan.reference_splits]
        ),
        "pictures": _digest([config.images_root, rebuilding(config.image_limits)]),
        "limits": _digest(
            # No option, and part of the digests of snapshots that there are.
            rebuilding(config.read_limits) | {"max_raw_bytes": config.read_limits.max_raw_bytes}
        ),
    }


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

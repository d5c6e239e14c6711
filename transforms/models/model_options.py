"""Options that language models and encoders have in common, declared once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from schemas.sections.vectors import Device, DType
from transforms.runtime.options import option


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model it is, where it is served or computed, and how.

    What has such options takes them over by `like`, under its own flags and in its own order.
    """

    model: str = option(
        "",
        "model: hub id or local folder, or the name that the endpoint serves (openai)",
        metavar="ID|DIR",
        identifies=True,
    )
    revision: str = option(
        "", "revision of a hub id, preferably a commit", metavar="REV", identifies=True
    )
    endpoint: str = option(
        "",
        "openai: base URL up to /v1, for example http://gpu-box:8000/v1",
        metavar="URL",
        identifies=True,
    )
    # The name of a variable, never the key itself: command lines and manifests are read by others.
    api_key_env: str = option(
        "OPENAI_API_KEY",
        "openai: environment variable that holds the key; keys are never options",
        metavar="NAME",
        identifies=True,
        is_variable=True,
    )
    dtype: str = option("auto", "dtype of the weights", choices=get_args(DType))
    device: str = option(
        "auto", "device of a model that this program computes itself", choices=get_args(Device)
    )
    vllm_args: str = option(
        "",
        "vllm: further arguments of its server, as one string: '--max-model-len 8192', or "
        "'--gpu-memory-utilization 0.4' where two models share a GPU",
        metavar="ARGS",
    )

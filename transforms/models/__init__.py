"""The registries of models: one line a backend, nothing heavy imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from transforms.models.contract import Describer, ImageEncoder, Model, ModelOptions, TextEncoder

DESCRIBERS: dict[str, str] = {
    "embedded": "transforms.models.embedded:EmbeddedDescriber",
    "fake": "transforms.models.fake:FakeDescriber",
}
IMAGE_ENCODERS: dict[str, str] = {
    "embedded": "transforms.models.embedded:EmbeddedImageEncoder",
    "fake": "transforms.models.fake:FakeImageEncoder",
}
TEXT_ENCODERS: dict[str, str] = {
    "embedded": "transforms.models.embedded:EmbeddedTextEncoder",
    "fake": "transforms.models.fake:FakeTextEncoder",
}


def build_describer(options: ModelOptions) -> Describer:
    """The describer that `options.describe_backend` names, not yet loaded. ValueError when there is none."""
    describer: Describer = _build(DESCRIBERS, options.describe_backend, "describe backend", options)
    return describer


def build_image_encoder(options: ModelOptions) -> ImageEncoder:
    """The encoder that `options.image_encoder` names, not yet loaded. ValueError when there is none."""
    encoder: ImageEncoder = _build(IMAGE_ENCODERS, options.image_encoder, "image encoder", options)
    return encoder


def build_text_encoder(options: ModelOptions) -> TextEncoder:
    """The encoder that `options.text_encoder` names, not yet loaded. ValueError when there is none."""
    encoder: TextEncoder = _build(TEXT_ENCODERS, options.text_encoder, "text encoder", options)
    return encoder


def missing_requirements(model: Model) -> list[str]:
    """The modules that the model needs and that are not installed."""
    return [module for module in model.requires if find_spec(module) is None]


def _build(registry: Mapping[str, str], name: str, kind: str, options: ModelOptions) -> Any:
    if name not in registry:
        raise ValueError(f"there is no {kind} {name!r}; choose one of: {', '.join(sorted(registry))}")
    module, _, class_name = registry[name].partition(":")
    return getattr(import_module(module), class_name)(options)

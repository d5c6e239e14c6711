"""Models built by their names in the registries (backends.py); nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from transforms.models.backends import (
    CHAT_MODELS,
    IMAGE_ENCODERS,
    TAGGERS,
    TEXT_ENCODERS,
    tagger_of,
)
from transforms.models.chat import ChatModel
from transforms.models.contract import ImageEncoder, Model, ModelOptions, Tagger, TextEncoder


def build_tagger(options: ModelOptions) -> Tagger:
    """Return the tagger that goes with the describe backend, not yet loaded.

    Raises ValueError when there is none.
    """
    tagger: Tagger = _build(TAGGERS, tagger_of(options.describe_backend), "tagger", options)
    return tagger


def build_chat_model(options: ModelOptions) -> ChatModel:
    """Return the language model that `options.describe_backend` names, not yet loaded.

    Raises ValueError when there is none.
    """
    paths = {name: backend.path for name, backend in CHAT_MODELS.items()}
    model: ChatModel = _build(paths, options.describe_backend, "describe backend", options)
    return model


def build_image_encoder(options: ModelOptions) -> ImageEncoder:
    """Return the encoder that `options.image_encoder` names, not yet loaded.

    Raises ValueError when there is none.
    """
    encoder: ImageEncoder = _build(IMAGE_ENCODERS, options.image_encoder, "image encoder", options)
    return encoder


def build_text_encoder(options: ModelOptions) -> TextEncoder:
    """Return the encoder that `options.text_encoder` names, not yet loaded.

    Raises ValueError when there is none.
    """
    encoder: TextEncoder = _build(TEXT_ENCODERS, options.text_encoder, "text encoder", options)
    return encoder


def missing_requirements(model: Model) -> list[str]:
    """Return the modules that the model needs and that are not installed.

    Found, not imported: importing torch takes seconds, and a broken module shows when it is loaded.
    """
    return [module for module in model.requires if find_spec(module) is None]


def _build(registry: Mapping[str, str], name: str, kind: str, options: ModelOptions) -> Any:
    if name not in registry:
        raise ValueError(
            f"there is no {kind} {name!r}; choose one of: {', '.join(sorted(registry))}"
        )
    module, _, class_name = registry[name].partition(":")
    return getattr(import_module(module), class_name)(options)

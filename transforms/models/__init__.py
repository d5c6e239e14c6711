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
from transforms.models.contract import Model, ModelOptions, Tagger
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import ImageEncoder, TextEncoder


def build_tagger(options: ModelOptions) -> Tagger:
    """Return the tagger that goes with the describe backend, not yet loaded.

    Raises ValueError when there is none.
    """
    tagger: Tagger = _class_of(TAGGERS, tagger_of(options.describe_backend), "tagger")(options)
    return tagger


def build_chat_model(options: ModelOptions) -> ChatModel:
    """Return the language model that `options.describe_backend` names, not yet loaded.

    Raises ValueError when there is none.
    """
    paths = {name: backend.path for name, backend in CHAT_MODELS.items()}
    model: ChatModel = _class_of(paths, options.describe_backend, "describe backend")(options)
    return model


def build_image_encoder(
    models: ModelOptions, options: EncoderOptions | None = None
) -> ImageEncoder:
    """Return the encoder of pictures that `options` name, not yet loaded.

    options: `models.image` where none are given. Raises ValueError when there is none.
    """
    encoder: ImageEncoder = _build_encoder(
        IMAGE_ENCODERS, "image encoder", models, options or models.image
    )
    return encoder


def build_text_encoder(models: ModelOptions, options: EncoderOptions | None = None) -> TextEncoder:
    """Return the encoder of texts that `options` name, not yet loaded.

    options: `models.text` where none are given. Raises ValueError when there is none.
    """
    encoder: TextEncoder = _build_encoder(
        TEXT_ENCODERS, "text encoder", models, options or models.text
    )
    return encoder


def missing_requirements(model: Model) -> list[str]:
    """Return the modules that the model needs and that are not installed.

    Found, not imported: importing torch takes seconds, and a broken module shows when it is loaded.
    """
    return [module for module in model.requires if not _is_there(module)]


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is a part of
        return False


def _build_encoder(
    registry: Mapping[str, str], kind: str, models: ModelOptions, options: EncoderOptions
) -> Any:
    return _class_of(registry, options.backend, kind)(options, models)


def _class_of(registry: Mapping[str, str], name: str, kind: str) -> Any:
    if name not in registry:
        raise ValueError(
            f"there is no {kind} {name!r}; choose one of: {', '.join(sorted(registry))}"
        )
    module, _, class_name = registry[name].partition(":")
    return getattr(import_module(module), class_name)

"""The registries of models: one line a backend, nothing heavy imported before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from transforms.models.chat import ChatModel
from transforms.models.contract import ImageEncoder, Model, ModelOptions, Tagger, TextEncoder

# What sees colours and text on pictures.
TAGGERS: dict[str, str] = {
    "embedded": "transforms.models.in_process.embedded:EmbeddedTagger",
    "fake": "transforms.models.fake.script:FakeTagger",
}
# No language model: what the tagger sees is the description.
TAGS_ONLY = "embedded"
# Multimodal language models.
CHAT_MODELS: dict[str, str] = {
    "fake": "transforms.models.fake.chat:FakeChatModel",
    "openai": "transforms.models.http.openai:OpenAIChatModel",
    "transformers": "transforms.models.in_process.transformers:TransformersChatModel",
    "vllm": "transforms.models.vllm.backend:VllmChatModel",
}
IMAGE_ENCODERS: dict[str, str] = {
    "embedded": "transforms.models.in_process.embedded:EmbeddedImageEncoder",
    "fake": "transforms.models.fake.script:FakeImageEncoder",
}
TEXT_ENCODERS: dict[str, str] = {
    "embedded": "transforms.models.in_process.embedded:EmbeddedTextEncoder",
    "fake": "transforms.models.fake.script:FakeTextEncoder",
}


def build_tagger(options: ModelOptions) -> Tagger:
    """The tagger that goes with the describe backend, not yet loaded.

    ValueError when there is none.
    """
    tagger: Tagger = _build(TAGGERS, options.tagger, "tagger", options)
    return tagger


def build_chat_model(options: ModelOptions) -> ChatModel:
    """The language model that `options.describe_backend` names, not yet loaded.

    ValueError when there is none.
    """
    model: ChatModel = _build(CHAT_MODELS, options.describe_backend, "describe backend", options)
    return model


def build_image_encoder(options: ModelOptions) -> ImageEncoder:
    """The encoder that `options.image_encoder` names, not yet loaded.

    ValueError when there is none.
    """
    encoder: ImageEncoder = _build(IMAGE_ENCODERS, options.image_encoder, "image encoder", options)
    return encoder


def build_text_encoder(options: ModelOptions) -> TextEncoder:
    """The encoder that `options.text_encoder` names, not yet loaded.

    ValueError when there is none.
    """
    encoder: TextEncoder = _build(TEXT_ENCODERS, options.text_encoder, "text encoder", options)
    return encoder


def missing_requirements(model: Model) -> list[str]:
    """The modules that the model needs and that are not installed."""
    return [module for module in model.requires if find_spec(module) is None]


def _build(registry: Mapping[str, str], name: str, kind: str, options: ModelOptions) -> Any:
    if name not in registry:
        raise ValueError(
            f"there is no {kind} {name!r}; choose one of: {', '.join(sorted(registry))}"
        )
    module, _, class_name = registry[name].partition(":")
    return getattr(import_module(module), class_name)(options)

"""The registries of models: one line for each backend. Paths, not classes, so that listing the
backends in the help imports none of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChatBackend:
    """A backend that answers as a multimodal language model.

    path: module and class. about: its line in the help. computes_here: whether it needs this
    machine's GPU, because a CPU is slow.
    """

    path: str
    about: str
    computes_here: bool = False


# No language model: what the tagger sees is the description.
TAGS_ONLY = "embedded"
# Multimodal language models.
CHAT_MODELS: dict[str, ChatBackend] = {
    "fake": ChatBackend("transforms.models.fake.chat:FakeChatModel", "scripted, to try things out"),
    "openai": ChatBackend(
        "transforms.models.http.openai:OpenAIChatModel",
        "a language model behind any OpenAI-compatible endpoint",
    ),
    "transformers": ChatBackend(
        "transforms.models.in_process.transformers:TransformersChatModel",
        "a language model in this process",
        computes_here=True,
    ),
    "vllm": ChatBackend(
        "transforms.models.vllm.backend:VllmChatModel",
        "a language model served by vLLM on this machine",
        computes_here=True,
    ),
}
# What reads colours and text off images. A describe backend may have a tagger of its own; the
# others share that of TAGS_ONLY.
TAGGERS: dict[str, str] = {
    "embedded": "transforms.models.in_process.embedded:EmbeddedTagger",
    "fake": "transforms.models.fake.script:FakeTagger",
}
IMAGE_ENCODERS: dict[str, str] = {
    "embedded": "transforms.models.in_process.embedded:EmbeddedImageEncoder",
    "fake": "transforms.models.fake.script:FakeImageEncoder",
    "openai": "transforms.models.http.encoder:OpenAIImageEncoder",
    "sentence-transformers": (
        "transforms.models.in_process.sentence_transformers:SentenceTransformersImageEncoder"
    ),
    "transformers": "transforms.models.in_process.auto_model:TransformersImageEncoder",
    "vllm": "transforms.models.vllm.encoder:VllmImageEncoder",
}
TEXT_ENCODERS: dict[str, str] = {
    "embedded": "transforms.models.in_process.embedded:EmbeddedTextEncoder",
    "fake": "transforms.models.fake.script:FakeTextEncoder",
    "openai": "transforms.models.http.encoder:OpenAITextEncoder",
    "sentence-transformers": (
        "transforms.models.in_process.sentence_transformers:SentenceTransformersTextEncoder"
    ),
    "transformers": "transforms.models.in_process.auto_model:TransformersTextEncoder",
    "vllm": "transforms.models.vllm.encoder:VllmTextEncoder",
}
# What a run itself works with: labels of pictures, probes, the choice among many names. Vectors of
# other encoders are for the tables only, so that choosing one leaves all values as they are.
OWN_ENCODERS = ("embedded", "fake")


def tagger_of(describe_backend: str) -> str:
    """Return the tagger that goes with a describe backend: its own, or that of TAGS_ONLY."""
    return describe_backend if describe_backend in TAGGERS else TAGS_ONLY


def describe_backends() -> dict[str, str]:
    """Return each value of --describe-backend with its line in the help."""
    about = {name: backend.about for name, backend in CHAT_MODELS.items()}
    return dict(sorted({**about, TAGS_ONLY: "tags only, no language model"}.items()))

"""Choices of the command line, or of a template's vector space, that an encoder is built from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import get_args

from schemas.sections.vectors import LongTexts, Pooling, Runtime
from transforms.models.backends import IMAGE_ENCODERS, TEXT_ENCODERS
from transforms.models.model_options import ModelChoice
from transforms.runtime.options import like, option

POOLINGS = get_args(Pooling)
LONG_TEXTS = get_args(LongTexts)
RUNTIMES = get_args(Runtime)


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """Which encoder makes vectors, and how it is driven; each backend reads what concerns it.

    Flags are those of the command line without `--text-` or `--image-`. Ranges are checked by what
    holds these options, which knows how they were given.
    """

    backend: str = option(
        "embedded",
        "what makes the vectors",
        flag="--encoder",
        choices=tuple(sorted({*TEXT_ENCODERS, *IMAGE_ENCODERS})),
        identifies=True,
    )
    model: str = like(ModelChoice, "model")
    revision: str = like(ModelChoice, "revision")
    pooling: str = option(
        "",
        "how token vectors become one (default: as the model declares it)",
        choices=POOLINGS,
        identifies=True,
    )
    prompt: str = option(
        "",
        "put before each document, such as 'passage: ' (default: as the model declares it)",
        metavar="TEXT",
    )
    query_prompt: str = option(
        "",
        "put before each query, such as 'query: ' (default: as the model declares it)",
        metavar="TEXT",
    )
    max_tokens: int = option(
        0, "most tokens of a text that are read; 0: as many as the model takes", minimum=0
    )
    long_texts: str = option(
        "cut",
        "a text with more tokens is cut, or divided into pieces whose vectors are pooled, or "
        "whose vectors stand in a table of their own",
        choices=LONG_TEXTS,
    )
    chunk_tokens: int = option(
        256,
        "most tokens of a piece that a long text is divided into; never more than the model takes",
        minimum=16,
    )
    dimension: int = option(
        0,
        "length of the vectors, shorter than the model's own only where the model declares that "
        "it was trained for it (Matryoshka); 0: the model's own",
        minimum=0,
        identifies=True,
    )
    dtype: str = like(ModelChoice, "dtype", identifies=True)
    device: str = like(ModelChoice, "device")
    runtime: str = option("torch", "what computes the model", choices=RUNTIMES, identifies=True)
    batch_tokens: int = option(
        8192, "most tokens that are computed at once, padding included", minimum=1
    )
    endpoint: str = like(ModelChoice, "endpoint")
    api_key_env: str = like(ModelChoice, "api_key_env")
    remote_code: bool = option(
        False,
        "run Python code that comes with the model; without this such a model is refused",
        identifies=True,
    )
    vllm_args: str = like(ModelChoice, "vllm_args")


def refuse_settings(options: EncoderOptions, *read: str) -> None:
    """Raise ValueError for a setting that is not one of `read`: the encoder would not heed it."""
    given = [
        field.name
        for field in fields(options)
        if field.name not in {"backend", *read} and getattr(options, field.name) != field.default
    ]
    if given:
        raise ValueError(
            f"{given[0]} is {getattr(options, given[0])!r}, which this encoder does not take; "
            "leave it out, or choose an encoder that takes a model"
        )

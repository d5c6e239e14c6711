"""From parsed options to what a run is asked to do, and to what its manifest remembers of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.configuration.config import EnrichConfig, ReuseOptions
from pipelines.configuration.errors import ConfigError
from schemas.loading import packaged_templates
from transforms.describe.budget import Budget, Prices
from transforms.describe.prompts import AskOptions
from transforms.images.files import ImageLimits
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelOptions
from transforms.readers import ReadLimits
from transforms.runtime.storage import is_local

_USER_IN_URL = re.compile(r"://[^/]*@")


def config_from(options: argparse.Namespace) -> EnrichConfig:
    """The configuration that parsed options describe.

    Raises ConfigError for limits that make no sense.
    """
    try:
        return EnrichConfig(
            template=options.template,
            input=tuple(options.input),
            output=options.output,
            images_root=options.images_root,
            image_table=tuple(options.image_table),
            input_format=options.input_format,
            reference=tuple(options.reference),
            rules=options.rules,
            probes=options.probes,
            max_labelled=options.max_labelled,
            models=ModelOptions(
                describe_backend=options.describe_backend,
                image_encoder=options.image_encoder,
                text_encoder=options.text_encoder,
                ocr=options.ocr,
                fake_script=options.fake_script,
                chat=_chat_options(options),
            ),
            ask=AskOptions(
                prompt_version=options.describe_prompt,
                two_pass=options.two_pass,
                max_pictures=options.max_pictures,
                image_px=options.describe_image_px,
                max_text_chars=options.max_text_chars,
                max_answer_tokens=options.max_answer_tokens,
                temperature=options.temperature,
                demonstrations=options.demonstrations,
            ),
            budget=Budget(
                options.max_model_calls,
                options.max_tokens,
                options.max_cost,
                _prices(options.prices),
            ),
            image_limits=ImageLimits(
                max_bytes=options.max_image_bytes,
                max_pixels=options.max_image_pixels,
                max_side_ratio=options.max_image_side_ratio,
                max_frames=options.max_image_frames,
            ),
            read_limits=ReadLimits(max_record_bytes=options.max_record_bytes),
            workers=options.workers,
            buckets=options.buckets,
            work_dir=options.work_dir,
            keep_work=options.keep_work,
            report=getattr(options, "report", False),
            options=remembered(options),
            reuse=_reuse_options(options),
        )
    except ValueError as error:
        raise ConfigError(str(error).splitlines()) from error


# What the next command on the same output is asked for anew, or is no business of the manifest.
_ABOUT_THE_RUN = (
    "accept_drift",
    "beam_args",
    "earlier",
    "full",
    "json",
    "keep_work",
    "output",
    "progress",
    "quiet",
)
_NOT_REMEMBERED = frozenset([*_ABOUT_THE_RUN, "max_cost", "max_model_calls", "max_tokens"])
_PATHS = ("template", "input", "images_root", "image_table", "reference", "work_dir", "fake_script")


def remembered(options: argparse.Namespace) -> dict[str, Any]:
    """The options of a run as its manifest keeps them, with whole paths.

    A URL that names a user is left out, as it may hold a password.
    """
    kept = {
        name: value for name, value in sorted(vars(options).items()) if name not in _NOT_REMEMBERED
    }
    kept |= {name: _whole(kept[name]) for name in _PATHS if kept.get(name)}
    return {
        name: value
        for name, value in kept.items()
        if not (isinstance(value, str) and _USER_IN_URL.search(value))
    }


def _whole(paths: Any) -> Any:
    if isinstance(paths, str):
        return (
            paths
            if not is_local(paths) or paths in packaged_templates()
            else str(Path(paths).absolute())
        )
    return [_whole(path) for path in paths]


def _reuse_options(options: argparse.Namespace) -> ReuseOptions:
    if "full" not in options:  # an evaluation goes on from nothing
        return ReuseOptions()
    return ReuseOptions(
        options.full,
        options.refresh_share,
        options.keep_old,
        options.keep,
        options.keep_deleted,
        options.accept_drift,
    )


def _chat_options(options: argparse.Namespace) -> ChatOptions:
    return ChatOptions(
        model=options.describe_model,
        revision=options.describe_revision,
        endpoint=options.endpoint,
        api_key_env=options.api_key_env,
        dtype=options.dtype,
        device=options.device,
        batch_size=options.batch_size,
        tensor_parallel_size=options.tensor_parallel_size,
        pipeline_parallel_size=options.pipeline_parallel_size,
        data_parallel_size=options.data_parallel_size,
        vllm_python=options.vllm_python,
        vllm_args=options.vllm_args,
        startup_timeout_secs=options.startup_timeout_secs,
        max_inflight=options.max_inflight,
        requests_per_min=options.requests_per_min,
        tokens_per_min=options.tokens_per_min,
        timeout_secs=options.request_timeout_secs,
        max_retries=options.max_retries,
        give_up_secs=options.give_up_secs,
        logprobs=options.logprobs,
    )


def _prices(given: Sequence[str]) -> Prices:
    """Prices from `prompt=0.15 completion=0.60`. Raises ValueError that says what is allowed."""
    prices = {}
    for entry in given:
        name, _, price = entry.partition("=")
        if name not in ("prompt", "completion", "image"):
            raise ValueError(
                f"--prices {entry}: write prompt=X, completion=Y and image=Z, per million tokens"
            )
        try:
            prices[name] = float(price)
        except ValueError:
            raise ValueError(
                f"--prices {entry}: {price!r} is no number; write for example {name}=0.15"
            ) from None
    return Prices(**prices)

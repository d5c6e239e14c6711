"""The command line and environment of a vLLM server, from the job's options."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence

from transforms.models.chat_options import ChatOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.models.vllm import supervisor

# Arguments that decide where the server is and what it is called are set by the job. Each has an
# option of the job, or no use.
RESERVED = {
    "--model": "use --describe-model",
    "--served-model-name": "use --describe-model",
    "--revision": "use --describe-revision",
    "--host": "the server listens on 127.0.0.1",
    "--port": "the server listens on a free port",
    "--uds": "the server listens on a free port",
    "--api-key": "the key is generated on each machine",
    "--root-path": "the job sends its requests to /v1",
    "--ssl-keyfile": "the server is only reached from its own machine",
    "--ssl-certfile": "the server is only reached from its own machine",
}
SHORT_NAMES = {
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
}
# A name that no server can have (RFC 2606): with it on the list of allowed hosts, no URL in a
# prompt is ever fetched.
NO_HOST = "none.invalid"


def server_command(options: ChatOptions) -> list[str]:
    """Return the words of the command; supervisor.PORT stands for the port.

    Arguments of `options.vllm_args` replace the defaults. Raises ValueError for those that they
    must not set.
    """
    extra = extra_arguments(options)
    defaults: dict[str, str | None] = {
        **_everywhere(options.model, options.dtype),
        # A model that generates no text fails at the start, instead of with each request.
        "--runner": "generate",
        "--limit-mm-per-prompt": json.dumps(
            {"image": options.max_pictures, "video": 0, "audio": 0}
        ),
        # Where white space is allowed, a model may write it until its limit. guidance, not
        # xgrammar (0.2.8, vLLM's default): that lets control characters into bounded strings and
        # forbids escapes there, so that its answers were not JSON.
        "--structured-outputs-config": json.dumps(
            {"backend": "guidance", "disable_any_whitespace": True}
        ),
    }
    if options.revision:
        defaults["--revision"] = options.revision
    for name, size in (
        ("--tensor-parallel-size", options.tensor_parallel_size),
        ("--pipeline-parallel-size", options.pipeline_parallel_size),
        ("--data-parallel-size", options.data_parallel_size),
    ):
        if size != 1:
            defaults[name] = str(size)
    return _words(options.vllm_python, defaults, extra)


def pooling_command(
    options: EncoderOptions, chat: ChatOptions, max_tokens: int, *, takes_pictures: bool
) -> list[str]:
    """Return the words of the command of an encoder's server.

    chat: whose interpreter it is. max_tokens: as many as are read, 0 for as many as vLLM finds.
    Arguments of `options.vllm_args` replace the defaults. Raises ValueError for those that they
    must not set.
    """
    defaults: dict[str, str | None] = {
        **_everywhere(options.model, options.dtype),
        # A model that makes no vectors fails at the start, instead of with each request.
        "--runner": "pooling",
    }
    if options.revision:
        defaults["--revision"] = options.revision
    if options.pooling:
        defaults["--pooler-config"] = json.dumps({"seq_pooling_type": options.pooling.upper()})
    if max_tokens:
        defaults["--max-model-len"] = str(max_tokens)
    if takes_pictures:
        defaults["--limit-mm-per-prompt"] = json.dumps({"image": 1, "video": 0, "audio": 0})
    if options.remote_code:
        defaults["--trust-remote-code"] = None
    extra = split_arguments(options.vllm_args, "vllm_args", "model")
    return _words(chat.vllm_python, defaults, extra)


def extra_arguments(options: ChatOptions) -> list[str]:
    """Return the words of `options.vllm_args`. Raises ValueError as `split_arguments`."""
    return split_arguments(options.vllm_args, "--vllm-args", "--describe-model")


def _everywhere(model: str, dtype: str) -> dict[str, str | None]:
    """Return the arguments that every server has."""
    return {
        "--model": model,
        "--served-model-name": model,
        "--host": "127.0.0.1",
        "--port": supervisor.PORT,
        "--dtype": dtype,
        # Other formats are pickles, which can run code when they are read.
        "--load-format": "safetensors",
        "--allowed-media-domains": NO_HOST,
        # A line for each request makes a log of gigabytes.
        "--disable-uvicorn-access-log": None,
    }


def _words(python: str, defaults: Mapping[str, str | None], extra: Sequence[str]) -> list[str]:
    # By name: `--limit-mm-per-prompt.image=2` replaces the whole JSON of the default.
    set_by_user = {_name(word) for word in extra}
    words = [
        word
        for name, value in defaults.items()
        if name not in set_by_user
        for word in (name, value)
        if word is not None
    ]
    program = python or sys.executable
    return [program, "-m", "vllm.entrypoints.openai.api_server", *words, *extra]


def split_arguments(given: str, option: str, model_option: str) -> list[str]:
    """Return the words of further arguments of a server.

    option, model_option: as messages name them. Raises ValueError when the string cannot be split
    into words, or sets a reserved argument.
    """
    try:
        words = shlex.split(given)
    except ValueError as error:
        raise ValueError(f"{option} {given!r} cannot be split into words: {error}") from None
    for word in words:
        if (name := _name(word)) in RESERVED:
            why = RESERVED[name].replace("--describe-model", model_option)
            raise ValueError(f"{option} must not set {name}: {why}")
    return words


def server_environment(key: str) -> dict[str, str]:
    """Return the variables that the server gets on top of this process's environment."""
    return {
        "VLLM_API_KEY": key,
        # Catalogs are private: nothing about their use leaves the machine.
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        # `python -m` would import modules of the folder that the job was started in.
        "PYTHONSAFEPATH": "1",
    }


def _name(word: str) -> str:
    """Return the option that a word sets, spelt as vLLM documents it; other words as they are.

    vLLM takes underscores for hyphens and dots for the keys of a JSON value.

    >>> _name("--limit_mm_per_prompt.image=2"), _name("-tp")
    ('--limit-mm-per-prompt', '--tensor-parallel-size')
    """
    if word.startswith("--"):
        return word.partition("=")[0].partition(".")[0].replace("_", "-")
    return SHORT_NAMES.get(word.partition("=")[0], word)

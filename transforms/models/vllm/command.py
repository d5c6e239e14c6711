"""The command line and environment of a vLLM server, from the job's options."""

from __future__ import annotations

import json
import shlex
import sys

from transforms.models.chat_options import ChatOptions
from transforms.models.vllm import supervisor

# What decides where the server is and what it is called belongs to the job; each has an option, or
# no use.
NOT_YOURS = {
    "--model": "use --describe-model",
    "--served-model-name": "use --describe-model",
    "--revision": "use --describe-revision",
    "--host": "the server listens on 127.0.0.1",
    "--port": "the server listens on a free port",
    "--uds": "the server listens on a free port",
    "--api-key": "the key is made anew for each machine",
    "--root-path": "the job asks below /v1",
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
    """The words of the command; supervisor.PORT stands for the port.

    What `options.vllm_args` set replaces the defaults. Raises ValueError for what they must not
    set.
    """
    extra = extra_arguments(options)
    defaults: dict[str, str | None] = {
        "--model": options.model,
        "--served-model-name": options.model,
        "--host": "127.0.0.1",
        "--port": supervisor.PORT,
        "--dtype": options.dtype,
        # Other formats are pickles.
        "--load-format": "safetensors",
        # A model that makes no text fails at the start, instead of with each request.
        "--runner": "generate",
        "--limit-mm-per-prompt": json.dumps(
            {"image": options.max_pictures, "video": 0, "audio": 0}
        ),
        # White space without end is what constrained decoding breaks on. xgrammar (0.2.8, vLLM's
        # default) lets control characters into bounded strings and forbids escapes there: its
        # answers were no JSON.
        "--structured-outputs-config": json.dumps(
            {"backend": "guidance", "disable_any_whitespace": True}
        ),
        "--allowed-media-domains": NO_HOST,
        # A line for each request makes a log of gigabytes.
        "--disable-uvicorn-access-log": None,
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
    set_by_user = {_name(word) for word in extra}
    words = [
        word
        for name, value in defaults.items()
        if name not in set_by_user
        for word in (name, value)
        if word is not None
    ]
    python = options.vllm_python or sys.executable
    return [python, "-m", "vllm.entrypoints.openai.api_server", *words, *extra]


def extra_arguments(options: ChatOptions) -> list[str]:
    """The words of `options.vllm_args`.

    Raises ValueError when they cannot be told apart or set what is the job's.
    """
    try:
        words = shlex.split(options.vllm_args)
    except ValueError as error:
        raise ValueError(
            f"--vllm-args {options.vllm_args!r} cannot be split into words: {error}"
        ) from None
    for word in words:
        if (name := _name(word)) in NOT_YOURS:
            raise ValueError(f"--vllm-args must not set {name}: {NOT_YOURS[name]}")
    return words


def server_environment(key: str) -> dict[str, str]:
    """What is set for the server beside what this process's environment holds."""
    return {
        "VLLM_API_KEY": key,
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        # Modules of the folder that the job was started in are not the server's.
        "PYTHONSAFEPATH": "1",
    }


def _name(word: str) -> str:
    """The option that a word sets, as vLLM documents it; other words are returned as they are.

    >>> _name("--limit_mm_per_prompt.image=2"), _name("-tp")
    ('--limit-mm-per-prompt', '--tensor-parallel-size')
    """
    if word.startswith("--"):
        return word.partition("=")[0].partition(".")[0].replace("_", "-")
    return SHORT_NAMES.get(word.partition("=")[0], word)

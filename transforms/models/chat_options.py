"""Choices of the command line that multimodal language models are built from."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.runtime.options import check_ranges, option

DTYPES = ("auto", "bfloat16", "float16", "float32")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Which model answers, where it runs and how it is driven; each backend reads what concerns it.

    Limits per minute and `max_inflight` are for all workers of a machine on the command line, and
    for one process where a model is built.
    max_pictures: most images in one request; session: names the run, so that its processes on one
    machine share one vLLM server.
    Raises ValueError that names the option of a value outside its range.
    """

    model: str = option(
        "",
        "model: hub id or local folder (vllm, transformers), or the name that the endpoint serves "
        "(openai)",
        flag="--describe-model",
        metavar="ID|DIR",
        identifies=True,
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
    )
    revision: str = option(
        "",
        "revision of a hub id, preferably a commit",
        flag="--describe-revision",
        metavar="REV",
    )
    dtype: str = option("auto", "dtype of the weights", choices=DTYPES)
    device: str = option("auto", "transformers: device that the model runs on", choices=DEVICES)
    batch_size: int = option(8, "transformers: requests computed at once", minimum=1)
    tensor_parallel_size: int = option(1, "vllm: GPUs that share each layer", minimum=1)
    pipeline_parallel_size: int = option(1, "vllm: GPUs that share the layers", minimum=1)
    data_parallel_size: int = option(1, "vllm: copies of the model", minimum=1)
    vllm_python: str = option(
        "",
        "vllm: interpreter of the environment that vLLM is installed in (default: this one)",
        metavar="FILE",
        identifies=True,
    )
    vllm_args: str = option(
        "",
        "vllm: further arguments of its server, as one string: --vllm-args='--max-model-len 8192'",
        metavar="ARGS",
    )
    startup_timeout_secs: float = option(
        900.0, "vllm: seconds until the server has to be ready", minimum=1
    )
    max_inflight: int = option(
        64, "requests in flight at once, of all workers of a machine", minimum=1
    )
    requests_per_min: float = option(0.0, "most requests a minute; 0: no limit", minimum=0)
    tokens_per_min: float = option(0.0, "most tokens a minute, estimated; 0: no limit", minimum=0)
    timeout_secs: float = option(
        120.0,
        "timeout of one attempt of one request, from connecting to its last byte",
        flag="--request-timeout-secs",
        minimum=0.001,
    )
    max_retries: int = option(4, "retries after 429, 5xx, timeout or connection loss", minimum=0)
    give_up_secs: float = option(
        60.0, "seconds without any answer after which the server counts as gone", minimum=0
    )
    logprobs: bool = option(
        True,
        "do not ask for log-probabilities, for servers that refuse them; the confidence is then "
        "the one that the model states",
    )
    max_pictures: int = 4
    session: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)

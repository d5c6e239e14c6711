"""Choices of the command line that multimodal language models are built from."""

from __future__ import annotations

import math
from dataclasses import dataclass

DTYPES = ("auto", "bfloat16", "float16", "float32")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Which model answers, where it runs and how it is driven; each backend reads what concerns it.

    model: hub id or local folder, or the name that the endpoint serves; revision: of a hub id.
    endpoint: base URL of an OpenAI-compatible server, up to and with `/v1`.
    api_key_env: environment variable that holds the key; the key itself is never an option.
    max_inflight: requests under way at once, in this process.
    requests_per_min, tokens_per_min: of this process; 0 means no limit.
    timeout_secs: for one sending of one request, from connecting to the last byte.
    give_up_secs: a server that answered nothing for so long, while asked, counts as gone for good.
    max_pictures: most pictures in one request.
    session: names the run; processes of one run on one machine share one vLLM server.
    Raises ValueError that names the option of a value outside its range.
    """

    model: str = ""
    revision: str = ""
    endpoint: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    dtype: str = "auto"
    device: str = "auto"
    batch_size: int = 8
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    vllm_python: str = ""
    vllm_args: str = ""
    startup_timeout_secs: float = 900.0
    max_inflight: int = 64
    requests_per_min: float = 0.0
    tokens_per_min: float = 0.0
    timeout_secs: float = 120.0
    max_retries: int = 4
    give_up_secs: float = 60.0
    logprobs: bool = True
    max_pictures: int = 4
    session: str = ""

    def __post_init__(self) -> None:
        for option, value, least in (
            ("--batch-size", self.batch_size, 1),
            ("--tensor-parallel-size", self.tensor_parallel_size, 1),
            ("--pipeline-parallel-size", self.pipeline_parallel_size, 1),
            ("--data-parallel-size", self.data_parallel_size, 1),
            ("--startup-timeout-secs", self.startup_timeout_secs, 1),
            ("--max-inflight", self.max_inflight, 1),
            ("--requests-per-min", self.requests_per_min, 0),
            ("--tokens-per-min", self.tokens_per_min, 0),
            ("--request-timeout-secs", self.timeout_secs, 0.001),
            ("--max-retries", self.max_retries, 0),
            ("--give-up-secs", self.give_up_secs, 0),
        ):
            if not (value >= least and math.isfinite(value)):
                raise ValueError(
                    f"{option} is {value!r}; allowed is a number of at least {least:g}"
                )

"""Choices of the command line that multimodal language models are built from."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.models.model_options import ModelChoice
from transforms.runtime.options import check_ranges, like, option


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Which model answers, where it runs and how it is driven; each backend reads what concerns it.

    Limits per minute and `max_inflight` are for all workers of a machine on the command line, and
    for one process where a model is built.
    max_pictures: most images in one request; session: names the run, so that its processes on one
    machine share one vLLM server. learnt_dir: where it is kept what servers accept.
    Raises ValueError that names the option of a value outside its range.
    """

    model: str = like(ModelChoice, "model", flag="--describe-model")
    endpoint: str = like(ModelChoice, "endpoint")
    api_key_env: str = like(ModelChoice, "api_key_env")
    server: str = option(
        "",
        "openai: which server it is, by the table in docs/models.md (default: found by the host of "
        "the endpoint)",
        metavar="NAME",
        identifies=True,
    )
    server_takes: tuple[str, ...] = option(
        (),
        "openai: what the server accepts, where neither the table nor its own answers tell, for "
        "example length_field=max_completion_tokens logprobs=no; docs/models.md has all of them",
        metavar="KIND=VALUE",
        identifies=True,
    )
    request_header: tuple[str, ...] = option(
        (),
        "openai: further headers of each request, for example OpenAI-Organization=org-1; of a "
        "secret the environment variable that holds it: api-key=env:AZURE_OPENAI_API_KEY",
        metavar="NAME=VALUE",
        identifies=True,
        is_sent=True,
    )
    request_query: tuple[str, ...] = option(
        (),
        "openai: query of each request, for example api-version=2024-10-21",
        metavar="NAME=VALUE",
        identifies=True,
        is_sent=True,
    )
    request_body: tuple[str, ...] = option(
        (),
        "openai: further fields of each request, JSON or text, for example reasoning_effort=low "
        'or \'provider={"order": ["a"]}\'; part of what an answer is kept by',
        metavar="NAME=VALUE",
        identifies=True,
    )
    thinking: str = option(
        "auto",
        "openai: whether a model that can think does so before it answers; auto: as it comes, but "
        "off where the table of servers says so",
        choices=("auto", "off"),
        identifies=True,
    )
    proxy: str = option(
        "",
        "openai: proxy by which servers of models are reached, http://HOST:PORT, or env:VARIABLE "
        "where the URL holds a password; none is taken from the environment by itself",
        metavar="URL",
        identifies=True,
    )
    ca_file: str = option(
        "",
        "openai: certificates (PEM) of authorities that are trusted besides the system's",
        metavar="FILE",
        identifies=True,
        is_path=True,
    )
    revision: str = like(ModelChoice, "revision", flag="--describe-revision")
    dtype: str = like(ModelChoice, "dtype")
    device: str = like(ModelChoice, "device")
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
    vllm_args: str = like(ModelChoice, "vllm_args")
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
    max_retries: int = option(4, "retries after 5xx, timeout or connection loss", minimum=0)
    busy_secs: float = option(
        300.0,
        "seconds for which a request is sent again while the server says that it is busy (409, "
        "425, 429, 498, 503, 529), and after which one that says nothing else is given up; 0: "
        "--max-retries alone counts",
        minimum=0,
    )
    give_up_secs: float = option(
        60.0, "seconds without any answer after which the server counts as gone", minimum=0
    )
    max_answer_bytes: int = option(
        64 << 10,
        "largest answer; of a longer one so much is kept, and it counts as unusable. A server's "
        "response, with log-probabilities, may have 32 times as much",
        minimum=1,
    )
    logprobs: bool = option(
        True,
        "do not ask for log-probabilities, for servers that refuse them; the confidence is then "
        "the one that the model states",
    )
    max_pictures: int = 4
    session: str = ""
    learnt_dir: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)

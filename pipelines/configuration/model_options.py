"""Options that say which models are used, what they are asked, what they may cost, and what an
input may be.
"""

from __future__ import annotations

import argparse

from transforms.describe.prompts import AskOptions
from transforms.images.files import ImageLimits
from transforms.models import CHAT_MODELS, IMAGE_ENCODERS, TAGS_ONLY, TEXT_ENCODERS
from transforms.models.chat_options import DEVICES, DTYPES, ChatOptions
from transforms.models.contract import ModelOptions
from transforms.probes.training import MAX_LABELLED
from transforms.readers import ReadLimits


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Declare which models are used, what they are asked, what they may cost, and what an input may
    be.
    """
    _add_filling_options(
        parser.add_argument_group("what fills missing values besides a language model")
    )
    _add_model_options(parser.add_argument_group("models"), ModelOptions())
    _add_chat_options(
        parser.add_argument_group("language model: which one, and where it runs"), ChatOptions()
    )
    _add_ask_options(parser.add_argument_group("language model: what it is asked"), AskOptions())
    _add_budget_options(parser.add_argument_group("language model: what it may cost"))
    title = "limits (what is over them is set aside or skipped, with a reason)"
    _add_limit_options(parser.add_argument_group(title), ImageLimits(), ReadLimits())


def _add_filling_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--no-rules",
        dest="rules",
        action="store_false",
        help="fill nothing from what texts state word for word",
    )
    group.add_argument(
        "--no-probes",
        dest="probes",
        action="store_false",
        help="train nothing on the rows that have a value; confidences of rules are priors then",
    )
    _number(
        group,
        "--max-labelled",
        MAX_LABELLED,
        "rows with a value that one attribute's probe learns from, at most",
    )


def add_backend_options(parser: argparse.ArgumentParser) -> None:
    """Declare which backends and which language model, for commands that look whether they are
    there.
    """
    _add_backends(parser, ModelOptions())
    _add_server(parser, ChatOptions())
    _add_vllm_python(parser)


def _add_model_options(group: argparse._ArgumentGroup, defaults: ModelOptions) -> None:
    _add_backends(group, defaults)
    group.add_argument(
        "--no-ocr",
        dest="ocr",
        action="store_false",
        help="do not read text off pictures (saves most of the time per picture)",
    )
    group.add_argument(
        "--fake-script",
        metavar="FILE",
        help="YAML file with answers and failures for the fake backend",
    )


def _add_backends(group: argparse._ActionsContainer, defaults: ModelOptions) -> None:
    group.add_argument(
        "--describe-backend",
        choices=sorted([TAGS_ONLY, *CHAT_MODELS]),
        default=defaults.describe_backend,
        help="what describes the pictures and fills what rules left open: a language model served "
        "by vLLM on this "
        "machine (vllm), behind any OpenAI-compatible endpoint (openai) or in process "
        "(transformers); "
        "embedded: tags only, no language model; fake: scripted, for rehearsals (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--image-encoder",
        choices=sorted(IMAGE_ENCODERS),
        default=defaults.image_encoder,
        help="what makes picture vectors and labels (default: %(default)s)",
    )
    group.add_argument(
        "--text-encoder",
        choices=sorted(TEXT_ENCODERS),
        default=defaults.text_encoder,
        help="what makes text vectors (default: %(default)s)",
    )


def _add_chat_options(group: argparse._ArgumentGroup, defaults: ChatOptions) -> None:
    _add_server(group, defaults)
    group.add_argument(
        "--describe-revision", default="", metavar="REV", help="revision of a hub id, best a commit"
    )
    group.add_argument(
        "--dtype",
        choices=DTYPES,
        default=defaults.dtype,
        help="of the weights (default: %(default)s)",
    )
    group.add_argument(
        "--device",
        choices=DEVICES,
        default=defaults.device,
        help="transformers: where it runs (default: %(default)s)",
    )
    _number(group, "--batch-size", defaults.batch_size, "transformers: requests computed at once")
    _number(
        group,
        "--tensor-parallel-size",
        defaults.tensor_parallel_size,
        "vllm: GPUs that share each layer",
    )
    _number(
        group,
        "--pipeline-parallel-size",
        defaults.pipeline_parallel_size,
        "vllm: GPUs that share the layers",
    )
    _number(group, "--data-parallel-size", defaults.data_parallel_size, "vllm: copies of the model")
    _add_vllm_python(group)
    group.add_argument(
        "--vllm-args",
        default="",
        metavar="ARGS",
        help="vllm: further arguments of its server, as one string: --vllm-args='--max-model-len "
        "8192'",
    )
    _number(
        group,
        "--startup-timeout-secs",
        defaults.startup_timeout_secs,
        "vllm: until the server is ready",
    )
    _number(
        group,
        "--max-inflight",
        defaults.max_inflight,
        "requests under way at once, of all workers of a machine",
    )
    _number(
        group,
        "--requests-per-min",
        defaults.requests_per_min,
        "most requests a minute; 0: no limit",
    )
    _number(
        group,
        "--tokens-per-min",
        defaults.tokens_per_min,
        "most tokens a minute, estimated; 0: no limit",
    )
    _number(
        group,
        "--request-timeout-secs",
        defaults.timeout_secs,
        "for one sending of one request, to its last byte",
    )
    _number(
        group,
        "--max-retries",
        defaults.max_retries,
        "after 429, 5xx, a timeout or a broken connection",
    )
    _number(
        group,
        "--give-up-secs",
        defaults.give_up_secs,
        "without any answer after which the server counts as gone",
    )
    group.add_argument(
        "--no-logprobs",
        dest="logprobs",
        action="store_false",
        help="do not ask for log-probabilities, for servers that refuse them; confidence is the "
        "model's words then",
    )


def _add_server(group: argparse._ActionsContainer, defaults: ChatOptions) -> None:
    group.add_argument(
        "--describe-model",
        default=defaults.model,
        metavar="ID|DIR",
        help="model: hub id or local folder (vllm, transformers), or the name that the endpoint "
        "serves (openai)",
    )
    group.add_argument(
        "--endpoint",
        default="",
        metavar="URL",
        help="openai: base URL up to /v1, for example http://gpu-box:8000/v1",
    )
    group.add_argument(
        "--api-key-env",
        default=defaults.api_key_env,
        metavar="NAME",
        help="openai: environment variable that holds the key; keys are never options (default: "
        "%(default)s)",
    )


def _add_vllm_python(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--vllm-python",
        default="",
        metavar="FILE",
        help="vllm: interpreter of the environment that vLLM is installed in (default: this one)",
    )


def _add_ask_options(group: argparse._ArgumentGroup, defaults: AskOptions) -> None:
    group.add_argument(
        "--describe-prompt",
        type=int,
        default=defaults.prompt_version,
        metavar="N",
        help="version of prompts/describe-item; 0: the latest (default: %(default)s)",
    )
    group.add_argument(
        "--two-pass",
        action="store_true",
        help="describe the pictures first, then fill from that description and the texts: two "
        "calls an item, but "
        "items that share pictures share the first",
    )
    _number(
        group,
        "--max-pictures",
        defaults.max_pictures,
        "pictures of an item that the model is shown",
    )
    _number(
        group,
        "--describe-image-px",
        defaults.image_px,
        "longer side of a picture as the model is shown it",
    )
    _number(
        group,
        "--max-text-chars",
        defaults.max_text_chars,
        "characters of an item's texts, all together",
    )
    _number(
        group,
        "--max-answer-tokens",
        defaults.max_answer_tokens,
        "tokens of an answer; a retry gets twice as many",
    )
    _number(group, "--temperature", defaults.temperature, "of sampling; 0: the likeliest token")
    _number(
        group,
        "--demonstrations",
        defaults.demonstrations,
        "items with known values, the nearest ones, that the model is shown where it is asked for "
        "values",
    )


def _add_budget_options(group: argparse._ArgumentGroup) -> None:
    for option, kind, what in (
        ("--max-model-calls", int, "requests"),
        ("--max-tokens", int, "tokens of requests and answers"),
        ("--max-cost", float, "money by --prices"),
    ):
        text = (
            f"most {what} of this run; what is open then stays unknown with reason budget, the "
            "next run goes on"
        )
        group.add_argument(option, type=kind, metavar="N", help=text)
    group.add_argument(
        "--prices",
        nargs="+",
        default=(),
        metavar="KIND=PRICE",
        help="per million tokens: prompt=0.15 completion=0.60, and image=0.30 where pictures have "
        "a price of their own",
    )


def _number(group: argparse._ArgumentGroup, option: str, default: float, what: str) -> None:
    group.add_argument(
        option,
        type=type(default),
        default=default,
        metavar="N",
        help=f"{what} (default: %(default)s)",
    )


def _add_limit_options(
    group: argparse._ArgumentGroup, images: ImageLimits, read: ReadLimits
) -> None:
    group.add_argument(
        "--max-record-bytes",
        type=int,
        default=read.max_record_bytes,
        metavar="N",
        help="largest record (default: %(default)s)",
    )
    group.add_argument(
        "--max-image-bytes",
        type=int,
        default=images.max_bytes,
        metavar="N",
        help="largest picture file (default: %(default)s)",
    )
    group.add_argument(
        "--max-image-pixels",
        type=int,
        default=images.max_pixels,
        metavar="N",
        help="most pixels, by the header (default: %(default)s)",
    )
    group.add_argument(
        "--max-image-side-ratio",
        type=float,
        default=images.max_side_ratio,
        metavar="X",
        help="longer side by shorter side (default: %(default)s)",
    )
    group.add_argument(
        "--max-image-frames",
        type=int,
        default=images.max_frames,
        metavar="N",
        help="most frames of an animation (default: %(default)s)",
    )

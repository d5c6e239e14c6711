"""The vllm backend against vLLM's own offline loop: the same requests, the same engine arguments,
one run.

Requests are made as the stage makes them: the prompt and schema of a packaged template, texts made
up for each, and one picture each, prepared on disk by the stage's own code. Two ways to have them
answered take turns:

- pipeline: VllmChatModel, which starts vLLM's server and sends it what is under way; pictures are
  read and encoded
  while the clock runs;
- offline: `LLM.chat` in the vLLM interpreter, all requests at once, from messages that are in
  memory already, with
  the server's engine arguments, the same schema through structured outputs, the same limits and
  seed.

Starting and warming up are not counted. No request comes twice, so that caches of prefixes and
pictures hold no more
than they do in a job: the system prompt. Both engines are loaded at once and take turns where
memory allows, so that neighbours in time share the machine's speed; otherwise the ways follow one
another. With a GPU, its utilisation is sampled with nvidia-smi while the pipeline runs.

Without --model the model is made here, without network, and its weights are random: they prove
throughput, never quality. On a CPU it is a tiny LLaVA. On a GPU it has the shape of Qwen2.5-VL-3B:
the published sizes, a tokenizer of like size trained on Python's sources (in a minute), and weights
that vLLM draws itself (--load-format dummy). Answers end at --max-answer-tokens, where the stage
would let them end by themselves. Prints a table, then JSON.

  python benchmarks/vllm.py --vllm-python PYTHON
  python benchmarks/vllm.py --vllm-python PYTHON --model Qwen/Qwen2.5-VL-7B-Instruct --vllm-args
  "--max-model-len 8192"
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol

# A script's folder stands first, so that this file would be taken for vLLM; and `tests` lies in the
# one above.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from schemas.loading import load_template
from schemas.questions import Question, picture_place
from tests.tiny_vlm import CHAT_TEMPLATE, SENTENCES, build_tiny_vlm
from transforms.describe.prompts import AskOptions, ShownContent, build_request
from transforms.describe.taxonomy import is_large
from transforms.images.files import picture_path
from transforms.images.prepare import Preparation
from transforms.models.chat import ChatRequest, PreparedPicture
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import Failure, ModelOptions, Picture
from transforms.models.http.chat import ChatApi
from transforms.models.vllm.backend import VllmChatModel
from transforms.models.vllm.command import extra_arguments, server_command, server_environment
from transforms.models.vllm.server import log_excerpt
from transforms.models.vllm.supervisor import PORT

HERE = Path(__file__).resolve().parent
ROUNDS, MAX_ANSWER_TOKENS, SEED = 3, 256, 11
TARGET_RATIO, TARGET_BUSY = 0.95, 90
TEXT_CHARS = 500
SAMPLE_SECS = 0.5
PATIENCE_SECS, END_SECS = 1_800.0, 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """What fits a model of this size.

    sequences: in the engine at once; weights_gib: of the model that is made.
    """

    requests: int
    warm_up: int
    image_px: int
    sequences: int
    batched_tokens: int
    max_inflight: int
    weights_gib: float
    cpu_cache_gib: int
    arguments: tuple[str, ...] = ()


SIZES = {
    "tiny": Size(128, 16, 56, 16, 2_048, 32, 0.1, 1, ("--enforce-eager",)),
    # Twice as many under way as in the engine: while one batch is decoded, the next is read, sent
    # and prepared.
    "3b": Size(1_000, 64, 672, 256, 8_192, 512, 7.6, 4),
}


# Qwen2.5-VL-3B-Instruct as published.
SHAPE: dict[str, Any] = {
    "model_type": "qwen2_5_vl",
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "torch_dtype": "bfloat16",
    "transformers_version": "4.41.2",
    "vocab_size": 151_936,
    "hidden_size": 2_048,
    "intermediate_size": 11_008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 128_000,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vision_config": {
        "model_type": "qwen2_5_vl",
        "depth": 32,
        "hidden_size": 1_280,
        "intermediate_size": 3_420,
        "num_heads": 16,
        "out_hidden_size": 2_048,
        "hidden_act": "silu",
        "in_chans": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
}
PICTURES = {
    "processor_class": "Qwen2_5_VLProcessor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "min_pixels": 3_136,
    "max_pixels": 12_845_056,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
}
# As config.json calls them: token.
TOKENS = {
    "bos_token_id": "<|endoftext|>",
    "eos_token_id": "<|im_end|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
    "vision_token_id": "<|vision_pad|>",
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
}
OTHER_TOKENS = ("<|im_start|>",)
PLAIN_TOKENS = 151_643


def build_3b(folder: Path) -> Path:
    """All that vLLM needs of a Qwen2.5-VL-3B but its weights."""
    from transformers import PreTrainedTokenizerFast

    from benchmarks.constrained_decoding import save_tokenizer

    folder.mkdir()
    save_tokenizer(folder, PLAIN_TOKENS)
    fast: Any = PreTrainedTokenizerFast
    tokenizer = fast(
        tokenizer_file=str(folder / "tokenizer.json"),
        bos_token=TOKENS["bos_token_id"],
        eos_token=TOKENS["eos_token_id"],
        pad_token=TOKENS["bos_token_id"],
        extra_special_tokens=[*TOKENS.values(), *OTHER_TOKENS],
        model_max_length=SHAPE["max_position_embeddings"],
    )
    tokenizer.chat_template = CHAT_TEMPLATE.replace(
        "<image>\n", "<|vision_start|><|image_pad|><|vision_end|>"
    )
    tokenizer.save_pretrained(folder)
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in TOKENS.items()}
    files = {
        "config.json": SHAPE | ids,
        "generation_config.json": {name: ids[name] for name in ("bos_token_id", "eos_token_id")},
        "preprocessor_config.json": PICTURES | {"image_processor_type": "Qwen2VLImageProcessor"},
        "video_preprocessor_config.json": PICTURES
        | {"video_processor_type": "Qwen2VLVideoProcessor"},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2), "utf-8")
    return folder


@dataclass(frozen=True, slots=True)
class Plan:
    """One run's choices.

    device, vllm: as the vLLM interpreter has them; made: the model's weights are random.
    """

    chat: ChatOptions
    size: Size
    rounds: int
    alternate: bool
    device: str
    vllm: str
    made: bool


def ask_vllm(python: str) -> tuple[str, str]:
    """(`cpu`, `cuda` ..., vLLM's version) of the interpreter."""
    question = (
        "import vllm; from vllm.platforms import current_platform as p; print(p.device_type, "
        "vllm.__version__)"
    )
    output = subprocess.run(
        [python, "-P", "-c", question], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    device, version = output.splitlines()[-1].split()
    return device, version


def plan_of(options: argparse.Namespace, folder: Path) -> Plan:
    device, version = ask_vllm(options.vllm_python)
    name = options.size or ("tiny" if device == "cpu" else "3b")
    size = replace(SIZES[name], requests=options.requests or SIZES[name].requests)
    size = replace(size, warm_up=min(size.warm_up, size.requests))
    model, arguments = options.model, [*size.arguments]
    weights_gib = size.weights_gib
    if model:
        weights_gib = sum(file.stat().st_size for file in Path(model).glob("*.safetensors")) / 2**30
    else:
        print(f"making a {name} model ...", file=sys.stderr, flush=True)
        model = str(
            build_tiny_vlm(folder / "model") if name == "tiny" else build_3b(folder / "model")
        )
        arguments += ["--max-model-len", "8192"]
        if name == "3b":
            arguments += ["--load-format", "dummy"]
    # vLLM's defaults for servers and for LLM differ.
    arguments += [
        "--max-num-seqs",
        str(size.sequences),
        "--max-num-batched-tokens",
        str(size.batched_tokens),
    ]
    # The size of a model that is named by a hub id is not known here.
    fits = bool(weights_gib) and 2 * (1.3 * weights_gib + size.cpu_cache_gib + 2) <= free_gib(
        device
    )
    fits = fits and "gpu-memory-utilization" not in options.vllm_args.replace("_", "-")
    alternate = {"auto": fits, "alternate": True, "in-sequence": False}[options.turns]
    if device != "cpu":
        arguments += ["--gpu-memory-utilization", "0.45" if alternate else "0.9"]
    chat = ChatOptions(
        model=model,
        vllm_python=options.vllm_python,
        vllm_args=f"{shlex.join(arguments)} {options.vllm_args}".strip(),
        dtype="auto" if options.model else "bfloat16",
        startup_timeout_secs=PATIENCE_SECS,
        timeout_secs=PATIENCE_SECS,
        give_up_secs=PATIENCE_SECS,
        max_inflight=options.max_inflight or size.max_inflight,
        max_pictures=1,
        session=f"benchmark-{os.getpid()}",
    )
    return Plan(chat, size, options.rounds, alternate, device, version, not options.model)


def free_gib(device: str) -> float:
    """Memory for engines: of the first visible GPU, else of the machine."""
    if device == "cuda":
        found = nvidia_smi("memory.free")
        return float(found[0]) / 1_024 if found else 0.0
    available = Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0]
    return int(available) / 2**20


def make_requests(
    count: int, number: int, options: argparse.Namespace, ask: AskOptions, folder: Path
) -> Requests:
    """The requests of one round, which no other round has."""
    template = load_template(options.template)
    attributes = tuple(a for a in template.attributes if a.fill and not is_large(a))
    fields = template.evidence_fields[:2]
    question = Question(attributes, places=(*fields, picture_place(1)), describe=True)
    dice = random.Random(SEED + number)
    words = " ".join(SENTENCES[5:12]).split()
    requests = []
    for position in range(count):
        digest = hashlib.sha256(f"{number} {position}".encode()).hexdigest()
        make_picture(digest, ask.image_px, folder)
        text = f"{number}-{position} {' '.join(dice.choices(words, k=TEXT_CHARS // 5))}"
        texts = dict(zip(fields, (text[:40], text[:TEXT_CHARS]), strict=False))
        shown = (PreparedPicture(digest, picture_path(str(folder), digest)),)
        requests.append(
            build_request(template, ask, question, ShownContent(texts, {}, pictures=shown))
        )
    return requests


Requests = list[ChatRequest]


def make_picture(digest: str, side_px: int, folder: Path) -> None:
    """Clouds of colour with some grain: JPEG makes of them about as many bytes as of a
    photograph.
    """
    dice = np.random.default_rng(int(digest[:15], 16))
    clouds = Image.fromarray(dice.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    large = np.asarray(
        clouds.resize((side_px, side_px * 3 // 4), Image.Resampling.BICUBIC), dtype=np.int16
    )
    grainy = np.clip(large + dice.integers(-9, 10, large.shape[:2])[..., None], 0, 255)
    Preparation(str(folder), side_px).prepare(
        Picture(digest, Image.fromarray(grainy.astype(np.uint8)))
    )


@dataclass(frozen=True, slots=True)
class Lap:
    """How a way did with one round's requests. cut: answers that ended at the limit of tokens."""

    seconds: float
    answers: int
    cut: int
    prompt_tokens: int
    completion_tokens: int


class Way(Protocol):
    def run(self, requests: Requests) -> Lap: ...


class Pipeline:
    """The backend as the stage uses it; its server starts with the first question."""

    def __init__(self, chat: ChatOptions) -> None:
        self._model = VllmChatModel(ModelOptions(describe_backend="vllm", chat=chat))

    def __enter__(self) -> Pipeline:
        self._model.load()
        return self

    def __exit__(self, *_: object) -> None:
        self._model.close()

    def run(self, requests: Requests) -> Lap:
        started = time.perf_counter()
        answers = [answer for _, answer in self._model.answer(requests)]
        seconds = time.perf_counter() - started
        good = []
        for answer in answers:
            if isinstance(answer, Failure):
                sys.exit(f"pipeline: {answer.reason}: {answer.message}")
            good.append(answer)
        if any(answer.retries for answer in good):
            print(
                "pipeline: requests were sent again, so it did more than the offline loop",
                file=sys.stderr,
            )
        return Lap(
            seconds,
            len(good),
            sum(answer.finish_reason == "length" for answer in good),
            sum(answer.prompt_tokens for answer in good),
            sum(answer.completion_tokens for answer in good),
        )


class Offline:
    """vLLM's own loop, in a process of the vLLM interpreter."""

    def __init__(self, chat: ChatOptions, folder: Path) -> None:
        self._chat, self._folder = chat, folder
        self._log = folder / "offline.log"

    def __enter__(self) -> Offline:
        python, _, _, *arguments = server_command(self._chat)
        arguments = ["0" if word == PORT else word for word in arguments]
        environment = os.environ | server_environment("")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, "-P", str(HERE / "vllm_offline.py"), *arguments],
                env=environment,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            self._hear()
        except BaseException:
            self._end(0)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(END_SECS if kind is None else 0)

    def run(self, requests: Requests) -> Lap:
        path, api = self._folder / "bodies.jsonl", ChatApi(self._chat)
        with path.open("wb") as file:
            file.writelines(api.body(request) + b"\n" for request in requests)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return Lap(**json.loads(self._hear()))

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            cause, tail = log_excerpt(self._log)
            sys.exit(f"vLLM's offline loop ended early. First error: {cause}\nLast lines:\n{tail}")
        return line

    def _end(self, patience_secs: float) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_secs)
        # Its session holds the engine's processes; when it ended by itself, none are left.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def nvidia_smi(field: str) -> list[str]:
    """That field of each visible GPU; [] without a GPU."""
    words = ["nvidia-smi", "--format=csv,noheader,nounits", f"--query-gpu={field}"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        words += ["-i", visible]
    if shutil.which(words[0]) is None:
        return []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


class Utilisation:
    """Samples of the GPUs, taken while `watched`."""

    def __init__(self) -> None:
        self.samples: list[list[float]] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        ended = Event()
        thread = Thread(target=self._watch, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def percent(self) -> float | None:
        """The mean of the busiest GPU: those that the engine does not use are idle.

        None without samples.
        """
        return max(map(statistics.mean, zip(*self.samples, strict=True))) if self.samples else None

    def _watch(self, ended: Event) -> None:
        # A card that is cut into instances (MIG) does not tell.
        with suppress(ValueError):
            while not ended.is_set() and (sample := nvidia_smi("utilization.gpu")):
                self.samples.append([float(value) for value in sample])
                ended.wait(SAMPLE_SECS)


def measure(plan: Plan, sets: Sequence[Requests], folder: Path) -> dict[str, Any]:
    laps: dict[str, list[Lap]] = {"pipeline": [], "offline": []}
    gpu = Utilisation()

    def warm(way: Way, name: str) -> Way:
        print(f"{name}: starting and warming up ...", file=sys.stderr, flush=True)
        way.run(sets[0])
        return way

    def lap(way: Way, name: str, number: int) -> None:
        with gpu.watched() if name == "pipeline" and plan.device == "cuda" else ExitStack():
            laps[name].append(way.run(sets[number]))
        print(
            f"{name}: round {number}, {laps[name][-1].seconds:.2f} s", file=sys.stderr, flush=True
        )

    makers: dict[str, AbstractContextManager[Way]] = {
        "pipeline": Pipeline(plan.chat),
        "offline": Offline(plan.chat, folder),
    }
    numbers = range(1, plan.rounds + 1)
    if plan.alternate:
        with ExitStack() as stack:
            # One after the other: an engine measures the memory that it finds.
            ways = {name: warm(stack.enter_context(maker), name) for name, maker in makers.items()}
            for number in numbers:
                for name in list(ways) if number % 2 else list(ways)[::-1]:
                    lap(ways[name], name, number)
    else:
        for name, maker in makers.items():
            with maker as way:
                warm(way, name)
                for number in numbers:
                    lap(way, name, number)
    return found(plan, laps, gpu)


def found(plan: Plan, laps: dict[str, list[Lap]], gpu: Utilisation) -> dict[str, Any]:
    def totals(field: str) -> dict[str, int]:
        return {name: sum(getattr(lap, field) for lap in ran) for name, ran in laps.items()}

    def rates(field: str) -> dict[str, float]:
        return {
            name: statistics.median(getattr(lap, field) / lap.seconds for lap in ran)
            for name, ran in laps.items()
        }

    def ratios(field: str) -> list[float]:
        # Of the rounds, not of the medians: where the ways take turns, neighbours in time share the
        # machine's speed.
        pairs = zip(laps["pipeline"], laps["offline"], strict=True)
        return [getattr(a, field) / a.seconds / (getattr(b, field) / b.seconds) for a, b in pairs]

    gpus = nvidia_smi("name") if plan.device == "cuda" else []
    return {
        "machine": f"{os.cpu_count()} cores, {', '.join(gpus) or 'no GPU'}, "
        f"Python {platform.python_version()}, vLLM {plan.vllm} on {plan.device}",
        "random_weights": plan.made,
        "turns": "alternate" if plan.alternate else "in-sequence",
        "rounds": plan.rounds,
        "requests": plan.size.requests,
        "max_inflight": plan.chat.max_inflight,
        "vllm_args": plan.chat.vllm_args,
        "requests_per_sec": rates("answers"),
        "output_tokens_per_sec": rates("completion_tokens"),
        "prompt_tokens": totals("prompt_tokens"),
        "output_tokens": totals("completion_tokens"),
        "cut_answers": totals("cut"),
        "seconds": {name: [lap.seconds for lap in ran] for name, ran in laps.items()},
        "requests_ratios": ratios("answers"),
        "tokens_ratios": ratios("completion_tokens"),
        "gpu_percent": gpu.percent(),
    }


def report(plan: Plan, result: dict[str, Any]) -> None:
    turns = "in turns" if plan.alternate else "one way after the other, not in turns"
    print(f"{result['machine']}")
    print(
        f"{plan.rounds} rounds of {plan.size.requests:,} requests, {turns}; "
        f"{plan.chat.max_inflight} under way"
    )
    print(f"engine arguments of both: {plan.chat.vllm_args}")
    if plan.made:
        print("weights are random: this says something of throughput and nothing of quality")
    for name, rate in result["requests_per_sec"].items():
        print(
            f"{name:8}{rate:9.2f} requests/s {result['output_tokens_per_sec'][name]:9.1f} output "
            "tokens/s; "
            f"{result['prompt_tokens'][name]:,} prompt and {result['output_tokens'][name]:,} "
            "output tokens, "
            f"{result['cut_answers'][name]:,} answers cut at the limit"
        )
    if len(set(result["prompt_tokens"].values())) > 1:
        print("WARNING: prompts differ in tokens, so the two ways were not asked the same")
    for name, target in (("requests", f"   target on a GPU {TARGET_RATIO}"), ("tokens", "")):
        ratios = result[f"{name}_ratios"]
        spread = f"rounds: {min(ratios):.3f} to {max(ratios):.3f}"
        print(
            f"pipeline / offline, {name:8} a second  {statistics.median(ratios):.3f} "
            f"({spread}){target}"
        )
    busy = result["gpu_percent"]
    gpu = (
        f"{busy:.0f} %"
        if busy is not None
        else "no GPU"
        if plan.device == "cpu"
        else "nvidia-smi does not tell"
    )
    print(f"GPU utilisation while the pipeline runs: {gpu}   target {TARGET_BUSY} %")
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure the vllm backend against vLLM's own offline loop."
    )
    parser.add_argument(
        "--vllm-python", required=True, help="the interpreter that vLLM is installed in"
    )
    parser.add_argument(
        "--model",
        default="",
        help="hub id or local folder; one with random weights is made if absent",
    )
    parser.add_argument(
        "--size", choices=list(SIZES), help="of the model that is made (default: tiny on a CPU)"
    )
    parser.add_argument("--requests", type=int, help="a round and way")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--template", default="product")
    parser.add_argument(
        "--max-inflight", type=int, help="requests that the pipeline has under way at once"
    )
    parser.add_argument("--max-answer-tokens", type=int, default=MAX_ANSWER_TOKENS)
    parser.add_argument(
        "--turns",
        choices=["auto", "alternate", "in-sequence"],
        default="auto",
        help="both engines loaded at once, or one after the other (default: as memory allows)",
    )
    parser.add_argument(
        "--vllm-args", default="", help="for both engines, replacing the benchmark's own"
    )
    options = parser.parse_args()
    # So that being ended ends the engines, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = plan_of(options, folder)
        extra_arguments(plan.chat)  # refuses what is not the user's to set
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(plan.size.cpu_cache_gib))
        if Path(plan.chat.model).is_dir():
            os.environ["HF_HUB_OFFLINE"] = "1"
        ask = AskOptions(
            max_pictures=1, image_px=plan.size.image_px, max_answer_tokens=options.max_answer_tokens
        )
        print("making requests ...", file=sys.stderr, flush=True)
        counts = [plan.size.warm_up, *[plan.size.requests] * plan.rounds]
        sets = [
            make_requests(count, number, options, ask, folder)
            for number, count in enumerate(counts)
        ]
        report(plan, measure(plan, sets, folder))


if __name__ == "__main__":
    main()

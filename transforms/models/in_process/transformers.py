"""A multimodal language model in this process, on the CPU or one GPU, that can answer only what the
schema allows.

`generate` runs the model; which token comes is decided in transforms.models.in_process.constrained,
request by request, so that a batch may mix schemas, limits and temperatures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from io import BytesIO
from time import perf_counter
from typing import Any

from PIL import Image

from schemas.texts import one_line
from transforms.models.chat import SEED, ChatAnswer, ChatRequest, PreparedPicture
from transforms.models.contract import MAX_MESSAGE_CHARS, Failure, ModelOptions
from transforms.models.identity import model_identity
from transforms.models.in_process.constrained import Choice, Row, Vocabulary
from transforms.models.in_process.quiet import quiet_transformers
from transforms.models.in_process.vectors import torch_device
from transforms.models.logprobs import value_probabilities
from transforms.models.metering import Tab
from transforms.models.tokens import FIRST_IMAGE_TOKENS


class TransformersChatModel:
    """`--describe-model`, a hub id or local folder of any architecture of
    `AutoModelForImageTextToText`.

    Weights are read from safetensors files only, and code that comes with a model is never run.
    Catalog text that spells a control token of the model (`<image>`, `<|im_end|>`) is read as plain
    text. Raises ValueError when no model is named.
    """

    requires = ("torch", "transformers", "llguidance")
    concurrent = False

    def __init__(self, options: ModelOptions) -> None:
        if not options.chat.model:
            raise ValueError(
                "--describe-backend transformers needs --describe-model NAME: a hub id "
                "(Qwen/Qwen2.5-VL-3B-Instruct) or a local folder"
            )
        self._chat = options.chat
        self._threads = options.threads
        self._picture_tokens: float = FIRST_IMAGE_TOKENS
        self._network: Any = None

    @cached_property
    def model(self) -> str:
        """The model's identity, read once: it is part of every request's content address, and a
        folder's files are sampled for it.
        """
        return model_identity(self._chat.model, self._chat.revision)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"dtype": self._chat.dtype, "seed": SEED}

    def load(self) -> None:
        """Read processor and weights.

        Raises ValueError, OSError or ImportError that says what is missing.
        """
        import torch
        from llguidance import LLExecutor
        from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

        # Any, because the library's own types are incomplete.
        read_processor: Any = AutoProcessor.from_pretrained
        settings: Any = GenerationConfig
        torch.set_num_threads(self._threads)
        self._device = torch_device(self._chat.device, "--device")
        source: dict[str, Any] = {
            "revision": self._chat.revision or None,
            "trust_remote_code": False,
        }
        with quiet_transformers():
            try:
                self._processor: Any = read_processor(self._chat.model, backend="pil", **source)
            # PIL is asked for, so that torchvision need not be installed. Qwen-VL and others that
            # also take videos cannot do without torchvision.
            except ImportError:
                self._processor = read_processor(self._chat.model, **source)
            network: Any = AutoModelForImageTextToText.from_pretrained(
                self._chat.model, dtype=self._chat.dtype, use_safetensors=True, **source
            )
        tokenizer = self._processor.tokenizer
        if not (getattr(self._processor, "chat_template", None) or tokenizer.chat_template):
            raise ValueError(
                f"{self._chat.model} has no chat template; name a model made for chat (-Instruct, "
                "-it)"
            )
        # So that every prompt ends where its answer begins.
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        # A checkpoint's own settings (penalties, sampling) must not stand between the scores and
        # the choice.
        network.generation_config = settings(pad_token_id=tokenizer.pad_token_id)
        text_config = network.config.get_text_config()
        self._max_positions: int = getattr(text_config, "max_position_embeddings", None) or 2**31
        # -1 is not a token: then the tokens of images count as 0.
        own_token = getattr(network.config, "image_token_id", -1)
        self._image_token: int = getattr(self._processor, "image_token_id", own_token)
        self._vocabulary = Vocabulary(tokenizer, text_config.vocab_size)
        self._executor = LLExecutor(num_threads=self._threads)
        self._network = network.eval().to(self._device)

    def close(self) -> None:
        """Release the weights."""
        self._network = None

    def answer(
        self,
        requests: Sequence[ChatRequest],
        tab: Tab[ChatRequest] | None = None,  # noqa: ARG002 nothing is sent twice
    ) -> Iterator[tuple[int, ChatAnswer | Failure]]:
        """Yield (index of the request, its answer or Failure), each batch as soon as it is done,
        longest prompts first.

        A request fails alone when its picture, its schema or its length is at fault. Raises what
        the libraries raise for a batch.
        """
        if self._network is None:
            raise RuntimeError("load() comes before answer()")
        lengths = [self._length(request) for request in requests]
        # By length, so that a batch is padded little; longest first, so that what does not fit into
        # memory shows at once.
        order = sorted(range(len(requests)), key=lengths.__getitem__, reverse=True)
        for first in range(0, len(order), self._chat.batch_size):
            yield from self._answer_batch(
                {i: requests[i] for i in order[first : first + self._chat.batch_size]}
            )

    def _length(self, request: ChatRequest) -> float:
        """Return about how many tokens the prompt has, images included."""
        text = self._processor.tokenizer.encode(request.text, add_special_tokens=False)
        return len(text) + self._picture_tokens * len(request.pictures)

    def _answer_batch(
        self, batch: Mapping[int, ChatRequest]
    ) -> Iterator[tuple[int, ChatAnswer | Failure]]:
        started = perf_counter()
        conversations: dict[int, list[Any]] = {}
        rows: dict[int, Row] = {}
        for index, request in batch.items():
            try:
                conversations[index] = conversation(request)
                rows[index] = Row(
                    self._vocabulary.matcher(request.schema),
                    request.max_tokens,
                    request.temperature,
                )
            # Whatever PIL, a file system or the grammar raises concerns this request only.
            except Exception as error:
                yield index, _failure(f"{type(error).__name__}: {error}")
        inputs, lengths = self._encode([conversations[index] for index in rows])
        too_long = {
            i: n
            for i, n in zip(rows, lengths, strict=True)
            if n + rows[i].max_tokens > self._max_positions
        }
        for index, length in too_long.items():
            message = (
                f"the prompt has {length:,} tokens and the answer may have "
                f"{rows.pop(index).max_tokens:,}; the model "
                f"takes {self._max_positions:,}: lower --max-text-chars, --max-pictures or "
                "--max-answer-tokens"
            )
            yield index, Failure("model-refused", message)
        # Again without them: the others are padded to the longest that is left.
        if too_long:
            inputs, lengths = self._encode([conversations[index] for index in rows])
        if not rows:
            return
        image_tokens = (inputs["input_ids"] == self._image_token).sum(1).tolist()
        # A better estimate for `_length` than the first one: sizes within a catalog are alike.
        if pictures := sum(len(batch[index].pictures) for index in rows):
            self._picture_tokens = sum(image_tokens) / pictures
        self._decode(inputs, list(rows.values()))
        for (index, row), length, of_images in zip(
            rows.items(), lengths, image_tokens, strict=True
        ):
            yield index, self._answer(row, length, of_images, row.ended_at - started)

    def _encode(self, conversations: Sequence[list[Any]]) -> tuple[Any, list[int]]:
        """Return the network's inputs, padded on the left, and how many tokens each prompt has."""
        if not conversations:
            return {}, []
        inputs = self._processor.apply_chat_template(
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
            # Else a title could end the user's turn, or refer to an image that does not exist.
            sanitize_control_tokens=True,
        )
        return inputs, inputs["attention_mask"].sum(1).tolist()

    def _decode(self, inputs: Any, rows: list[Row]) -> None:
        """Run the network until every row has its answer."""
        import torch
        from transformers import GenerationConfig

        settings: Any = GenerationConfig
        choice = Choice(rows, self._executor, self._vocabulary.size)
        longest = max(row.max_tokens for row in rows)
        pad: Any = self._processor.tokenizer.pad_token_id
        with torch.inference_mode():
            self._network.generate(
                **inputs.to(self._device, self._network.dtype),
                generation_config=settings(
                    max_new_tokens=longest, do_sample=False, pad_token_id=pad
                ),
                logits_processor=[choice.pick],
                # The processor sees every step first, so that the answers' ends are known here.
                stopping_criteria=[choice.ended],
            )

    def _answer(
        self, row: Row, length: int, image_tokens: int, seconds: float
    ) -> ChatAnswer | Failure:
        if row.problem:
            return _failure(row.problem)
        pieces = [self._vocabulary.piece(token) for token in row.tokens]
        # An answer that was cut off may end within a character.
        content = b"".join(pieces).decode(errors="ignore")
        scored = [
            {"bytes": list(piece), "logprob": logarithm}
            for piece, logarithm in zip(pieces, row.logarithms, strict=True)
        ]
        return ChatAnswer(
            content,
            "stop" if row.complete else "length",
            prompt_tokens=length,
            image_tokens=image_tokens,
            completion_tokens=len(row.tokens),
            seconds=seconds,
            probabilities=value_probabilities(content, scored) if self._chat.logprobs else {},
        )


def conversation(request: ChatRequest) -> list[dict[str, Any]]:
    """Return the request's turns as chat templates take them, images decoded.

    Raises what reading or decoding raises.
    """
    pictures = [{"type": "image", "image": _image(picture)} for picture in request.pictures]
    user = {"role": "user", "content": [*pictures, {"type": "text", "text": request.text}]}
    system = {"role": "system", "content": [{"type": "text", "text": request.system}]}
    return [system, user] if request.system else [user]


def _image(picture: PreparedPicture) -> Image.Image:
    with Image.open(BytesIO(picture.read())) as image:
        return image.convert("RGB")


def _failure(message: str) -> Failure:
    return Failure("backend-failed", one_line(message, MAX_MESSAGE_CHARS, " ..."))

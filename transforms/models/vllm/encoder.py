"""vLLM's pooling models: encoders that its server computes on the worker machine, shared by the
run's processes there. The server may run beside that of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar

from transforms.models.contract import ModelGoneError, ModelOptions
from transforms.models.encoder_options import EncoderOptions, refuse_settings
from transforms.models.encoders import EncoderCard, Modality
from transforms.models.http.calls.upstream import UpstreamGoneError
from transforms.models.http.client import ApiClient
from transforms.models.http.embeddings import EmbeddingsApi
from transforms.models.http.encoder import Client, EndpointEncoder
from transforms.models.in_process.checkpoint import Checkpoint
from transforms.models.in_process.hub import is_folder_name
from transforms.models.vllm.command import pooling_command, split_arguments
from transforms.models.vllm.server import VllmServer


class PoolingServer:
    """A vLLM server of this machine with a pooling model; the first request starts or joins it.

    max_tokens: as many as are read, 0 for as many as vLLM finds.
    """

    def __init__(
        self, options: EncoderOptions, models: ModelOptions, *, takes_pictures: bool
    ) -> None:
        self._options, self._chat = options, models.chat
        self._takes_pictures = takes_pictures
        self.max_tokens = 0
        self._server: VllmServer | None = None
        self._client: Client | None = None

    def connect(self) -> Client:
        self.close()
        options = self._options
        command = pooling_command(
            options, self._chat, self.max_tokens, takes_pictures=self._takes_pictures
        )
        try:
            self._server = VllmServer(self._chat, command)
            key = self._server.key()
        except UpstreamGoneError as error:
            raise ModelGoneError(str(error)) from None
        settings = {"dimensions": options.dimension} if options.dimension else {}
        # Cut where the model ends: nothing is refused as too long.
        api = EmbeddingsApi(options.model, settings, key, {"truncate_prompt_tokens": -1})
        self._client = ApiClient(api, self._chat, self._server, key)
        return self._client

    def close(self) -> None:
        # The client first, so that no request is under way when the server ends.
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._server is not None:
            self._server.close()
            self._server = None


class _VllmEncoder(EndpointEncoder):
    """A hub id or a local folder in a vLLM server of this machine.

    Raises ValueError that says what is wrong when an option is missing or the model's files do not
    fit; those of a hub id are looked at when `card` or `dimension` is asked for.
    """

    modality: ClassVar[Modality]

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        refuse_settings(
            options,
            "model",
            "revision",
            "pooling",
            "prompt",
            "query_prompt",
            "max_tokens",
            "long_texts",
            "chunk_tokens",
            "dimension",
            "dtype",
            "batch_tokens",
            "remote_code",
            "vllm_args",
        )
        if not options.model:
            raise ValueError(
                f"no model is named; give --{self.modality}-model a hub id or a folder"
            )
        split_arguments(options.vllm_args, "vllm_args", "model")
        self._pooling = PoolingServer(options, models, takes_pictures=self.modality == "image")
        super().__init__(options, models, self._pooling)
        self._tokenizer: Any = None
        if is_folder_name(options.model):
            _ = self.checkpoint

    @property
    def requires(self) -> tuple[str, ...]:
        vllm = () if self._models.chat.vllm_python else ("vllm",)
        hub = () if is_folder_name(self._options.model) else ("huggingface_hub",)
        return ("aiohttp", *vllm, *hub)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What the model's files say. Raises ValueError when they do not fit."""
        files = Checkpoint.of(self._options)
        if self.modality not in files.modalities:
            reads = " and ".join(files.modalities)
            raise ValueError(f"{files.id} reads {reads}, not {self.modality}; name another model")
        if not (self._options.pooling or files.pooling):
            raise ValueError(
                f"{files.id} does not declare how token vectors become one; give "
                f"--{self.modality}-pooling as the model's description says"
            )
        return files

    @cached_property
    def model(self) -> str:
        if is_folder_name(self._options.model):
            return self.checkpoint.model
        return f"{self._options.model}@{self._options.revision or 'main'}"

    @cached_property
    def _described(self) -> EncoderCard:
        files, reads_texts = self.checkpoint, "text" in self.checkpoint.modalities
        return EncoderCard(
            id=files.id,
            revision=files.commit,
            weights_sha256=files.weights_sha256,
            library="vllm",
            modalities=files.modalities,
            pooling=self._options.pooling or files.pooling,
            max_tokens=files.max_tokens if reads_texts else 0,
            document_prompt=files.prompt("document") if reads_texts else "",
            query_prompt=files.prompt("query") if reads_texts else "",
            dimension=files.dimension,
            dtype=self._options.dtype,
        )

    @property
    def _cut_at(self) -> int:
        return 0  # the server cuts, and knows the tokens

    def load(self) -> None:
        """Create the client, and the tokenizer where its library is there; the server is joined or
        started by the first request.
        """
        self._pooling.max_tokens = self._described.max_tokens
        tokenizer = self.checkpoint.network / "tokenizer.json"
        if find_spec("tokenizers") is not None and tokenizer.is_file():
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(tokenizer))
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
        super().load()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has; an estimate where there is no fast tokenizer."""
        if self._tokenizer is None:
            return super().count_tokens(texts)
        return [len(each.ids) for each in self._tokenizer.encode_batch(list(texts))]


class VllmTextEncoder(_VllmEncoder):
    """Vectors of texts."""

    modality = "text"


class VllmImageEncoder(_VllmEncoder):
    """Vectors of pictures, and of texts in their space where the model reads both."""

    modality = "image"

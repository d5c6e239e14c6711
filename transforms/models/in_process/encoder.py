"""What the encoders of sentence-transformers and of transformers share: options, card, batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, ClassVar

from schemas.texts import one_line
from transforms.models.contract import (
    MAX_MESSAGE_CHARS,
    Failure,
    ModelOptions,
    Picture,
    Vector,
)
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import EncoderCard, ImageEncoding, Modality, Role, Span
from transforms.models.in_process.checkpoint import Checkpoint
from transforms.models.in_process.quiet import quiet_transformers
from transforms.models.in_process.vectors import (
    IMAGE_BATCH,
    token_batches,
    torch_device,
    unit_vectors,
)

# What reads one token reads at least these characters, so that a huge cell need not be tokenized
# whole: pieces of words are shorter than that.
MAX_TOKEN_CHARS = 64
_READS = {"text": "texts", "image": "pictures"}


class LocalEncoder:
    """A model of a folder or hub id that runs in this process.

    Raises ValueError when no model is named, and for files that do not fit: what is small of a hub
    id is fetched for that.
    """

    backend: ClassVar[str]
    library: ClassVar[str]
    modality: ClassVar[Modality]
    requires: tuple[str, ...] = ()

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        if not options.model:
            raise ValueError(
                f"no model is named; give --{self.modality}-model a hub id such as "
                "intfloat/multilingual-e5-small, or a folder"
            )
        self._options, self._threads = options, models.threads
        self._network: Any = None
        self._check_options()
        # Without the library that is asked for first, which `requires` names.
        if find_spec("transformers") is not None:
            self._check_fit()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.of(self._options)

    @cached_property
    def model(self) -> str:
        """Read once: a folder's files are sampled for it."""
        return self.checkpoint.model

    @property
    def dimension(self) -> int:
        return self._check_fit().dimension

    @cached_property
    def card(self) -> EncoderCard:
        files, reads_texts = self._check_fit(), "text" in self.checkpoint.modalities
        return EncoderCard(
            id=files.id,
            revision=files.commit,
            weights_sha256=files.weights_sha256,
            library=f"{self.library} {version(self.library)}",
            modalities=files.modalities,
            pooling=self._pooling,
            max_tokens=files.max_tokens if reads_texts else 0,
            document_prompt=files.prompt("document") if reads_texts else "",
            query_prompt=files.prompt("query") if reads_texts else "",
            dimension=files.dimension,
            dtype=self._dtype,
        )

    def load(self) -> None:
        """Read tokenizer and weights. Raises ValueError that says what is wrong, on one line."""
        import torch

        torch.set_num_threads(self._threads)
        self._device = torch_device(self._options.device)
        # Once more with the weights of a hub id.
        self.checkpoint = Checkpoint.of(self._options, weights=True)
        files = self._check_fit()
        with quiet_transformers():
            try:
                self._load(files)
            # Whatever a model library raises concerns this model; its texts have many lines.
            except Exception as error:
                said = one_line(f"{type(error).__name__}: {error}", MAX_MESSAGE_CHARS, " ...")
                raise ValueError(
                    f"the model {self._options.model!r} cannot be loaded: {said}"
                ) from error
        if "text" in files.modalities:
            self._check_prompts(files)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has, uncut, without its prompt."""
        return [len(tokens) for tokens in self._tokens(texts)] if texts else []

    def encode_texts(self, texts: Sequence[str], role: Role = "document") -> list[Vector | Failure]:
        """Return float32 vectors of shape (dimension,); a text is cut at `max_tokens`.

        Neighbours in the batch change a vector by less than 1e-4 (in float32 by less than 1e-5).
        """
        self._check_reads("text")
        if not texts:
            return []
        prompt, most = self.checkpoint.prompt(role), self.checkpoint.max_tokens
        # What is beyond all that can be read is not even divided into tokens.
        read = [text[: most * MAX_TOKEN_CHARS] if most else text for text in texts]
        lengths = self._padded_lengths(read, prompt)

        def encode(batch: Sequence[int]) -> list[Vector | Failure]:
            rows = self._encode([read[place] for place in batch], prompt, role)
            return self._unit_vectors(rows, "embed-failed")

        return _by_batches(len(texts), token_batches(lengths, self._options.batch_tokens), encode)

    def encode_images(self, pictures: Sequence[Picture]) -> list[ImageEncoding | Failure]:
        """Return float32 vectors of shape (dimension,), without labels."""
        self._check_reads("image")
        found: list[ImageEncoding | Failure] = []
        for begin in range(0, len(pictures), IMAGE_BATCH):
            rows = self._see([picture.image for picture in pictures[begin : begin + IMAGE_BATCH]])
            found += [
                each if isinstance(each, Failure) else ImageEncoding(each)
                for each in self._unit_vectors(rows, "backend-failed")
            ]
        return found

    def encode_spans(self, text: str, spans: Sequence[Span]) -> list[Vector]:
        """Return the vector of each part of a text, in the context of the whole text as far as it
        is read: of its tokens, pooled as those of a text are.

        spans: begin and end in characters. Raises ValueError where the model pools by a class token
        or in a way of its own, and for a span whose tokens are beyond what is read.
        """
        import torch

        if self._pooling not in ("mean", "last"):
            raise ValueError(
                f"{self.checkpoint.id} pools by {self._pooling!r}, so that its vectors of tokens "
                "are none of texts; choose another --text-long-texts, or a model that pools by "
                "mean or last"
            )
        rows = torch.cat(self._encode_spans(text, self.checkpoint.prompt("document"), spans))
        vectors = self._unit_vectors(rows, "embed-failed")
        for vector in vectors:
            if isinstance(vector, Failure):
                raise ValueError(vector.message)  # noqa: TRY004 the value, not its type, is wrong
        return [vector for vector in vectors if not isinstance(vector, Failure)]

    def _unit_vectors(self, rows: Any, reason: str) -> list[Vector | Failure]:
        """Return a vector of length one for each row. Raises ValueError for rows of another length
        than the model's files say: their beginning would be no Matryoshka vector.
        """
        files = self.checkpoint
        if rows.shape[1] != files.width:
            raise ValueError(
                f"{files.id} made vectors of {rows.shape[1]} numbers; its files say {files.width}"
            )
        return unit_vectors(rows, files.dimension, reason)

    @property
    @abstractmethod
    def _pooling(self) -> str:
        """How token vectors become one: as asked for, else as declared."""

    @property
    def _dtype(self) -> str:
        # Single precision unless asked for, so that vectors do not depend on the machine.
        return "float32" if self._options.dtype == "auto" else self._options.dtype

    def _check_options(self) -> None:
        """Raise ValueError for an option that this backend does not have."""

    def _check_fit(self) -> Checkpoint:
        """Return the files. Raises ValueError when they do not go with the options."""
        files = self.checkpoint
        if self.modality not in files.modalities:
            reads, wanted = _READS[files.modalities[0]], _READS[self.modality]
            raise ValueError(
                f"{files.id} reads {reads} and has no part for {wanted}; name a model that reads "
                f"{wanted} with --{self.modality}-model"
            )
        _ = self._pooling, files.dimension
        if "text" in files.modalities:
            _ = files.max_tokens
        return files

    def _check_reads(self, modality: Modality) -> None:
        if self._network is None:
            raise RuntimeError("load() comes before encoding")
        if modality not in self.checkpoint.modalities:
            raise ValueError(f"{self.checkpoint.id} does not read {_READS[modality]}")

    def _check_prompts(self, files: Checkpoint) -> None:
        """Raise ValueError when a prompt leaves no room for a text."""
        for role, option in (("document", "prompt"), ("query", "query_prompt")):
            prompt, most = files.prompt(role), files.max_tokens
            length = len(self._tokens([prompt])[0]) if prompt else 0
            if most and length >= most:
                raise ValueError(
                    f"{option} {prompt!r} has {length} tokens and {files.id} reads {most} "
                    "(max_tokens), so that no text would be read; shorten the prompt or raise "
                    "max_tokens"
                )

    def _padded_lengths(self, texts: Sequence[str], prompt: str) -> list[int]:
        """Return how many tokens each text takes in a batch."""
        most = self.checkpoint.max_tokens
        prompted = [prompt + text for text in texts]
        lengths = [len(tokens) for tokens in self._tokens(prompted)]
        return [min(length, most) if most else length for length in lengths]

    @abstractmethod
    def _load(self, files: Checkpoint) -> None:
        """Set the network and what prepares its input."""

    @abstractmethod
    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text, uncut."""

    @abstractmethod
    def _encode(self, texts: Sequence[str], prompt: str, role: Role) -> Any:
        """Return a tensor of shape (texts, width) of one batch."""

    @abstractmethod
    def _see(self, images: Sequence[Any]) -> Any:
        """Return a tensor of shape (images, width) of one batch of PIL images."""

    @abstractmethod
    def _encode_spans(self, text: str, prompt: str, spans: Sequence[Span]) -> list[Any]:
        """Return a tensor of shape (1, width) for each span of the text."""


def _by_batches(
    count: int,
    batches: Any,
    encode: Callable[[Sequence[int]], list[Vector | Failure]],
) -> list[Vector | Failure]:
    """Return what `encode` makes of each batch of places, in the order of the places."""
    found: dict[int, Vector | Failure] = {}
    for batch in batches:
        found.update(zip(batch, encode(batch), strict=True))
    return [found[place] for place in range(count)]

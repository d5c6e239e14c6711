"""Encoders that a server computes: the `openai` backend, and what `vllm` shares with it.

Texts go in batches, several at a time. A batch that the server refuses, or answers with something
else than its vectors, is halved until the text that it cannot take is alone; a text that is too
long for it is shortened until it fits. What cannot be mended fails for that text; a key or a model
that the server does not know, a server that is gone, and vectors of another length end the run.
"""

from __future__ import annotations

import re
import weakref
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from transforms.models.budget import UNLIMITED, Spending
from transforms.models.contract import (
    Failure,
    ModelGoneError,
    ModelOptions,
    Picture,
    Vector,
)
from transforms.models.encoder_options import EncoderOptions, refuse_settings
from transforms.models.encoders import EncoderCard, ImageEncoding, Modality, Role
from transforms.models.http.calls.upstream import FixedUpstream
from transforms.models.http.client import ApiClient
from transforms.models.http.connection import shared_connection
from transforms.models.http.embeddings import EmbeddingRequest, Embeddings, EmbeddingsApi
from transforms.models.http.openai import base_url, check_key_name, read_key
from transforms.models.metering import (
    LEAST_IMAGE_TOKENS,
    MOST_ADDED_TOKENS,
    MOST_IMAGE_TOKENS,
    Lost,
    Reservations,
    Stated,
    believed,
    size_of,
)
from transforms.models.tokens import first_tokens, text_tokens

# TEI's default limit; OpenAI's is 2,048.
MAX_BATCH_TEXTS = 32
# Failures that may be one input's doing.
_DIVIDE_AFTER = frozenset({"model-refused", "model-error", "model-timeout", "backend-failed"})
# A refusal that may be of the input's length, in the words of OpenAI, vLLM, TEI and Infinity.
_TOO_LONG = re.compile(r"HTTP 413|too long|too large|length|tokens?\b|context", re.IGNORECASE)
# Of what was refused as too long, the part that is tried next.
SHORTER = 0.7
LEAST_TOKENS = 16
# What a budget reserves for a token that was estimated, and what it is for.
RESERVED_PER_TOKEN = 4 / 3
ASKED_WITH = "a red mug"

Client = ApiClient[EmbeddingRequest, Embeddings]


class Server(Protocol):
    """Where an encoder's server is and what is sent to it."""

    def connect(self) -> Client:
        """Return a client of the server. Raises ValueError or UpstreamGoneError."""
        ...

    def close(self) -> None:
        """Leave the server."""
        ...


@dataclass(slots=True)
class _Part:
    """Inputs of one request: their places in what was asked for, and how much that reserves."""

    places: list[int]
    request: EmbeddingRequest
    was_cut: bool = False

    def halves(self) -> Iterator[_Part]:
        middle = len(self.places) // 2
        for part in (slice(None, middle), slice(middle, None)):
            yield _Part(self.places[part], EmbeddingRequest(self.request.texts[part]))

    def shorter(self) -> _Part:
        text = self.request.texts[0]
        cut = first_tokens(text, max(1, int(text_tokens(text) * SHORTER)))
        return _Part(self.places, EmbeddingRequest((cut,)), was_cut=True)


class EmbeddingSession:
    """Sends inputs, mends what can be mended, keeps to the budget and counts."""

    def __init__(self, client: Client, spending: Spending, batch_tokens: int) -> None:
        self._client, self._budget = client, spending.budget
        self._batch_tokens = batch_tokens
        self.counts: Counter[str] = Counter()
        self.is_limited = self._budget.limit != UNLIMITED
        self._reservations: Reservations[EmbeddingRequest] = Reservations(
            spending.share() if self.is_limited else None,
            lambda request: self._budget.embedding_amount(reserved_tokens(request)),
            self._lost,
        )

    def embed_texts(self, texts: Sequence[str]) -> list[Vector | Failure]:
        """Return a vector of length one, or a Failure, for each text, in order."""
        return self._embed(len(texts), list(self._batches(texts)))

    def embed_pictures(self, pictures: Sequence[Picture]) -> list[Vector | Failure]:
        """Return a vector of length one, or a Failure, for each picture, in order."""
        parts = [_Part([n], EmbeddingRequest(picture=each)) for n, each in enumerate(pictures)]
        return self._embed(len(pictures), parts)

    def _batches(self, texts: Sequence[str]) -> Iterator[_Part]:
        part, tokens = _Part([], EmbeddingRequest()), 0
        for place, text in enumerate(texts):
            more = text_tokens(text)
            full = tokens + more > self._batch_tokens or len(part.places) == MAX_BATCH_TEXTS
            if part.places and full:
                yield part
                part, tokens = _Part([], EmbeddingRequest()), 0
            part.places.append(place)
            part.request = EmbeddingRequest((*part.request.texts, text))
            tokens += more
        if part.places:
            yield part

    def _embed(self, size: int, parts: list[_Part]) -> list[Vector | Failure]:
        found: dict[int, Vector | Failure] = {}
        while parts:
            sent, parts = self._affordable(parts)
            if not sent:
                spent = Failure("budget", "the run's budget was spent before this was encoded")
                found |= {place: spent for part in parts for place in part.places}
                break
            requests = [part.request for part in sent]
            for index, answer in self._client.answer(requests, self._reservations):
                part = sent[index]
                self._account(part, answer)
                if isinstance(answer, Failure):
                    parts += self._mended(part, answer, found)
                    continue
                self.counts["cut"] += part.was_cut
                found |= dict(zip(part.places, answer.vectors, strict=True))
        return [found[place] for place in range(size)]

    def _affordable(self, parts: list[_Part]) -> tuple[list[_Part], list[_Part]]:
        """Return the parts that may be sent now, and those that may be once these are settled."""
        count = 0
        while count < len(parts) and self._reservations.reserve(
            parts[count].request, within_budget=self.is_limited
        ):
            count += 1
        return parts[:count], parts[count:]

    def _lost(self, request: EmbeddingRequest, stated: Stated) -> Lost:
        """Return what an attempt took that brought no vectors."""
        tokens, estimated = counted_tokens(stated.prompt_tokens, request)
        return Lost(1, self._budget.embedding_amount(tokens), estimated)

    def _account(self, part: _Part, answer: Embeddings | Failure) -> None:
        tokens = estimated = 0
        if not isinstance(answer, Failure):
            tokens, estimated = counted_tokens(answer.tokens, part.request)
        lost = self._reservations.end(part.request, lambda _: self._budget.embedding_amount(tokens))
        self.counts += Counter(
            calls=1,
            failures=int(isinstance(answer, Failure)),
            prompt_tokens=tokens,
            estimated_tokens=estimated + lost.estimated_tokens,
            lost_attempts=lost.attempts,
            lost_tokens=lost.tokens,
        )
        if not isinstance(answer, Failure):
            self.counts["retries"] += answer.retries
            self.counts["request_msecs"] += round(answer.seconds * 1000)

    def _mended(
        self, part: _Part, failure: Failure, found: dict[int, Vector | Failure]
    ) -> list[_Part]:
        """Return what is sent instead of a part that failed; none where the failure stands.

        Raises ModelGoneError when the server was given up.
        """
        if failure.reason == "model-unavailable":
            raise ModelGoneError(failure.message)
        if len(part.places) > 1 and failure.reason in _DIVIDE_AFTER:
            return list(part.halves())
        is_long = failure.reason == "model-refused" and _TOO_LONG.search(failure.message)
        if is_long and part.request.tokens > LEAST_TOKENS and part.request.texts:
            return [part.shorter()]
        found |= dict.fromkeys(part.places, failure)
        return []


def reserved_tokens(request: EmbeddingRequest) -> int:
    """Return what a request takes at most, for the budget."""
    return round(request.tokens * RESERVED_PER_TOKEN) + request.size


def counted_tokens(stated: int, request: EmbeddingRequest) -> tuple[int, int]:
    """Return the tokens that count, and how many of them are an estimate: what a server states
    counts where it can be a count of the request.
    """
    size = size_of(*request.texts)
    pictures = int(request.picture is not None)
    least = size.least_tokens + pictures * LEAST_IMAGE_TOKENS
    if believed(stated, least, size.bytes + pictures * MOST_IMAGE_TOKENS + MOST_ADDED_TOKENS):
        return stated, 0
    estimate = reserved_tokens(request)
    return estimate, estimate


class EndpointEncoder(ABC):
    """An encoder that `server` computes, of texts and of pictures.

    Raises ModelGoneError from whatever encodes, when the server can answer nothing more.
    """

    def __init__(self, options: EncoderOptions, models: ModelOptions, server: Server) -> None:
        self._options, self._models, self._server = options, models, server
        self._session: EmbeddingSession | None = None
        self._counts: Counter[str] = Counter()
        self._dimension = dict(models.dimensions).get(self.address, 0)

    @property
    def requires(self) -> tuple[str, ...]:
        return ("aiohttp",)

    @property
    @abstractmethod
    def _described(self) -> EncoderCard:
        """The card, with a dimension of 0 where the server has to be asked."""

    @property
    def address(self) -> str:
        options = self._options
        return " ".join(
            (
                options.backend,
                options.endpoint,
                options.model,
                options.revision,
                str(options.dimension),
            )
        )

    @property
    def _cut_at(self) -> int:
        """Tokens at which a text is cut here, by estimate; 0: its server does that, or refuses."""
        return self._options.max_tokens

    @property
    def batches_at_once(self) -> int:
        return self._models.chat.max_inflight

    @property
    def model(self) -> str:
        revision = f"@{self._options.revision}" if self._options.revision else ""
        return f"{self._options.model}{revision}"

    @property
    def card(self) -> EncoderCard:
        return replace(self._described, dimension=self.dimension)

    @property
    def dimension(self) -> int:
        """Length of the vectors; the server is asked for one where it is not known.

        Raises ValueError that says why there is none.
        """
        if not self._dimension:
            self._dimension = self._described.dimension or self._asked_dimension()
        return self._dimension

    def load(self) -> None:
        """Create the client. Raises ValueError when the key holds what a header cannot carry."""
        self.close()
        spending = self._models.spending or Spending()
        self._session = EmbeddingSession(
            self._server.connect(), spending, self._options.batch_tokens
        )
        # Who shares an encoder cannot know who is the last to use it.
        weakref.finalize(self, self._server.close)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text is likely to have: servers differ in how they tell."""
        return [text_tokens(text) for text in texts]

    def encode_texts(self, texts: Sequence[str], role: Role = "document") -> list[Vector | Failure]:
        card, most = self._described, self._cut_at
        prompt = card.document_prompt if role == "document" else card.query_prompt
        # Servers refuse empty texts.
        read = [prompt + (first_tokens(text, most) if most else text) or " " for text in texts]
        return self._checked(self._loaded().embed_texts(read))

    def encode_images(self, pictures: Sequence[Picture]) -> list[ImageEncoding | Failure]:
        answers = self._checked(self._loaded().embed_pictures(pictures))
        return [
            answer if isinstance(answer, Failure) else ImageEncoding(answer) for answer in answers
        ]

    def take_counts(self) -> Counter[str]:
        counts = self._counts
        if self._session is not None:
            counts += self._session.counts
            self._session.counts = Counter()
        self._counts = Counter()
        return counts

    @contextmanager
    def beyond_budget(self) -> Iterator[None]:
        session = self._loaded()
        was_limited, session.is_limited = session.is_limited, False
        try:
            yield
        finally:
            session.is_limited = was_limited

    def close(self) -> None:
        if self._session is not None:
            self._counts += self._session.counts
            self._session = None
        self._server.close()

    def _loaded(self) -> EmbeddingSession:
        if self._session is None:
            raise RuntimeError("load() comes before encoding")
        return self._session

    def _checked(self, answers: list[Vector | Failure]) -> list[Vector | Failure]:
        for answer in answers:
            if isinstance(answer, Failure):
                continue
            self._dimension = self._dimension or self._options.dimension or len(answer)
            if len(answer) != self._dimension:
                raise ModelGoneError(self._other_length(len(answer)))
        return answers

    def _other_length(self, length: int) -> str:
        return (
            f"{self._options.model!r} answered with a vector of {length} numbers where others have "
            f"{self._dimension}: another model is served under this name by now; run again, with "
            "its revision named"
        )

    def _asked_dimension(self) -> int:
        """Return the length of the server's answer to a small request."""
        was_loaded = self._session is not None
        if not was_loaded:
            self.load()
        try:
            answer = self._asked_for_one(self._loaded())
        except ModelGoneError as error:
            raise ValueError(str(error)) from None
        finally:
            if not was_loaded:
                self.close()
        wanted = self._options.dimension
        if wanted and len(answer) != wanted:
            raise ValueError(
                f"dimension {wanted} was asked for and the server answered with {len(answer)} "
                f"numbers: {self._options.model!r} or its server knows no shorter vectors; leave "
                "the dimension out"
            )
        return len(answer)

    def _asked_for_one(self, session: EmbeddingSession) -> Vector:
        if "text" in self._described.modalities:
            what, hint = "text", ""
            (answer,) = session.embed_texts([ASKED_WITH])
        else:
            what, hint = "picture", "; its server has to take pictures as messages, as vLLM's does"
            (answer,) = session.embed_pictures([_small_picture()])
        if isinstance(answer, Failure):
            named = f"the model {self._options.model!r}"
            raise ValueError(  # noqa: TRY004 what the server said is wrong, no type is
                f"{named} gave no vector of a {what}: {answer.message}{hint}"
            )
        return answer


def _small_picture() -> Picture:
    from PIL import Image

    return Picture("", Image.new("RGB", (64, 64), "white"))


class EndpointServer:
    """A server that is somebody else's, at `--text-endpoint` or `--image-endpoint`."""

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        self._options, self._models = options, models
        self._endpoint = base_url(options.endpoint, "an encoder behind an endpoint", "endpoint")
        check_key_name(options.api_key_env, "api_key_env")
        self._client: Client | None = None

    def connect(self) -> Client:
        self.close()
        options = self._options
        key = read_key(options.api_key_env)
        settings = {"dimensions": options.dimension} if options.dimension else {}
        limits = replace(self._models.chat, api_key_env=options.api_key_env)
        api = EmbeddingsApi(options.model, settings, key)
        connection = shared_connection(self._models.chat, key)
        upstream = FixedUpstream(self._endpoint)
        self._client = ApiClient(api, limits, upstream, key, connection=connection)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class _OpenAIEncoder(EndpointEncoder):
    """modalities: what the model is asked for."""

    modalities: ClassVar[tuple[Modality, ...]]

    def __init__(self, options: EncoderOptions, models: ModelOptions) -> None:
        self._card = _card(options, self.modalities)
        super().__init__(options, models, EndpointServer(options, models))

    @property
    def _described(self) -> EncoderCard:
        return self._card


class OpenAITextEncoder(_OpenAIEncoder):
    """The model of any server that offers OpenAI's embeddings: a provider, TEI, Infinity."""

    modalities = ("text",)


class OpenAIImageEncoder(_OpenAIEncoder):
    """The same for pictures, of servers that take them as messages: vLLM's pooling models."""

    modalities = ("image",)


def _card(options: EncoderOptions, modalities: tuple[Modality, ...]) -> EncoderCard:
    """Return what is known of a model behind an endpoint. Raises ValueError for wrong options."""
    refuse_settings(
        options,
        "model",
        "revision",
        "prompt",
        "query_prompt",
        "max_tokens",
        "long_texts",
        "chunk_tokens",
        "dimension",
        "batch_tokens",
        "endpoint",
        "api_key_env",
    )
    if not options.model:
        raise ValueError("the model is missing: write the name that the endpoint gives it")
    return EncoderCard(
        id=options.model,
        revision=options.revision,
        weights_sha256="",
        library="openai",
        modalities=modalities,
        pooling="",
        max_tokens=options.max_tokens,
        document_prompt=options.prompt,
        query_prompt=options.query_prompt,
        dimension=0,
        dtype="",
    )

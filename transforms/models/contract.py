"""The contract between stages and models: a batch of requests in, one result or one Failure per
request out.

A backend never fails a batch because of one request; `call_each` makes sure of that, also when the
backend raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from PIL import Image

from schemas.expectations import UNIT_NORM_TOLERANCE
from schemas.hashing import digest
from schemas.secrets import masked
from schemas.texts import one_line
from transforms.models.backends import TAGS_ONLY, describe_backends
from transforms.models.budget import Spending
from transforms.models.chat_options import ChatOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.runtime.options import check_ranges, group, option

Vector = np.ndarray[Any, np.dtype[np.float32]]

# Of a Failure's message: it goes into tables, and a library's error may quote a whole request.
MAX_MESSAGE_CHARS = 400


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image on its way to a model.

    image: RGB, EXIF-rotated, transparency on white, no side longer than the decoder's limit.
    digest: SHA-256 of the file's bytes, hexadecimal.
    """

    digest: str
    image: Image.Image


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that got no answer: a registered reason id and a message for people.

    Returned, not raised, so that it takes its place among the answers of a batch.
    ends_run: nothing that is asked later can be answered either, as long as nobody does what the
    message says. perhaps: the refusals may have been their requests' own, where they are few.
    """

    reason: str
    message: str
    ends_run: bool = False
    perhaps: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", masked(self.message))


class ModelGoneError(Exception):
    """A model can answer nothing more in this run, which ends with it.

    The message is one line: what happened and what to do.
    """


@dataclass(frozen=True, slots=True)
class TagRequest:
    """What is to be described: images, with what is already known of them, and the record's text.

    labels: the image encoder's labels of the first image.
    """

    pictures: tuple[Picture, ...]
    labels: tuple[tuple[str, float], ...] = ()
    text: str = ""

    def fingerprint(self, backend: Tagger) -> str:
        """Return the content address of the answer: a digest of model, prompt, parameters, image
        digests, labels and text.
        """
        content = [
            backend.model,
            backend.prompt_hash,
            backend.parameters,
            [p.digest for p in self.pictures],
            self.labels,
            self.text,
        ]
        return digest(content)


@dataclass(frozen=True, slots=True)
class Tags:
    """A backend's description of an image.

    colors: (colour name, share of the foreground), largest first; text: read off the image.
    """

    description: str
    colors: tuple[tuple[str, float], ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Choices of the command line that models are built from; each backend reads what concerns it.

    threads: for each worker process. spending: the run's budget, which encoders behind an endpoint
    keep to; None: no limit. dimensions: lengths of vectors that endpoints were asked for before the
    run, by the encoder's identity, so that no worker asks again.
    Raises ValueError that names the option of a value outside its range.
    """

    describe_backend: str = option(
        TAGS_ONLY,
        "what describes the images and fills what rules leave open: "
        + "; ".join(f"{name}: {about}" for name, about in describe_backends().items()),
        choices=tuple(describe_backends()),
        identifies=True,
    )
    ocr: bool = option(True, "do not read text off images (saves most of the time per image)")
    threads: int = 1
    spending: Spending | None = None
    dimensions: tuple[tuple[str, int], ...] = ()
    fake_script: str | None = option(
        None,
        "YAML file with answers and failures for the fake backend",
        metavar="FILE",
        is_path=True,
    )
    chat: ChatOptions = group(ChatOptions, "language model: which one, and where it runs")
    text: EncoderOptions = group(EncoderOptions, "text vectors: which encoder makes them", "text")
    image: EncoderOptions = group(
        EncoderOptions, "image vectors: which encoder makes them", "image"
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@runtime_checkable
class Model(Protocol):
    """What all models share.

    Constructing one is cheap and checks its options; `load` reads weights, once in each worker
    process.

    model: id and revision, part of content addresses; requires: importable modules, checked before
    the graph is built.
    """

    @property
    def model(self) -> str: ...

    @property
    def requires(self) -> tuple[str, ...]: ...

    def load(self) -> None: ...


class Tagger(Model, Protocol):
    """Pictures to descriptions.

    method: how the description was made, as the tables state it.
    prompt_hash: empty without a prompt.
    parameters: everything else that shapes an answer, as JSON values.
    """

    @property
    def method(self) -> str: ...

    @property
    def prompt_hash(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    def tag(self, requests: Sequence[TagRequest]) -> list[Tags | Failure]: ...


Request = TypeVar("Request")
Answer = TypeVar("Answer")


def call_each(
    call: Callable[[Sequence[Request]], list[Answer | Failure]],
    requests: Sequence[Request],
    reason: str,
) -> list[Answer | Failure]:
    """Return one answer or Failure for each request, in order, whatever `call` does.

    A batch that makes `call` raise, or return another number of answers, is halved until the
    request that it cannot take is alone and fails with `reason`. Raises ModelGoneError as it is.
    """
    if not requests:
        return []
    try:
        answers = call(requests)
        if len(answers) == len(requests):
            return answers
        problem = f"{len(answers)} answers for {len(requests)} requests"
    except ModelGoneError:
        raise
    except Exception as error:  # whatever a model library raises concerns this batch only
        problem = f"{type(error).__name__}: {error}"
    if len(requests) == 1:
        return [Failure(reason, one_line(problem, MAX_MESSAGE_CHARS, " ..."))]
    middle = len(requests) // 2
    return [
        *call_each(call, requests[:middle], reason),
        *call_each(call, requests[middle:], reason),
    ]


def checked_vector(answer: Vector | Failure, dimension: int, reason: str) -> Vector | Failure:
    """Return the vector if it is float32, of shape (dimension,), finite and of length one; else a
    Failure with `reason`.

    A Failure is returned as it is.
    """
    if isinstance(answer, Failure):
        return answer
    if (
        not isinstance(answer, np.ndarray)
        or answer.dtype != np.float32
        or answer.shape != (dimension,)
    ):
        found = (
            f"{answer.dtype} {answer.shape}"
            if isinstance(answer, np.ndarray)
            else type(answer).__name__
        )
        return Failure(
            reason,
            f"the model answered with {found} instead of a float32 vector of shape ({dimension},)",
        )
    norm = float(np.linalg.norm(answer.astype(np.float64)))
    # Written so that NaN fails too: every comparison with it is false.
    if not abs(norm - 1) <= UNIT_NORM_TOLERANCE:
        return Failure(reason, f"the model answered with a vector of length {norm:g} instead of 1")
    return answer


def answer_each(
    answer: Callable[[Request], Answer], requests: Sequence[Request], reason: str
) -> list[Answer | Failure]:
    """Return the answers in order, for a backend that takes requests one by one; a Failure with
    `reason` for each that raises.
    """
    return [
        result
        for request in requests
        for result in call_each(lambda batch: [answer(batch[0])], [request], reason)
    ]

"""The contract of multimodal language models: a batch of requests in, one answer or one Failure per
request out.

A request has a content address: a digest of what is asked of which model, with which prompt,
parameters and images. Its answer can be used again by any later run, and equal requests are sent
once.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from schemas.hashing import digest
from schemas.secrets import hidden
from schemas.texts import one_line
from transforms.models.contract import MAX_MESSAGE_CHARS, Failure, Model
from transforms.models.metering import REPORTED, Size, Tab
from transforms.runtime import storage

# Part of every backend's `parameters`, so of every content address: another seed is another answer.
SEED = 0
# The finish reason of an answer that says that there will be none; no API has a word of its own.
REFUSED = "refusal"
# Likewise of an answer that was cut, as it is longer than any that can be used.
TOO_LARGE = "too-large"
_MOST_CHARACTER_BYTES = 4
# How each JPEG file begins in base64: none begins so itself.
_JPEG_AS_TEXT = b"/9j/"


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """An image prepared for a model: a JPEG file that is read when the request is sent, and not
    before, so that many open requests need no memory.

    digest: SHA-256 of the original file's bytes, hexadecimal.
    path: of the JPEG file, or of its base64 text, which is what servers are sent; on a file system
    that Beam knows; not part of the image's identity.
    """

    digest: str
    path: str = field(compare=False)

    def read(self) -> bytes:
        """Return the JPEG's bytes; raise OSError or Beam's errors when the file is gone."""
        data = storage.read_bytes(self.path)
        return a2b_base64(data) if data.startswith(_JPEG_AS_TEXT) else data

    def read_text(self) -> bytes:
        """Return the JPEG's bytes in base64; raises as `read` does."""
        data = storage.read_bytes(self.path)
        return data if data.startswith(_JPEG_AS_TEXT) else b2a_base64(data, newline=False)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request to a model. The answer has to be a JSON object that `schema` describes.

    text: the user's turn; the images stand before it, in this order.
    preparation: how the images were prepared (size, quality); part of the content address.
    prompt_hash: of all the prompts that shaped `system` and `text`.
    addressed: what replaces `system` and `text` in the content address, where not all of their
    content is to count.
    """

    system: str
    text: str
    schema: Mapping[str, Any]
    pictures: tuple[PreparedPicture, ...] = ()
    preparation: str = ""
    prompt_hash: str = ""
    max_tokens: int = 512
    temperature: float = 0.0
    addressed: tuple[str, ...] = ()

    def fingerprint(self, model: ChatModel) -> str:
        """Return the content address of the answer, 64 hexadecimal digits: of whatever shapes it.

        Demonstrations, which are other items, are left out by `addressed`. Else each new or changed
        item would change the requests of its neighbours, and unchanged items would be paid for
        again every night. An answer that was given with earlier neighbours is as good; how many
        were wanted does count.
        """
        # Every change here, of order too, makes all kept answers unfindable.
        content = [
            model.model,
            model.parameters,
            self.prompt_hash,
            *(self.addressed or (self.system, self.text)),
            self.schema,
            [picture.digest for picture in self.pictures],
            self.preparation if self.pictures else "",
            self.max_tokens,
            self.temperature,
        ]
        # The order of a schema's properties shapes the answer, so keys are not sorted.
        return digest(content)


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """A model's answer as it came; nothing in it is trusted yet.

    finish_reason: as in OpenAI's API: `stop`, `length`, `content_filter` ..., or REFUSED or
    TOO_LARGE.
    image_tokens: part of prompt_tokens, 0 where the server does not report them.
    retries: attempts that failed before this one; seconds: from sending to the whole answer.
    probabilities: top-level key of the answer → probability of its value's tokens, where
    log-probabilities came.
    repairs: where else than in the message's content the server had put the answer, in words; not
    kept with an answer.
    counted: what the tokens were counted by: REPORTED, ESTIMATED or PLANNED; estimated_tokens: how
    many of them no server stated; thoughts: their size, where they came beside the content.
    """

    content: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    retries: int = 0
    seconds: float = 0.0
    probabilities: Mapping[str, float] = field(default_factory=dict)
    repairs: tuple[str, ...] = field(default=(), compare=False)
    counted: str = REPORTED
    estimated_tokens: int = field(default=0, compare=False)
    thoughts: Size = field(default=Size(), compare=False)

    def __post_init__(self) -> None:
        # Of nothing that a model says is a key kept, whoever gave it away.
        object.__setattr__(self, "content", hidden(self.content))

    def within(self, most_bytes: int) -> ChatAnswer:
        """Return the answer, of a longer one only its beginning."""
        if len(self.content) <= most_bytes // _MOST_CHARACTER_BYTES:
            return self
        data = self.content.encode("utf-8", "surrogatepass")
        if len(data) <= most_bytes:
            return self
        content = data[:most_bytes].decode("utf-8", "ignore")
        return replace(self, content=content, finish_reason=TOO_LARGE, probabilities={})

    def timed(self, retries: int, seconds: float) -> ChatAnswer:
        """Return the answer with what it took to get it."""
        return replace(self, retries=retries, seconds=seconds)


class ChatModel(Model, Protocol):
    """A multimodal language model.

    parameters: what shapes an answer besides model, prompt and request, as JSON values; part of the
    content address.
    concurrent: whether `answer` may be called from several threads at once.
    """

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def concurrent(self) -> bool: ...

    def answer(
        self, requests: Sequence[ChatRequest], tab: Tab[ChatRequest] | None = None
    ) -> Iterator[tuple[int, ChatAnswer | Failure]]:
        """Yield (index of the request, its answer or Failure), each as soon as it is there, in any
        order.

        tab: hears of attempts that may have to be paid though they brought no answer, and asked
        before another one is made.
        """
        ...

    def close(self) -> None:
        """Release what `load` took: connections, threads, this process's share of a server."""
        ...


Answer = TypeVar("Answer")


def answer_all(
    model: ChatModel, requests: Sequence[ChatRequest], tab: Tab[ChatRequest] | None = None
) -> Iterator[tuple[int, ChatAnswer | Failure]]:
    """Yield exactly one answer or Failure for each request, as they come, whatever the model does.

    When `answer` raises, or ends before everything is answered, the open requests are halved and
    sent again, until the request that the model cannot take is alone and fails with
    `backend-failed`.
    """
    yield from _answer_some(model, requests, list(range(len(requests))), tab)


def _answer_some(
    model: ChatModel,
    requests: Sequence[ChatRequest],
    indices: list[int],
    tab: Tab[ChatRequest] | None,
) -> Iterator[tuple[int, ChatAnswer | Failure]]:
    if not indices:
        return
    open_indices = dict.fromkeys(indices)
    problem = ""
    try:
        for position, answer in model.answer([requests[index] for index in indices], tab):
            index = indices[position]
            # A second answer to one request is dropped: the caller has the first already.
            if index in open_indices:
                del open_indices[index]
                yield index, answer
    except Exception as error:  # whatever a model library raises concerns this batch only
        problem = f"{type(error).__name__}: {error}"
    left = list(open_indices)
    if not left:
        return
    # Of those that were sent, not of those left: one that is left over from a larger batch may be
    # innocent, so it is asked once more alone.
    if len(indices) == 1:
        message = problem or "the backend gave no answer"
        yield (
            left[0],
            Failure("backend-failed", one_line(message, MAX_MESSAGE_CHARS, " ...")),
        )
        return
    middle = (len(left) + 1) // 2
    yield from _answer_some(model, requests, left[:middle], tab)
    yield from _answer_some(model, requests, left[middle:], tab)

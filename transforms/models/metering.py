"""What requests take: as a server states it, or by estimate where it states nothing that can be.

A server that is silent, mistaken or lying about tokens still charges for them, and so does one
whose answer never arrived. What counts is therefore never less than the text at hand must have
taken, and a request is reserved in the budget before each attempt that may cost something.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from transforms.models.budget import Amount, BudgetShare

# What an answer's tokens were counted by: its server, this program, or a plan that asks nobody.
REPORTED, ESTIMATED, PLANNED = "reported", "estimated", "planned"

# No tokenizer of today has tokens longer than this on average of a text, in whatever script; what a
# server states below that is no count of this text.
MOST_CHARS_PER_TOKEN = 8
# Of one picture: the smallest of any model's own rule (Qwen2-VL, an image of 56 × 56 pixels).
LEAST_IMAGE_TOKENS = 4
# Some services bill the tiles of one picture as 48,000 tokens.
MOST_IMAGE_TOKENS = 100_000
# Instructions and tools that a gateway adds by itself.
MOST_ADDED_TOKENS = 100_000
# Longer than the longest answer of any model, thoughts included.
MOST_COMPLETION_TOKENS = 2_000_000

RequestT = TypeVar("RequestT", contravariant=True)
Request = TypeVar("Request")


class Size(NamedTuple):
    """Of a text, in characters and in bytes of UTF-8."""

    chars: int = 0
    bytes: int = 0

    @property
    def least_tokens(self) -> int:
        """The fewest that any tokenizer makes of it."""
        return -(-self.chars // MOST_CHARS_PER_TOKEN)

    def plus(self, other: Size) -> Size:
        return Size(self.chars + other.chars, self.bytes + other.bytes)


def size_of(*texts: str) -> Size:
    """Return the size of texts together.

    >>> size_of("née", "a")
    Size(chars=4, bytes=5)
    """
    encoded = (len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return Size(sum(map(len, texts)), sum(encoded))


@dataclass(frozen=True, slots=True)
class Stated:
    """What the response to an attempt says that it took; 0 for what it does not say.

    written: of the answer, thoughts included; None where nobody saw it, so that it may have been as
    long as was allowed.
    """

    prompt_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    written: Size | None = None

    @property
    def says_something(self) -> bool:
        return bool(self.prompt_tokens or self.completion_tokens)


@dataclass(frozen=True, slots=True)
class Taken:
    """Tokens that count. image_tokens: of the prompt's; estimated_tokens: of the prompt's and the
    answer's, those that no server stated.
    """

    prompt_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    estimated_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Lost:
    """What attempts took that brought no answer, though their server may have worked on them.

    amount: as the budget counts it; estimated_tokens: of its tokens, those that no server stated.
    """

    attempts: int = 0
    amount: Amount = field(default_factory=Amount)
    estimated_tokens: int = 0

    @property
    def tokens(self) -> int:
        return int(self.amount.tokens)

    def __add__(self, other: Lost) -> Lost:
        return Lost(
            self.attempts + other.attempts,
            self.amount + other.amount,
            self.estimated_tokens + other.estimated_tokens,
        )


class Tab(Protocol[RequestT]):
    """What a client tells of the attempts of a request, and asks before it makes another.

    Both are called from any thread.
    """

    def lost(self, request: RequestT, stated: Stated) -> None:
        """Note an attempt that brought no answer and may have to be paid."""
        ...

    def again(self, request: RequestT) -> bool:
        """Tell whether the request may be sent once more."""
        ...


class NoTab:
    """For who pays for nothing, or does not mind."""

    def lost(self, request: object, stated: Stated) -> None: ...

    def again(self, request: object) -> bool:  # noqa: ARG002 every request may be sent again
        return True


@dataclass
class _Open(Generic[Request]):
    """A request under way.

    is_limited: whether it keeps to the budget; is_reserved: whether that holds its most for it.
    """

    request: Request
    is_limited: bool
    is_reserved: bool
    lost: Lost = field(default_factory=Lost)


class Reservations(Generic[Request]):
    """The requests under way of one sender, each reserved in the budget with the most it may take.

    most: what one attempt takes at most; lost: (request, what its response states) → what an
    attempt without an answer took. Requests are told apart as objects.
    """

    def __init__(
        self,
        share: BudgetShare | None,
        most: Callable[[Request], Amount],
        lost: Callable[[Request, Stated], Lost],
    ) -> None:
        self._share, self._most, self._lost = share, most, lost
        self._open: dict[int, _Open[Request]] = {}
        # Clients tell of lost attempts from threads of their own.
        self._lock = threading.RLock()

    def reserve(self, request: Request, *, within_budget: bool = True) -> bool:
        """Begin a request; False, and nothing begun, where the budget has not enough left.

        within_budget: False to send it whatever is left; what it takes counts all the same.
        """
        limited = self._share is not None and within_budget
        if limited and not self._reserved(request):
            return False
        with self._lock:
            self._open[id(request)] = _Open(request, limited, limited)
        return True

    def lost(self, request: Request, stated: Stated) -> None:
        """Take what the attempt took from the budget; the rest of its reservation is given back."""
        lost = self._lost(request, stated)
        with self._lock:
            under_way = self._open.get(id(request))
            if under_way is None:
                return
            under_way.lost += lost
            self._settle(under_way, lost.amount)

    def again(self, request: Request) -> bool:
        """Reserve the request again where its reservation went into an attempt that was lost."""
        with self._lock:
            under_way = self._open.get(id(request))
            if under_way is None or under_way.is_reserved or not under_way.is_limited:
                return True
            under_way.is_reserved = self._reserved(request)
            return under_way.is_reserved

    def end(self, request: Request, spent: Callable[[Lost], Amount]) -> Lost:
        """End a request: `spent` says what its last attempt took, given what was lost before.

        Returns what was lost.
        """
        with self._lock:
            under_way = self._open.pop(id(request))
            self._settle(under_way, spent(under_way.lost))
            return under_way.lost

    def _reserved(self, request: Request) -> bool:
        return self._share is not None and self._share.reserve(self._most(request))

    def _settle(self, under_way: _Open[Request], spent: Amount) -> None:
        if self._share is not None:
            held = self._most(under_way.request) if under_way.is_reserved else Amount()
            self._share.settle(held, spent)
        under_way.is_reserved = False


def believed(stated: int, least: int, most: int) -> bool:
    """Tell whether a stated number of tokens can be one of what was sent or received."""
    return stated > 0 and least <= stated <= most

"""What language models cost: usage, prices, and a budget that all workers of a machine share.

A call is reserved with an estimate before it is sent and settled with what it took, so the budget
holds whatever the number of requests under way.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.contract import Failure
from transforms.models.tokens import estimate_tokens
from transforms.runtime.options import check_ranges, option

TOKENS_PER_PRICE = 1_000_000
_REST = "the rest stays unknown (reason `budget`) and the next run continues"
PURSE_BYTES = 256  # three numbers with their names take 110 at most


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens, in whatever currency the prices are in; image: per million tokens
    of pictures.

    image_tokens are part of the prompt's; where their price is not given, they cost what the
    prompt's cost.
    """

    prompt: float = 0.0
    completion: float = 0.0
    image: float | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("prompt", self.prompt),
            ("completion", self.completion),
            ("image", self.image),
        ):
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise ValueError(
                    f"--prices {name}={value!r}; a price is a number of at least 0, per million "
                    "tokens"
                )

    def cost(self, prompt_tokens: int, image_tokens: int, completion_tokens: int) -> float:
        image = self.prompt if self.image is None else self.image
        text_tokens = prompt_tokens - image_tokens
        return (
            text_tokens * self.prompt + image_tokens * image + completion_tokens * self.completion
        ) / TOKENS_PER_PRICE


def parse_prices(entries: Sequence[str]) -> Prices:
    """Return the prices of `prompt=0.15 completion=0.60`.

    Raises ValueError that says what is allowed.
    """
    prices = {}
    for entry in entries:
        name, _, price = entry.partition("=")
        if name not in ("prompt", "completion", "image"):
            raise ValueError(
                f"--prices {entry}: write prompt=X, completion=Y and image=Z, per million tokens"
            )
        try:
            prices[name] = float(price)
        except ValueError:
            raise ValueError(
                f"--prices {entry}: {price!r} is not a number; write for example {name}=0.15"
            ) from None
    return Prices(**prices)


@dataclass(frozen=True, slots=True)
class Amount:
    """Calls, tokens of prompts and answers, and money."""

    calls: float = 0
    tokens: float = 0
    cost: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: Amount) -> Amount:
        return Amount(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def within(self, limit: Amount) -> bool:
        # Money is added up in floats.
        return all(
            getattr(self, f.name) <= getattr(limit, f.name) * (1 + 1e-9) for f in fields(self)
        )


UNLIMITED = Amount(math.inf, math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend, with the prices to estimate_tokens by.

    Raises ValueError that names a wrong option.
    """

    max_model_calls: int | None = option(
        None, f"stop after this many requests; {_REST}", minimum=0, once=True
    )
    max_tokens: int | None = option(
        None, f"stop after this many tokens of requests and answers; {_REST}", minimum=0, once=True
    )
    max_cost: float | None = option(
        None, f"stop after spending this much, by --prices; {_REST}", minimum=0, once=True
    )
    prices: Prices = option(
        Prices,
        "per million tokens: prompt=0.15 completion=0.60, and image=0.30 where images have a price "
        "of their own",
        metavar="KIND=PRICE",
        parse=parse_prices,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.max_cost is not None and not (self.prices.prompt or self.prices.completion):
            raise ValueError(
                "--max-cost needs --prices, for example --prices prompt=0.15 completion=0.60"
            )

    @property
    def limit(self) -> Amount:
        given = (self.max_model_calls, self.max_tokens, self.max_cost)
        return Amount(*(math.inf if value is None else value for value in given))

    def estimate(self, request: ChatRequest, image_px: int) -> Amount:
        """The most that one call may take: all its answer tokens, and pictures at their
        full size.
        """
        reckoned = estimate_tokens(request, image_px)
        return self._amount(reckoned.prompt_tokens, reckoned.image_tokens, request.max_tokens)

    def spent(self, answer: ChatAnswer | Failure) -> Amount:
        """What a call took; of one that failed nothing is known but that it was made."""
        if isinstance(answer, Failure):
            return Amount(1)
        return self._amount(answer.prompt_tokens, answer.image_tokens, answer.completion_tokens)

    def _amount(self, prompt_tokens: int, image_tokens: int, completion_tokens: int) -> Amount:
        cost = self.prices.cost(prompt_tokens, image_tokens, completion_tokens)
        return Amount(1, prompt_tokens + completion_tokens, cost)


class BudgetShare(Protocol):
    """What is left of a budget."""

    def reserve(self, amount: Amount) -> bool:
        """Take `amount` if it is left."""
        ...

    def settle(self, reserved: Amount, spent: Amount) -> None:
        """Give back what was reserved, take what was spent."""
        ...


@dataclass
class OwnBudgetShare:
    """A purse of one worker, for runners whose workers share no local disk."""

    limit: Amount
    taken: Amount = field(default_factory=Amount)

    def reserve(self, amount: Amount) -> bool:
        if not (self.taken + amount).within(self.limit):
            return False
        self.taken += amount
        return True

    def settle(self, reserved: Amount, spent: Amount) -> None:
        self.taken = self.taken - reserved + spent


@dataclass(frozen=True)
class SharedBudgetShare:
    """A purse that all processes of a machine share, through a locked file."""

    path: Path
    limit: Amount

    def reserve(self, amount: Amount) -> bool:
        with self._purse() as purse:
            return purse.reserve(amount)

    def settle(self, reserved: Amount, spent: Amount) -> None:
        with self._purse() as purse:
            purse.settle(reserved, spent)

    @contextmanager
    def _purse(self) -> Iterator[OwnBudgetShare]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            text = os.pread(descriptor, PURSE_BYTES, 0)
            purse = OwnBudgetShare(self.limit, Amount(**json.loads(text)) if text else Amount())
            yield purse
            # One call of the system: a worker that is killed here leaves the amounts of before or
            # after, never none.
            os.pwrite(descriptor, json.dumps(asdict(purse.taken)).encode().ljust(PURSE_BYTES), 0)
        finally:
            os.close(descriptor)


def share(limit: Amount, parts: int) -> Amount:
    """An equal share of a budget."""
    return Amount(*(getattr(limit, f.name) / parts for f in fields(limit)))


@dataclass(frozen=True, slots=True)
class Usage:
    """What the language model did in a part of a run, and what it took.

    jobs: items asked about, each content once; items: items that got an answer or a failure.
    calls: requests sent and answered, or failed; reused: requests that the store had the answer of.
    retries: sendings beyond the first of each call; seconds: of all calls added up.
    reckoned_tokens: of the prompts that were answered, as reckoned before they were sent.
    failed_items: reason → items; failed_calls: reason → calls.
    """

    jobs: int = 0
    items: int = 0
    calls: int = 0
    reused: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    reckoned_tokens: int = 0
    image_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    failed_items: dict[str, int] = field(default_factory=dict)
    failed_calls: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Usage) -> Usage:
        both: dict[str, Any] = {
            f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        }
        total: dict[str, Any] = {
            n: _merge(a, b) if isinstance(a, dict) else a + b for n, (a, b) in both.items()
        }
        return Usage(**total)

    def with_call(
        self, answer: ChatAnswer | Failure, cost: float, reckoned_tokens: int = 0
    ) -> Usage:
        if isinstance(answer, Failure):
            failed = _merge(self.failed_calls, {answer.reason: 1})
            return replace(self, calls=self.calls + 1, failed_calls=failed)
        return self + Usage(
            calls=1,
            retries=answer.retries,
            prompt_tokens=answer.prompt_tokens,
            reckoned_tokens=reckoned_tokens,
            image_tokens=answer.image_tokens,
            completion_tokens=answer.completion_tokens,
            seconds=answer.seconds,
            cost=cost,
        )


def _merge(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}

"""What models cost: prices, and a budget that all workers of a machine share.

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
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from threading import Lock
from typing import Protocol

from transforms.runtime.options import check_ranges, option

TOKENS_PER_PRICE = 1_000_000
# Ends the help of each limit.
_REST = "the rest stays unknown (reason `budget`) and the next run continues"
# The file has a fixed size, padded with spaces, so that a shorter text never leaves the end of a
# longer one behind it. Three numbers with their names take 110 bytes at most.
BUDGET_FILE_BYTES = 256


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens, in any one currency.

    image: per million tokens of images, which servers count as part of the prompt's; embedding: per
    million tokens that an encoder's endpoint reads; None: they cost what the prompt's cost.
    """

    prompt: float = 0.0
    completion: float = 0.0
    image: float | None = None
    embedding: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise ValueError(
                    f"--prices {name}={value!r}; a price is a number of at least 0, per million "
                    "tokens"
                )

    @property
    def are_given(self) -> bool:
        return any(asdict(self).values())

    def cost(self, prompt_tokens: int, image_tokens: int, completion_tokens: int) -> float:
        """Return the price of a call; `prompt_tokens` include `image_tokens`."""
        image = self.prompt if self.image is None else self.image
        text_tokens = prompt_tokens - image_tokens
        return (
            text_tokens * self.prompt + image_tokens * image + completion_tokens * self.completion
        ) / TOKENS_PER_PRICE

    def embedding_cost(self, tokens: int) -> float:
        """Return the price of so many tokens read by an encoder's endpoint."""
        price = self.prompt if self.embedding is None else self.embedding
        return tokens * price / TOKENS_PER_PRICE


def parse_prices(entries: Sequence[str]) -> Prices:
    """Return the prices of `prompt=0.15 completion=0.60`.

    Raises ValueError that says what is allowed.
    """
    prices = {}
    for entry in entries:
        name, _, price = entry.partition("=")
        if name not in {each.name for each in fields(Prices)}:
            raise ValueError(
                f"--prices {entry}: write prompt=X, completion=Y, image=Z and embedding=W, per "
                "million tokens"
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
        # Money is a sum of floats, whose last digits must not decide.
        return all(
            getattr(self, f.name) <= getattr(limit, f.name) * (1 + 1e-9) for f in fields(self)
        )


UNLIMITED = Amount(math.inf, math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend, with the prices that costs are estimated by.

    Raises ValueError that names a wrong option.
    """

    max_model_calls: int | None = option(
        None, f"stop after this many requests to the language model; {_REST}", minimum=0, once=True
    )
    max_tokens: int | None = option(
        None, f"stop after this many tokens of requests and answers; {_REST}", minimum=0, once=True
    )
    max_cost: float | None = option(
        None, f"stop after spending this much, by --prices; {_REST}", minimum=0, once=True
    )
    prices: Prices = option(
        Prices,
        "per million tokens: prompt=0.15 completion=0.60, and image=0.30 embedding=0.02 where "
        "images and an encoder's endpoint have prices of their own",
        metavar="KIND=PRICE",
        parse=parse_prices,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.max_cost is not None and not self.prices.are_given:
            raise ValueError(
                "--max-cost needs --prices, for example --prices prompt=0.15 completion=0.60"
            )

    @property
    def limit(self) -> Amount:
        given = (self.max_model_calls, self.max_tokens, self.max_cost)
        return Amount(*(math.inf if value is None else value for value in given))

    def amount(self, prompt_tokens: int, image_tokens: int, completion_tokens: int) -> Amount:
        """Return what one call of a language model takes."""
        cost = self.prices.cost(prompt_tokens, image_tokens, completion_tokens)
        return Amount(1, prompt_tokens + completion_tokens, cost)

    def embedding_amount(self, tokens: int) -> Amount:
        """Return what one request to an encoder takes; it is no call of a language model."""
        return Amount(0, tokens, self.prices.embedding_cost(tokens))


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
    """One worker's own share, for runners whose workers have no local disk in common."""

    limit: Amount
    taken: Amount = field(default_factory=Amount)
    # The client's thread settles attempts that are lost while the sender's reserves others.
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def reserve(self, amount: Amount) -> bool:
        with self._lock:
            if not (self.taken + amount).within(self.limit):
                return False
            self.taken += amount
            return True

    def settle(self, reserved: Amount, spent: Amount) -> None:
        with self._lock:
            self.taken = self.taken - reserved + spent


@dataclass(frozen=True)
class SharedBudgetShare:
    """The budget that all processes of a machine take from, in a locked local file.

    path: a local file, made when it is first used.
    """

    path: Path
    limit: Amount

    def reserve(self, amount: Amount) -> bool:
        with self._locked() as share:
            return share.reserve(amount)

    def settle(self, reserved: Amount, spent: Amount) -> None:
        with self._locked() as share:
            share.settle(reserved, spent)

    @contextmanager
    def _locked(self) -> Iterator[OwnBudgetShare]:
        """Yield what the file says, and write back what became of it, under an exclusive lock."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            text = os.pread(descriptor, BUDGET_FILE_BYTES, 0)
            # An empty file is a new one.
            share = OwnBudgetShare(self.limit, Amount(**json.loads(text)) if text else Amount())
            yield share
            # One system call: a worker that is killed here leaves the amounts of before or of
            # after, never a mixture.
            content = json.dumps(asdict(share.taken)).encode()
            os.pwrite(descriptor, content.ljust(BUDGET_FILE_BYTES), 0)
        finally:
            # Closing also gives the lock back, as the end of a killed process does.
            os.close(descriptor)


def share_of(limit: Amount, parts: int) -> Amount:
    """Return an equal share of a budget."""
    return Amount(*(getattr(limit, f.name) / parts for f in fields(limit)))


@dataclass(frozen=True, slots=True)
class Spending:
    """A run's budget, and where its workers find what is left of it.

    file: local, for all processes of a machine; empty where workers have no disk in common: each of
    `parts` parts of the work then has an equal share.
    """

    budget: Budget = Budget()
    file: str = ""
    parts: int = 1

    def share(self) -> BudgetShare:
        limit = self.budget.limit
        if self.file:
            return SharedBudgetShare(Path(self.file), limit)
        # Workers that cannot see each other's spending get equal shares, which stay within the
        # budget together; what one part leaves of its own is not spent.
        return OwnBudgetShare(share_of(limit, self.parts))

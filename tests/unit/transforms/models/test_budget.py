"""transforms.models.budget: prices, and a budget that holds."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.models.budget import (
    Amount,
    Budget,
    BudgetShare,
    OwnBudgetShare,
    Prices,
    SharedBudgetShare,
    share_of,
)


def test_money_is_counted_by_kind_of_token() -> None:
    """Prices are per million tokens; pictures have their own price, or the prompt's."""
    assert Prices(1, 4).cost(1_000_000, 600_000, 500_000) == pytest.approx(3.0)
    assert Prices(1, 4, 0.5).cost(1_000_000, 600_000, 500_000) == pytest.approx(0.4 + 0.3 + 2)


def test_embeddings_have_a_price_of_their_own() -> None:
    """Tokens that an encoder's endpoint reads cost `embedding`, or what a prompt's cost; they count
    as tokens and money, but not as a call of the language model.
    """
    assert Prices(1, 4).embedding_cost(2_000_000) == pytest.approx(2.0)
    assert Prices(1, 4, embedding=0.02).embedding_cost(2_000_000) == pytest.approx(0.04)
    amount = Budget(max_cost=1, prices=Prices(embedding=0.02)).embedding_amount(1_000_000)
    assert (amount.calls, amount.tokens, amount.cost) == (0, 1_000_000, pytest.approx(0.02))


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_a_purse_gives_no_more_than_it_has(tmp_path: Path, kind: str) -> None:
    """What is reserved is gone until it is settled; what was not needed comes back."""
    limit = Amount(10, 1_000, math.inf)
    share: BudgetShare = (
        OwnBudgetShare(limit)
        if kind == "own"
        else SharedBudgetShare(tmp_path / "budget.json", limit)
    )
    assert share.reserve(Amount(1, 900))
    assert not share.reserve(Amount(1, 200))
    share.settle(Amount(1, 900), Amount(1, 100))
    assert share.reserve(Amount(1, 900))
    assert not share.reserve(Amount(1, 1))


def test_processes_share_a_budget(tmp_path: Path) -> None:
    """Whoever asks, together no more calls are given than there are."""
    shares = [
        SharedBudgetShare(tmp_path / "budget.json", Amount(100, math.inf, math.inf))
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        given_calls = sum(
            pool.map(lambda share: sum(share.reserve(Amount(1)) for _ in range(60)), shares)
        )
    assert given_calls == 100


def test_a_killed_worker_forgets_nothing(tmp_path: Path) -> None:
    """What was given stays taken, at whatever moment a process that shares the budget is killed."""
    share = SharedBudgetShare(tmp_path / "budget.json", Amount(math.inf, math.inf, math.inf))
    kills, given_calls = 20, 0
    for _ in range(kills):
        told, telling = os.pipe()
        child = os.fork()
        if child == 0:
            while True:
                share.reserve(Amount(1, 1, 0.1))
                os.write(telling, b".")
        time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(telling)
        with os.fdopen(told, "rb") as calls:
            given_calls += len(calls.read())
    assert (
        given_calls
        <= json.loads((tmp_path / "budget.json").read_text())["calls"]
        <= given_calls + kills
    )
    assert given_calls > kills


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_settling_never_overdraws(moves: list[tuple[int, int]]) -> None:
    """As long as calls take no more than was reserved, the budget holds."""
    share = OwnBudgetShare(Amount(math.inf, 20, math.inf))
    spent = 0
    for reserved, used in moves:
        if share.reserve(Amount(1, reserved)):
            share.settle(Amount(1, reserved), Amount(1, min(used, reserved)))
            spent += min(used, reserved)
    assert spent <= 20


def test_a_share_is_a_part_of_each_limit() -> None:
    """Workers without a common disk get equal parts; no limit stays no limit."""
    assert share_of(Amount(10, math.inf, 1), 4) == Amount(2.5, math.inf, 0.25)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Budget(max_model_calls=-1), "--max-model-calls"),
        (lambda: Budget(max_tokens=-1), "--max-tokens"),
        (lambda: Budget(max_cost=math.nan, prices=Prices(1, 1)), "--max-cost"),
        (lambda: Budget(max_cost=1), "--prices"),
        (lambda: Prices(prompt=-1), "--prices"),
        (lambda: Prices(embedding=math.inf), "--prices"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(make: object, named: str) -> None:
    """A wrong limit or price, and a money limit without prices, name the option."""
    with pytest.raises(ValueError, match=named):
        make()  # type: ignore[operator]

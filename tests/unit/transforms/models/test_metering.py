"""transforms.models.metering: what requests take, and the reservations of those under way."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.models.budget import Amount, OwnBudgetShare
from transforms.models.metering import Lost, Reservations, Size, Stated, believed, size_of

MOST = 10


def reservations(share: OwnBudgetShare | None) -> Reservations[object]:
    """Requests of at most MOST tokens; a lost attempt took what its response states."""
    return Reservations(
        share,
        lambda _: Amount(1, MOST),
        lambda _, stated: Lost(1, Amount(1, stated.prompt_tokens)),
    )


def nothing(_: Lost) -> Amount:
    return Amount()


@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, MOST), max_size=4), st.integers(1, MOST)), max_size=12
    ),
    st.integers(0, 120),
    st.randoms(use_true_random=False),
)
def test_a_budget_holds_whatever_is_lost_and_sent_again(
    requests: list[tuple[list[int], int]], limit: int, random: object
) -> None:
    """Attempts are made only while the budget has the most that one may take, so what was taken is
    never more than the limit, in whatever order attempts are lost, repeated and answered; in the
    end exactly what they took is gone.
    """
    share = OwnBudgetShare(Amount(math.inf, limit, math.inf))
    open_requests, spent = reservations(share), 0
    steps = {}
    for losses, last in requests:
        request = object()
        if open_requests.reserve(request):
            steps[request] = [*losses, last]
    while steps:
        request = random.choice(list(steps))  # type: ignore[attr-defined]
        taken = steps[request].pop(0)
        if not open_requests.again(request):
            open_requests.end(request, nothing)
            del steps[request]
            continue
        spent += taken
        assert spent <= limit
        if steps[request]:
            open_requests.lost(request, Stated(taken))
        else:
            open_requests.end(request, lambda _, taken=taken: Amount(1, taken))  # type: ignore[misc]
            del steps[request]
    assert share.taken.tokens == spent


def test_what_is_lost_is_told_in_the_end() -> None:
    """The end of a request says how many of its attempts were lost, and what they took."""
    open_requests, request = reservations(OwnBudgetShare(Amount(9, 99, 9))), object()
    assert open_requests.reserve(request)
    for tokens in (3, 4):
        assert open_requests.again(request)
        open_requests.lost(request, Stated(tokens))
    lost = open_requests.end(request, nothing)
    assert (lost.attempts, lost.tokens) == (2, 7)


def test_without_a_limit_everything_may_be_sent_and_is_counted() -> None:
    """Nothing is reserved where there is no budget, or where a request does not keep to it."""
    spent = OwnBudgetShare(Amount(0, 0, 0))
    for share in (None, spent):
        open_requests, request = reservations(share), object()
        assert open_requests.reserve(request, within_budget=share is None)
        open_requests.lost(request, Stated(5))
        assert open_requests.again(request)
        assert open_requests.end(request, lambda _: Amount(1, 6)).tokens == 5
    assert spent.taken.tokens == 11


def test_what_nobody_waits_for_any_more_changes_nothing() -> None:
    """An attempt that is lost after its request has ended, as when a client closes, is passed over."""
    share = OwnBudgetShare(Amount(9, 99, 9))
    open_requests, request = reservations(share), object()
    open_requests.reserve(request)
    open_requests.end(request, nothing)
    open_requests.lost(request, Stated(7))
    assert open_requests.again(request)
    assert share.taken == Amount()


def test_two_threads_settle_one_share() -> None:
    """The sender reserves while the client's thread loses attempts; no amount is forgotten."""
    share = OwnBudgetShare(Amount(math.inf, math.inf, math.inf))
    open_requests = reservations(share)

    def work(_: int) -> None:
        for _ in range(500):
            request = object()
            open_requests.reserve(request)
            open_requests.lost(request, Stated(1))
            open_requests.end(request, nothing)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert share.taken.tokens == 2_000


@pytest.mark.parametrize(
    "text", ["", "plain", "née", "電子吉他", "नमस्ते दुनिया", "\ud800", " \n" * 9]
)
def test_bounds_of_a_text_are_in_order(text: str) -> None:
    """No text has fewer tokens at least than none, or more than it has bytes."""
    size = size_of(text)
    assert size == Size(len(text), len(text.encode("utf-8", "surrogatepass")))
    assert 0 <= size.least_tokens <= max(size.bytes, 1)
    assert size_of(text, text) == size.plus(size)


def test_nothing_is_never_believed() -> None:
    """A count of 0 is none, also of an empty text."""
    assert not believed(0, 0, 10)
    assert [believed(count, 2, 10) for count in (1, 2, 10, 11)] == [False, True, True, False]

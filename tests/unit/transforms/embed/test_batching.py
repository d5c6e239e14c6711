"""Batches of texts by tokens."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from transforms.embed.batching import batches_of

TOKENS = st.dictionaries(st.text(max_size=6), st.integers(0, 40), max_size=40)


@given(TOKENS, st.integers(1, 100), st.integers(1, 8))
def test_every_text_is_in_exactly_one_batch(
    tokens: dict[str, int], batch_tokens: int, most: int
) -> None:
    """Nothing is lost and nothing is computed twice."""
    batches = list(batches_of(tokens, batch_tokens, most))
    assert sorted(text for batch in batches for text in batch) == sorted(tokens)
    assert all(batches)


@given(TOKENS, st.integers(1, 100), st.integers(1, 8))
def test_a_batch_keeps_its_budget_with_its_padding(
    tokens: dict[str, int], batch_tokens: int, most: int
) -> None:
    """Only a text that is longer alone goes beyond the budget, and then by itself."""
    for batch in batches_of(tokens, batch_tokens, most):
        longest = max(tokens[text] for text in batch)
        assert len(batch) <= most
        assert longest * len(batch) <= batch_tokens or len(batch) == 1


@given(TOKENS, st.integers(1, 100), st.randoms())
def test_batches_do_not_depend_on_the_order_of_the_texts(
    tokens: dict[str, int], batch_tokens: int, random: Random
) -> None:
    """A catalog in another order gives the same batches, and with them the same vectors."""
    shuffled = list(tokens.items())
    random.shuffle(shuffled)
    assert list(batches_of(dict(shuffled), batch_tokens)) == list(batches_of(tokens, batch_tokens))


@given(TOKENS, st.integers(1, 100))
def test_the_longest_texts_come_first(tokens: dict[str, int], batch_tokens: int) -> None:
    """Neighbours are of similar length, and time left is not guessed too low."""
    lengths = [tokens[text] for batch in batches_of(tokens, batch_tokens) for text in batch]
    assert lengths == sorted(lengths, reverse=True)

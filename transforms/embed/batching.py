"""Texts in batches that are computed at once, so that little of a batch is padding. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

# However short they are: a live view moves batch by batch, and endpoints take no more at a time.
MAX_BATCH_TEXTS = 256


def batches_of(
    tokens: Mapping[str, int], batch_tokens: int, max_texts: int = MAX_BATCH_TEXTS
) -> Iterator[tuple[str, ...]]:
    """Yield every text once, the longest first, whatever the order of the mapping.

    A batch is padded to its longest text: this length times its texts is at most `batch_tokens`. A
    text that is longer alone has a batch of its own.

    tokens: text → tokens that the encoder reads of it.

    >>> list(batches_of({"one": 1, "one two three": 3, "one two": 2}, batch_tokens=4))
    [('one two three',), ('one two', 'one')]
    """
    # The longest first, also so that the time left is not guessed too low.
    waiting = sorted(tokens, key=lambda text: (-tokens[text], text))
    begin = 0
    while begin < len(waiting):
        longest = max(1, tokens[waiting[begin]])
        end = begin + max(1, min(batch_tokens // longest, max_texts))
        yield tuple(waiting[begin:end])
        begin = end

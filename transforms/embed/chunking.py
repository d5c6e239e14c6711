"""Long texts in chunks: where a text is divided, and what stands for the whole of it. Pure.

Lengths are the encoder's own token counts, asked for in few calls. That is why no library divides
the texts: those that take a counting function call it for one candidate after another.

Late chunking (Günther et al. 2024, arXiv:2409.04701): an encoder that gives token vectors reads
as many chunks together as it takes, and each chunk's vector is pooled from its own tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from transforms.models.contract import Vector
from transforms.models.encoders import Span

# Texts → tokens of each, without those that the encoder adds to every text.
CountTokens = Callable[[Sequence[str]], list[int]]

# Ends of sentences, of lines, and of the parts of a composed text, which end as sentences do.
_ENDS = re.compile(r"[.!?…]+[\"')\]»”’]*(?=\s)|[。！？]+|\n+")
# White space goes with what follows it, as tokenizers have it.
_WORDS = re.compile(r"\s*\S+|\s+")


@dataclass(frozen=True, slots=True)
class Chunk:
    """text[begin:end], without white space around it, and how many tokens that are."""

    begin: int
    end: int
    tokens: int

    def of(self, text: str) -> str:
        return text[self.begin : self.end]


@dataclass(frozen=True, slots=True)
class Window:
    """text[begin:end], read at once for the vectors of `chunks`; what is before them is context."""

    begin: int
    end: int
    chunks: tuple[Chunk, ...]


def sentences(text: str) -> list[Span]:
    """Return the spans of the text's sentences, which cover it without a gap.

    >>> text = "Title: Mug. Holds 0.3 l! Dishwasher-safe"
    >>> [text[begin:end] for begin, end in sentences(text)]
    ['Title: Mug.', ' Holds 0.3 l!', ' Dishwasher-safe']
    """
    places = sorted({0, *(match.end() for match in _ENDS.finditer(text)), len(text)})
    return list(pairwise(places))


def divide(text: str, count: CountTokens, size: int, overlap: int = 0) -> list[Chunk]:
    """Return the chunks of a text, in order, none of more than `size` tokens.

    They end where sentences do; a sentence that is too long is divided between words, and a word
    within. All but white space is in at least one chunk.

    overlap: most tokens, in whole sentences, that a chunk has in common with the one before.
    A single character may have more than `size` tokens, and is a chunk all the same.
    """
    units = _units(text, count, size)
    chunks = []
    ranges = pack([tokens for _, _, tokens in units], size, overlap)
    while ranges:
        spans = [_trimmed(text, units[first][0], units[last - 1][1]) for first, last in ranges]
        lengths = count([text[begin:end] for begin, end in spans])
        # Together, units may have more tokens than each for itself.
        too_long: list[Span] = []
        for (first, last), span, tokens in zip(ranges, spans, lengths, strict=True):
            if tokens > size and last - first > 1:
                middle = (first + last) // 2
                too_long += [(first, middle), (middle, last)]
            elif span[0] < span[1]:
                chunks.append(Chunk(*span, tokens))
        ranges = too_long
    return sorted(chunks, key=lambda chunk: (chunk.begin, chunk.end))


def pack(tokens: Sequence[int], size: int, overlap: int = 0) -> list[Span]:
    """Return ranges of neighbours that have at most `size` tokens together, as many as fit.

    Each begins where the one before ended, or earlier by at most `overlap` tokens; one that is
    longer than `size` alone has a range of its own.

    >>> pack([3, 3, 3, 9, 1], size=6)
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    >>> pack([2, 2, 2, 2], size=6, overlap=2)
    [(0, 3), (2, 4)]
    """
    ranges: list[Span] = []
    begin = end = 0
    while end < len(tokens):
        total = tokens[end]
        # What is taken again must leave room for what is new, or the end would never come.
        shared = 0
        begin = end
        while (
            ranges
            and begin - 1 > ranges[-1][0]
            and shared + tokens[begin - 1] <= overlap
            and total + tokens[begin - 1] <= size
        ):
            begin -= 1
            shared += tokens[begin]
            total += tokens[begin]
        end += 1
        while end < len(tokens) and total + tokens[end] <= size:
            total += tokens[end]
            end += 1
        ranges.append((begin, end))
    return ranges


def windows(chunks: Sequence[Chunk], size: int) -> Iterator[Window]:
    """Yield windows of at most `size` tokens, every chunk in one of them.

    Up to a quarter of a window is what stands before its first chunk (section 3 of the paper: only
    vectors of tokens that the window before did not have are taken).
    """
    done = 0
    for first, last in pack([chunk.tokens for chunk in chunks], size, size // 4):
        yield Window(chunks[first].begin, chunks[last - 1].end, tuple(chunks[done:last]))
        done = last


def pooled(vectors: Sequence[Vector], tokens: Sequence[int]) -> Vector | None:
    """Return the mean of the chunks' vectors, weighted by their tokens, float32 of length one.

    None where the vectors cancel each other out.
    """
    weights = np.maximum(np.asarray(tokens, np.float64), 1)
    mean = np.average(np.asarray(vectors, np.float64), axis=0, weights=weights)
    length = np.linalg.norm(mean)
    return None if length < np.finfo(np.float32).eps else (mean / length).astype(np.float32)


def shortened(text: str, count: CountTokens, most: int) -> str:
    """Return the beginning of a text: as many whole words as have at most `most` tokens."""
    words = [match.span() for match in _WORDS.finditer(text)]
    lengths = np.cumsum(count([text[begin:end] for begin, end in words]))
    fitting = int(np.searchsorted(lengths, most, side="right"))
    return text[: words[fitting - 1][1]].strip() if fitting else ""


def _units(text: str, count: CountTokens, size: int) -> list[tuple[int, int, int]]:
    """Return begin, end and tokens of what is never divided; together they cover the text."""
    units = []
    spans = sentences(text)
    while spans:
        lengths = count([text[begin:end] for begin, end in spans])
        too_long: list[Span] = []
        for (begin, end), tokens in zip(spans, lengths, strict=True):
            if tokens > size and end - begin > 1:
                too_long += _parts(text, begin, end)
            else:
                units.append((begin, end, tokens))
        spans = too_long
    return sorted(units)


def _parts(text: str, begin: int, end: int) -> list[Span]:
    """Return the spans of the words, or of the halves of a single one."""
    words = [match.span() for match in _WORDS.finditer(text, begin, end)]
    middle = (begin + end) // 2
    return words if len(words) > 1 else [(begin, middle), (middle, end)]


def _trimmed(text: str, begin: int, end: int) -> Span:
    part = text[begin:end]
    return end - len(part.lstrip()), begin + len(part.rstrip())

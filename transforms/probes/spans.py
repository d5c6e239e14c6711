"""A tagger of spans for one open-valued text attribute: texts with known values → Tagger, text →
span with a score.

A linear-chain CRF (Lafferty et al. 2001) over words, their shapes and neighbours, and whether other
rows hold the word
as a value: it learns what precedes and follows known values and what they look like. CRFsuite
trains and tags.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from schemas.elements import Example

MAX_TEXT_CHARS = 3_000
MAX_VALUE_TOKENS = 12
_ITERATIONS = 60
_PENALTIES = {"c1": 0.05, "c2": 0.05, "feature.minfreq": 2}
_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*|[^\w\s]|_")
_RUN = re.compile(r"(.)\1+")
_OUTSIDE, _BEGIN, _INSIDE = "O", "B", "I"

Token = tuple[str, int, int]
Features = tuple[tuple[str, ...], ...]


class Lexicon(dict[tuple[str, ...], int]):
    """Known values by their tokens, with how many rows have them."""

    @cached_property
    def longest(self) -> dict[str, int]:
        """First token → tokens of the longest value that begins with it."""
        longest: dict[str, int] = {}
        for key in self:
            longest[key[0]] = max(longest.get(key[0], 0), len(key))
        return longest


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of an item, cut. words: (token, begin, end) with code point offsets."""

    field: str
    text: str
    words: tuple[Token, ...]
    is_title: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A span of a passage with the probability of its least sure word."""

    passage: int
    begin: int
    end: int
    text: str
    score: float


def passages(example: Example, titles: Collection[str]) -> tuple[Passage, ...]:
    """Return the item's own texts, titles first, together MAX_TEXT_CHARS at most."""
    left, kept = MAX_TEXT_CHARS, []
    for text in example.texts:
        if text.source == "text" and left > 0:
            cut = text.text[:left]
            kept.append(Passage(text.field, cut, _words(cut), text.attribute in titles))
            left -= len(cut)
    return tuple(kept)


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[Token, ...]:
    return tuple((match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text))


def key_of(value: str) -> tuple[str, ...]:
    """Return a value as the tagger compares it: its tokens, case aside."""
    return tuple(word.casefold() for word, _, _ in _words(value))


def lexicon(values: Sequence[str]) -> Lexicon:
    """Return known values by their tokens, with how many rows have them."""
    return Lexicon(
        Counter(key for value in values if 0 < len(key := key_of(value)) <= MAX_VALUE_TOKENS)
    )


def tags_of(passage: Passage, key: tuple[str, ...]) -> list[str]:
    """Return the passage's tags where the value is known: every place that says it."""
    words = [word.casefold() for word, _, _ in passage.words]
    tags = [_OUTSIDE] * len(words)
    for at in range(len(words) - len(key) + 1) if key else ():
        if tuple(words[at : at + len(key)]) == key and all(
            tag == _OUTSIDE for tag in tags[at : at + len(key)]
        ):
            tags[at : at + len(key)] = [_BEGIN] + [_INSIDE] * (len(key) - 1)
    return tags


def _shape(word: str) -> str:
    """Return what kinds of characters a word is made of: `Größe-42` is `Xx-d`."""
    return _RUN.sub(r"\1", "".join(map(_kind_of_character, word)))


def _kind_of_character(character: str) -> str:
    if character.isdigit():
        return "d"
    if character.isupper():
        return "X"
    return "x" if character.isalpha() else character


@lru_cache(maxsize=256)
def features_of(passage: Passage, context: tuple[str, ...]) -> Features:
    """Return the features of each word. context: tokens of the item's known values.

    The last passages are kept, for every attribute asks for the same ones.
    """
    words = [word.casefold() for word, _, _ in passage.words]
    shapes = [_shape(word) for word, _, _ in passage.words]
    place = "title" if passage.is_title else "text"
    rows = []
    for at, word in enumerate(words):
        before, after = _at(words, at - 1), _at(words, at + 1)
        row = ["bias", f"w={word}", f"s={shapes[at]}", f"p={word[:3]}", f"x={word[-3:]}", place]
        row += [f"{token}|{word}" for token in context]
        row += context
        row += [f"-2={_at(words, at - 2)}", f"-1={before}", f"1={after}", f"2={_at(words, at + 2)}"]
        row += [f"b-={before}|{word}", f"b+={word}|{after}"]
        row.append(f"s3={_at(shapes, at - 1)}|{shapes[at]}|{_at(shapes, at + 1)}")
        if at > 0 and passage.words[at - 1][2] == passage.words[at][1]:
            row.append("glued")
        if passage.is_title:
            row += [f"from={min(at, 5)}", f"to={min(len(words) - at, 5)}"]
        rows.append(tuple(row))
    return tuple(rows)


def with_marks(
    features: Features, passage: Passage, known: Lexicon, own: tuple[str, ...] = ()
) -> list[list[str]]:
    """Return features with those of known values.

    own: of a training row, its value: known only if other rows have it too.
    """
    marks = _known_marks([word.casefold() for word, _, _ in passage.words], known, own)
    return [[*row, f"g={marks[at]}", f"g+={_at(marks, at + 1)}"] for at, row in enumerate(features)]


def _at(sequence: Sequence[str], index: int) -> str:
    """Return an entry, or a mark for what is before the first or after the last."""
    if index < 0:
        return "<"
    return sequence[index] if index < len(sequence) else ">"


def _known_marks(words: Sequence[str], known: Lexicon, own: tuple[str, ...]) -> list[str]:
    """For each word whether it begins (B) or goes on (I) the longest known value there."""
    marks, at = ["-"] * len(words), 0
    longest = known.longest
    while at < len(words):
        for length in range(min(longest.get(words[at], 0), len(words) - at), 0, -1):
            key = tuple(words[at : at + length])
            if known.get(key, 0) - (key == own) > 0:
                marks[at : at + length] = [_BEGIN] + [_INSIDE] * (length - 1)
                at += length - 1
                break
        at += 1
    return marks


@dataclass(frozen=True)
class Tagger:
    """A trained tagger. model: CRFsuite's own file; known: the values of the training rows."""

    model: bytes
    known: Lexicon

    def answer(self, example_passages: Sequence[Passage], context: tuple[str, ...]) -> Span | None:
        """Return the item's likeliest span, or the likeliest first word where no span is likelier
        than none.
        """
        best: Span | None = None
        tagger = _opened(self.model)
        for number, passage in enumerate(example_passages):
            features = with_marks(features_of(passage, context), passage, self.known)
            for span in _spans(tagger, number, passage, features):
                if best is None or span.score > best.score:
                    best = span
        return best


@lru_cache(maxsize=256)
def _opened(model: bytes) -> Any:
    import pycrfsuite

    tagger = pycrfsuite.Tagger()
    tagger.open_inmemory(model)
    return tagger


def _spans(tagger: Any, number: int, passage: Passage, features: list[list[str]]) -> Iterator[Span]:
    if not features:
        return
    tagger.set(features)
    tags = tagger.tag()
    # Where every training text is its value and nothing else, no word is outside.
    knows_outside = _OUTSIDE in tagger.labels()
    inside = [
        1 - tagger.marginal(_OUTSIDE, at) if knows_outside else 1.0 for at in range(len(tags))
    ]
    first = None
    for at, tag in enumerate([*tags, _OUTSIDE]):
        if first is not None and tag != _INSIDE:
            yield _span(number, passage, first, at - 1, min(inside[first:at]))
            first = None
        if first is None and tag != _OUTSIDE:
            first = at
    if all(tag == _OUTSIDE for tag in tags) and _BEGIN in tagger.labels():
        begins = [tagger.marginal(_BEGIN, at) for at in range(len(tags))]
        at = max(range(len(begins)), key=lambda index: begins[index])
        yield _span(number, passage, at, at, min(begins[at], 0.49))


def _span(number: int, passage: Passage, first: int, last: int, score: float) -> Span:
    begin, end = passage.words[first][1], passage.words[last][2]
    return Span(number, begin, end, passage.text[begin:end], min(max(score, 0.0), 1.0))


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A training row. value: None where the source says that there is none."""

    passages: tuple[Passage, ...]
    context: tuple[str, ...]
    value: str | None
    features: tuple[Features, ...]

    @classmethod
    def of(
        cls, passages: tuple[Passage, ...], context: tuple[str, ...], value: str | None
    ) -> SpanRow:
        """With the features that are the same in every fold."""
        return cls(
            passages, context, value, tuple(features_of(passage, context) for passage in passages)
        )

    @property
    def is_stated(self) -> bool:
        """Whether some passage says the value; a row whose value stands nowhere teaches nothing."""
        key = key_of(self.value or "")
        return any(_BEGIN in tags_of(passage, key) for passage in self.passages)


def fit_tagger(rows: Sequence[SpanRow]) -> Tagger | None:
    """Return a tagger, or None where no row's texts say its value."""
    import pycrfsuite

    known = lexicon([row.value for row in rows if row.value])
    usable = [row for row in rows if row.value is None or row.is_stated]
    if all(row.value is None for row in usable):
        return None
    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.set_params({**_PENALTIES, "max_iterations": _ITERATIONS})
    for row in usable:
        own = key_of(row.value or "")
        for passage, features in zip(row.passages, row.features, strict=True):
            if passage.words:
                trainer.append(with_marks(features, passage, known, own), tags_of(passage, own))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spans.crfsuite"
        trainer.train(str(path))
        return Tagger(path.read_bytes(), known)

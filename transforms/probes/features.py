"""What probes see of an item: (texts, known values, vectors of text and picture) → feature
matrices. Pure.

Words and letter groups are hashed (Weinberger et al. 2009, doi:10.1145/1553374.1553516), so that
training keeps no vocabulary and a row's features do not depend on other rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from schemas.attributes import Attribute
from schemas.elements import Example, Item, Value
from schemas.template import Template
from transforms.attribute_types.registry import operations_of
from transforms.items.evidence import evidence_texts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_YES, _NO = "yes", "no"
VERSION = "2"  # raise it when features change: probes of earlier versions are not used then
HASH_BITS = 18
# Words of all texts, letter groups of titles: long texts would drown a title in their own.
MAX_TEXT_CHARS = 3_000
MAX_TITLE_CHARS = 300
MAX_KNOWN_CHARS = 80
MIN_LABEL_SHARE = 0.02

View = Literal["text", "image", "both"]
VIEWS: tuple[View, ...] = get_args(View)
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Features:
    """Rows of features.

    words, pictures: sparse (rows, 2**HASH_BITS); vectors: float32 (rows, dimension), zero where
    there is none; titles: for messages.
    """

    words: csr_matrix
    text_vectors: Floats
    pictures: csr_matrix
    image_vectors: Floats

    def __len__(self) -> int:
        return int(self.words.shape[0])

    def rows(self, index: Any) -> Features:
        """Return the rows that `index` selects."""
        return Features(
            self.words[index],
            self.text_vectors[index],
            self.pictures[index],
            self.image_vectors[index],
        )


def example_of(template: Template, item: Item) -> Example:
    """Return what is kept of an item to learn from it, or to answer for it."""
    pictures = {
        image.features.digest: image.features for image in item.images if image.features is not None
    }
    return Example(
        item.item_id,
        evidence_texts(template, item),
        {
            name: label_of(value)
            for name, value in item.record.values.items()
            if _is_label(template.by_name[name])
        },
        tuple(name for name in item.record.absent if template.by_name[name].fill),
        _packed(item.text_vector),
        _packed(item.image_vector),
        tuple(pictures),
        tuple(weighted for features in pictures.values() for weighted in _picture_tokens(features)),
    )


def _is_label(attribute: Attribute) -> bool:
    return operations_of(attribute).is_label and not attribute.role


def label_of(value: Value | None) -> tuple[str, ...]:
    """Return a value as labels, sorted; the inverse of `value_of`.

    >>> label_of(True), label_of(["Wool", "Silk"]), label_of(None)
    (('yes',), ('Silk', 'Wool'), ())
    """
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(sorted(value))
    if isinstance(value, bool):
        return (_YES,) if value else (_NO,)
    return (str(value),)


def value_of(attribute: Attribute, labels: Sequence[str]) -> Value:
    """Return labels as a value of the attribute; at least one label."""
    return operations_of(attribute).value_of_labels(attribute, labels)


def _packed(vector: Any) -> bytes:
    return b"" if vector is None else np.asarray(vector, "<f4").tobytes()


def _picture_tokens(features: Any) -> list[tuple[str, float]]:
    return [
        *((f"color={name}", share) for name, share in features.colors),
        *((f"label={name}", score) for name, score in features.labels if score >= MIN_LABEL_SHARE),
    ]


def base_features(template: Template, examples: Sequence[Example]) -> Features:
    """Return features of examples that are the same whatever attribute is asked for."""
    words, letters, tokens = _hashers()
    texts = [_own_text(example) for example in examples]
    titles = [_titles(example, template.titles) for example in examples]
    seen_on_images = [_image_tokens(example) for example in examples]
    return Features(
        _sublinear(words.transform(texts) + letters.transform(titles)),
        _stack([example.text_vector for example in examples]),
        tokens.transform(seen_on_images).tocsr(),
        _stack([example.image_vector for example in examples]),
    )


def _own_text(example: Example) -> str:
    return "\n".join(t.text for t in example.texts if t.source == "text")[:MAX_TEXT_CHARS]


def _titles(example: Example, fields: Collection[str]) -> str:
    titles = (text.text for text in example.texts if text.attribute in fields)
    return "\n".join(titles)[:MAX_TITLE_CHARS]


def _image_tokens(example: Example) -> list[tuple[str, float]]:
    words = ((f"word={word}", 1.0) for word in _words_on_pictures(example))
    return [*example.picture_tokens, *words]


def featurise(
    template: Template,
    attribute: str,
    examples: Sequence[Example],
    suggestions: Sequence[str | None],
    base: Features | None = None,
) -> Features:
    """Return features of examples for one attribute, whose own value is left out.

    suggestions: for each example what the rules would say of the attribute, as a token, or None.
    base: of the same examples, where they are at hand.
    """
    base = base_features(template, examples) if base is None else base
    _, _, tokens = _hashers()
    seen = [
        [*_known_tokens(template, attribute, example), *([(f"rule={said}", 1.0)] if said else [])]
        for example, said in zip(examples, suggestions, strict=True)
    ]
    words = (base.words + tokens.transform(seen)).tocsr()
    words.sort_indices()
    return replace(base, words=words)


def _known_tokens(
    template: Template, attribute: str, example: Example
) -> Iterable[tuple[str, float]]:
    for name, values in example.known.items():
        if name != attribute and operations_of(template.by_name[name]).helps_probes:
            for value in values:
                if len(value) <= MAX_KNOWN_CHARS:
                    yield f"{name}={value}", 1.0


def _words_on_pictures(example: Example) -> set[str]:
    return {
        word
        for text in example.texts
        if text.source == "image"
        for word in text.text.casefold().split()
    }


@cache
def _hashers() -> tuple[Any, Any, Any]:
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.feature_extraction.text import HashingVectorizer

    shared: dict[str, Any] = {
        "n_features": 2**HASH_BITS,
        "alternate_sign": False,
        "norm": None,
        "dtype": np.float32,
    }
    words = HashingVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **shared)  # noqa: S106
    letters = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), **shared)
    tokens = FeatureHasher(
        n_features=2**HASH_BITS, alternate_sign=False, dtype=np.float32, input_type="pair"
    )
    return words, letters, tokens


def hash_words(words: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the column of each word, as the word features count it; int64 (words,)."""
    from sklearn.utils import murmurhash3_32

    return np.array(
        [abs(int(murmurhash3_32(word.lower(), seed=0))) % 2**HASH_BITS for word in words], np.int64
    )


def _sublinear(counts: Any) -> csr_matrix:
    """1 + log of each count, as a word that is said ten times is not ten times as telling."""
    matrix = counts.tocsr()
    matrix.data = 1 + np.log(np.maximum(matrix.data, 1))
    matrix.sort_indices()
    return matrix


def _stack(packed: Sequence[bytes]) -> Floats:
    dimension = max((len(vector) for vector in packed), default=0) // 4
    stacked = np.zeros((len(packed), dimension), np.float32)
    for row, vector in enumerate(packed):
        if vector:
            stacked[row] = np.frombuffer(vector, "<f4")
    return stacked

"""Whether a file that has only its name in common with a reference may be of another thing.

Shops call the pictures of all their products alike, `red-mug/front.jpg` and `blue-mug/front.jpg`:
then the folder says whose picture it is. A name of its own says it itself, whatever the folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from schemas.vocabularies import basic_colors
from transforms.images.names import folded, stem

# What pictures show, in which size: names that say nothing of the thing.
_VIEWS = frozenset(
    re.findall(
        r"\S+",
        """
        front back side top bottom left right main image images img photo photos picture pic pics
        thumb thumbnail large small medium big xl zoom default cover hero detail details full
        original orig index preview gallery product item view alt swatch square web hires highres
        low high res raw scan foto bild haupt haupbild hauptbild vorne hinten seite oben unten avant
        arriere arrière dos face cote côté principal principale frente detras detrás lado frontal
        fronte retro lato voorkant achterkant przód tył фото
        """,
    )
)
# Folders in which pictures of all things lie.
_SHARED = frozenset(
    re.findall(
        r"\S+",
        """
        images image img imgs pictures picture pics photos photo media files file uploads upload
        static assets asset catalog catalogue product products item items cache content wp-content
        cdn shop store public storage data web site sites default original originals full large
        small medium thumbs thumb thumbnail thumbnails zoom export download downloads pub bilder
        fotos archive image-data product-images product_images
        """,
    )
)
_SIZE = re.compile(r"\d+x\d*|x\d+|[a-z]|[0-9a-f]{16,}")
_DATE = re.compile(r"(?:^|/)(?:19|20)\d\d/\d\d(?=/|$)")
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_FEW_DIGITS, _FEW_LETTERS = 3, 2


def are_of_other_things(reference: Sequence[str], path: str) -> bool:
    """Return whether the folders of two paths with one name say that they are of different things.

    >>> are_of_other_things(["p", "124", "1.jpg"], "p/123/1.jpg")
    True
    >>> are_of_other_things(["green", "front.jpg"], "red/front.jpg")
    True
    >>> are_of_other_things(["green", "mug-4711.jpg"], "red/mug-4711.jpg")
    False
    """
    there, here = list(reference[:-1]), path.split("/")[:-1]
    if there and here and _has_digit(there[-1]) and _has_digit(here[-1]):
        return there[-1] != here[-1]
    return _says_nothing(reference[-1]) and _thing(there) != _thing(here)


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


@lru_cache(maxsize=4_096)
def _says_nothing(name: str) -> bool:
    """Return whether pictures of many things are called so: a view, a colour, a number."""
    return all(
        (len(word) <= _FEW_DIGITS if word.isdigit() else len(word) <= _FEW_LETTERS)
        or word in _VIEWS
        or word in _colors()
        for word in _WORDS.findall(stem(name))
    )


@lru_cache(maxsize=1)
def _colors() -> frozenset[str]:
    return frozenset(
        folded(name) for color in basic_colors() for name in (color.value, *color.anchors)
    )


def _thing(folders: Sequence[str]) -> str:
    """Return the folder that says what lies in it; empty where none does."""
    path = _DATE.sub("", "/".join(map(folded, folders)))
    own = [part for part in path.split("/") if part and part not in _SHARED]
    return next((part for part in reversed(own) if not _SIZE.fullmatch(part)), "")

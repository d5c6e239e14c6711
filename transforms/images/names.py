"""How alike the names of a file and a reference are."""

from __future__ import annotations

import unicodedata

from transforms.normalise.picture_texts import PICTURE_ENDINGS


def nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    return nfc(nfc(name).casefold())


def stem(name: str) -> str:
    """Return the folded name without the ending of a picture file."""
    whole = folded(name)
    begin, dot, ending = whole.rpartition(".")
    return begin if dot and ending in PICTURE_ENDINGS else whole


# Strictest first, and what is said of it. Names that are alike at one level have one stem.
LEVELS = (
    (nfc, "accents written otherwise (NFC, NFD)"),
    (folded, "upper and lower case"),
    (stem, "another ending"),
)
# Folders have no endings.
FOLDER_LEVEL = 1

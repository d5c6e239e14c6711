"""How cells hold pictures: references, several in one text, and the bytes themselves.

cell → references | bytes. No file is looked at here, but through `is_there`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

PICTURE_ENDINGS = frozenset(
    ("avif bmp gif heic heif jfif jpe jpeg jpg jxl png svg tif tiff webp").split()  # noqa: SIM905
)
_SPLIT_AT = re.compile(r"[?#]")
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+:)?//", re.IGNORECASE)
_DATA = re.compile(r"data:([^,]*),", re.IGNORECASE)
# WooCommerce writes what is said of a picture behind its address.
_ABOUT = re.compile(
    r"\s+!\s+(?:alt|title|desc|caption)\s+:.*?"
    r"(?=\s+!\s+(?:alt|title|desc|caption)\s+:|\s*\||$"
    r"|\s*[,;]\s*(?:https?://|[\w./%+-]+\.(?:jpe?g|png|webp|gif)\b))",
    re.IGNORECASE | re.DOTALL,
)
# How the pictures that people keep in texts begin, in base64: JPEG, PNG, GIF, WebP, TIFF, BMP.
_BASE64 = re.compile(
    r"(?:/9j/|iVBORw0KGgo|R0lGOD|UklGR|SUkqA|TU0AK|Qk0)[A-Za-z0-9+/\s]{60,}={0,2}\s*"
)
# More separators than this in one reference are those of a list.
_MAX_JOINED_PARTS = 64


class NoPictureError(ValueError):
    """A text that should hold a picture's bytes, and does not."""


def has_ending(text: str) -> bool:
    """Tell whether a text ends as the name of a picture file does.

    >>> has_ending("a.JPG?v=1"), has_ending("w_200")
    (True, False)
    """
    if "?" in text or "#" in text:
        text = _SPLIT_AT.split(text)[0]
    return text.rpartition(".")[2].strip().casefold() in PICTURE_ENDINGS


def is_reference(text: str) -> bool:
    """Return whether a text surely is one reference to a picture, and no picture itself.

    >>> is_reference("a, b.jpg"), is_reference("data:image/png;base64,x.png"), is_reference("a")
    (True, False, False)
    """
    return has_ending(text) and text.lstrip()[:5].lower() != "data:"


def without_description(text: str) -> str:
    """Return a cell without the `! alt : ...` and `! title : ...` behind its references.

    >>> without_description("a.jpg ! alt : A mug, red ! title : Mug | b.jpg")
    'a.jpg | b.jpg'
    """
    return _ABOUT.sub("", text) if " ! " in text else text


def joined(parts: Sequence[str], separator: str, is_there: Callable[[str], bool]) -> Iterator[str]:
    """Yield the references of a cell that was split at each separator: one may stand inside.

    is_there: whether a reference has a file; it is asked where a part does not look like a
    picture's.

    >>> list(joined(["https://shop.example/w_200", "h_200/a.jpg", "b"], ",", lambda _: False))
    ['https://shop.example/w_200,h_200/a.jpg', 'b']
    """
    at = 0
    while at < len(parts):
        near = parts[at : at + _MAX_JOINED_PARTS]
        taken = _taken(near, separator, is_there)
        yield separator.join(near[:taken])
        at += taken


def _taken(parts: Sequence[str], separator: str, is_there: Callable[[str], bool]) -> int:
    first = parts[0].strip()
    if first[:5].lower() == "data:":
        head = next((n for n, part in enumerate(parts) if _DATA.match(f"{part},")), 0)
        return next(
            (n for n in range(1, len(parts) + 1) if _is_whole_data(separator.join(parts[:n]))),
            min(head + 2, len(parts)),
        )
    if has_ending(first) or len(parts) == 1:
        return 1
    ends = [n for n, part in enumerate(parts[1:], 2) if has_ending(part)]
    if _URL.match(first):
        later = (n for n, part in enumerate(parts[1:], 1) if _URL.match(part.strip()))
        following = next(later, len(parts))
        return next((n for n in ends if n <= following), 1)
    return next((n for n in ends if is_there(separator.join(parts[:n]).strip())), 1)


def _is_whole_data(text: str) -> bool:
    found = _DATA.match(text.strip())
    return found is not None and len(text.strip()) > found.end()


def picture_bytes(entry: Any) -> bytes | None:
    """Return the bytes of a picture that stands in a cell itself, None for a cell with anything
    else; NoPictureError where it says that it holds one and does not.

    That is binary data, a structure with `bytes` (and `path`, as Hugging Face datasets have it), a
    data: address, or base64 that begins as a picture does.
    """
    if isinstance(entry, Mapping):
        entry = entry.get("bytes")
    if isinstance(entry, bytes | bytearray | memoryview):
        return bytes(entry) or None
    if not isinstance(entry, str):
        return None
    text = entry.strip()
    if found := _DATA.match(text):
        return _of_data(found[1], text[found.end() :])
    if text[:5].lower() == "data:":
        raise NoPictureError("is a data: address without a comma before its data")
    return _decoded(text) if _BASE64.fullmatch(text) else None


def picture_path(entry: Any) -> str | None:
    """Return the path in a structure of bytes and path; None for any other entry."""
    path = entry.get("path") if isinstance(entry, Mapping) else None
    return path if isinstance(path, str) else None


def _of_data(kind: str, data: str) -> bytes:
    content = unquote_to_bytes(data)
    if kind.casefold().rstrip().endswith(";base64"):
        content = _decoded(content.decode("ascii", "replace"))
    if not content:
        raise NoPictureError("is a data: address without data")
    return content


def _decoded(text: str) -> bytes:
    try:
        compact = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoPictureError(f"is no base64: {error}") from error

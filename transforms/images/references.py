"""Picture references as shops and file systems write them: what path each may stand for.

text → readings, each with what was read otherwise than written. No file is looked at here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from urllib.parse import parse_qsl, unquote, urlsplit

from schemas.secrets import without_secrets
from schemas.texts import shorten
from transforms.normalise.picture_texts import has_ending

_SHOWN_CHARS = 120
_URL = re.compile(r"(?:[a-z][a-z0-9+.-]+:)?//", re.IGNORECASE)
_FILE_URL = re.compile(r"file:(?://(?:localhost)?(?=/)|(?=/))", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:(?=[\\/])")
_SPLIT_AT = re.compile(r"[?#]")


@dataclass(frozen=True, slots=True)
class Reading:
    """A path below the root that a reference may stand for.

    parts: folders and name. by_end: the beginning of the path is another system's, so that any
    number of its last parts may be what lies below the root. changes: what was read otherwise.
    """

    parts: tuple[str, ...]
    by_end: bool = False
    changes: tuple[str, ...] = ()


def readings(reference: str, root: str) -> Iterator[Reading]:
    """Yield what a reference may stand for, the least changed first.

    root: absolute path of the local root, empty for one in an object store.
    """
    text = reference.strip().strip("\"'")
    if file_url := _FILE_URL.match(text):
        path = unquote(_SPLIT_AT.split(text[file_url.end() :])[0])
        yield from _absolute(path, root, "file: address")
    elif _URL.match(text):
        yield from _of_url(html.unescape(text))
    elif _DRIVE.match(text) or text.startswith("\\\\"):
        yield from _by_end(text.replace("\\", "/").split(":")[-1], "path of another system")
    else:
        for changed, changes in _variants(text):
            if changed.startswith("/"):
                yield from _absolute(changed, root, "absolute path", changes)
            elif parts := _parts(changed):
                yield Reading(parts, changes=changes)


def shown(reference: str) -> str:
    """Return a reference for a message: in quotes, cut, without what is secret."""
    return shorten(repr(without_secrets(reference)), _SHOWN_CHARS, "...", counted=False)


def _of_url(text: str) -> Iterator[Reading]:
    try:
        url = urlsplit(text)
    except ValueError:
        return
    paths = [unquote(url.path), url.path]
    if not has_ending(url.path):
        values = dict.fromkeys(value for _, value in parse_qsl(url.query) if has_ending(value))
        # Of several nobody knows which is meant: the picture, or a smaller one of it.
        paths += values if len(values) == 1 else ()
    for path in dict.fromkeys(paths):
        yield from _by_end(path, "end of the address")


def _absolute(path: str, root: str, what: str, changes: tuple[str, ...] = ()) -> Iterator[Reading]:
    changes = (*changes, what)
    if root and path.startswith(f"{root.rstrip('/')}/"):
        path = path.removeprefix(root.rstrip("/"))
        if parts := _parts(path):
            yield Reading(parts, changes=changes)
    else:
        yield from _by_end(path, *changes)


def _by_end(path: str, *changes: str) -> Iterator[Reading]:
    if parts := _parts(path):
        yield Reading(parts, by_end=True, changes=changes)


def _parts(path: str) -> tuple[str, ...]:
    """Return folders and name; nothing for a path that climbs, whatever it was decoded from."""
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    climbs = any(part == ".." or "\\" in part or not part.isprintable() for part in parts)
    return () if climbs else parts


_STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("character reference", html.unescape),
    ("backslash", lambda text: text.replace("\\", "/")),
    ("query or fragment", lambda text: _SPLIT_AT.split(text)[0]),
    ("percent-encoding", unquote),
)


def _variants(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    found: dict[str, tuple[str, ...]] = {}
    for chosen in sorted(product((False, True), repeat=len(_STEPS)), key=sum):
        changed, changes = text, []
        for (what, step), is_chosen in zip(_STEPS, chosen, strict=True):
            after = step(changed) if is_chosen else changed
            if after != changed:
                changes.append(what)
            changed = after
        found.setdefault(changed, tuple(changes))
    yield from found.items()

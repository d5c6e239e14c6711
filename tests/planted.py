"""Marks planted as secrets, and the search for them in everything that a command leaves: in files of any kind, in what
it printed, however they are encoded there.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import html
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pyarrow.parquet as pq

MARK = "Zq7Plant3dK9mXw2Lr5T"
# One mark in each of the shapes that a secret has where an option or a field takes an address or a name.
SHAPES = {
    "key": f"sk-{MARK}",
    "password": f"https://me:{MARK}@shop.example/v1",
    "password of a store": f"s3://me:{MARK}@bucket/a.csv",
    "query": f"https://shop.example/v1?sig={MARK}",
    "query of a store": f"s3://bucket/a.csv?X-Amz-Signature={MARK}",
    "header": f"Authorization: Bearer {MARK}",
    "argument": f"--hf-token {MARK}",
}
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_BREAKS = re.compile(r"\s*(?:\\+[rn]|[\r\n])\s*")
_ESCAPES = re.compile(r"\\+(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|([^ux]))")


def holds(text: str, mark: str = MARK) -> bool:
    """Tell whether a text holds the mark, also after up to two rounds of decoding."""
    seen, pending = set(), {text}
    for _ in range(2):
        if any(mark in each for each in pending):
            return True
        seen |= pending
        pending = {step(each) for each in pending for step in _DECODERS} - seen
    return any(mark in each for each in pending)


def found_in(folder: Path, allowed: Iterable[str] = (), never: str = MARK) -> list[str]:
    """The places below a folder that hold the mark: files, columns and metadata of Parquet, names.

    allowed: `table/column.field` of Parquet, and kinds of files, that hold what the catalog says,
    but not `never`.
    """
    passes = set(allowed)
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if holds(name):
            found.append(f"name {name}")
        if path.is_symlink() or not path.is_file():
            continue
        for place, text in _texts_of(path):
            if holds(text, never if {place, path.suffix} & passes else MARK):
                found.append(f"{name}: {place}")
    return list(dict.fromkeys(found))


def _texts_of(path: Path) -> Iterator[tuple[str, str]]:
    data = path.read_bytes()
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        yield "metadata", repr(file.schema_arrow.metadata) + repr(file.metadata.metadata)
        for name, column in zip(file.schema_arrow.names, file.read().columns, strict=True):
            by_place: dict[str, list[str]] = {}
            for place, text in _flat(f"{path.parent.name}/{name}", column.to_pylist()):
                by_place.setdefault(place, []).append(text)
            yield from ((place, " ".join(texts)) for place, texts in by_place.items())
        return
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    yield "content", data.decode("utf-8", "replace")


def _flat(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """The texts in a value, each with its column and the fields within it."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(f"{place}.{key}", each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _flat(place, each)
    elif isinstance(value, bytes):
        yield place, value.decode("utf-8", "replace")
        with suppress(zlib.error):
            yield place, zlib.decompress(value).decode("utf-8", "replace")
    elif value is not None:
        yield place, str(value)


def _unescaped(text: str) -> str:
    def read(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        return chr(int(code, 16)) if code else found[3]

    return _ESCAPES.sub(read, text)


def _from_base64(text: str) -> str:
    """Every run of its characters, read from each of its first four."""

    def read(found: re.Match[str]) -> str:
        plain = found[0].translate(str.maketrans("-_", "+/"))
        parts = []
        for begin in range(min(4, len(plain))):
            whole = plain[begin : begin + (len(plain) - begin) // 4 * 4]
            try:
                parts.append(base64.b64decode(whole).decode("utf-8", "replace"))
            except (binascii.Error, ValueError):
                continue
        return " ".join(parts)

    return _ENCODED.sub(read, text)


def _from_hex(text: str) -> str:
    return re.sub(
        r"(?:[0-9A-Fa-f]{2}){8,}",
        lambda found: bytes.fromhex(found[0]).decode("utf-8", "replace"),
        text,
    )


_DECODERS: tuple[Callable[[str], str], ...] = (
    unquote,
    unquote_plus,
    html.unescape,
    _unescaped,
    lambda text: _BREAKS.sub("", text),
    _from_base64,
    _from_hex,
)


def ways_to_write(text: str) -> dict[str, str]:
    """A text in the ways in which a server, a library or a page may write it."""
    data = text.encode()
    return {
        "as it is": text,
        "percent": quote(text, safe=""),
        "percent, each character": "".join(f"%{byte:02x}" for byte in data),
        "plus": quote_plus(f"a b{text}"),
        "JSON": json.dumps(text),
        "JSON in JSON": json.dumps(json.dumps(text)),
        "escapes": "".join(f"\\u{ord(char):04x}" for char in text),
        "Python": repr(text),
        "entities": html.escape(text),
        "numbers": "".join(f"&#{ord(char)};" for char in text),
        "base64": base64.b64encode(data).decode(),
        "base64 of a header": base64.b64encode(b"me:" + data).decode(),
        "base64 within": base64.urlsafe_b64encode(b"u:" + data + b"!").decode(),
        "base64 in lines": base64.encodebytes(b"x" * 50 + data).decode(),
        "hexadecimal": data.hex(),
        "in two lines": f"{text[:9]}\n    {text[9:]}",
    }

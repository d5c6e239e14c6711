"""Responses that come compressed although nobody asked for it, unpacked up to a stated size.

HTTP lets a server choose an encoding where the client names none (RFC 9110, 12.5.3), and proxies do
so whatever the client names. Nothing here touches the network.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

# Of encodings over each other, as of a proxy that packs what the server packed; more are an attack.
MAX_LAYERS = 2
# Read at a time from a decoder that cannot be told a limit.
_STEP_BYTES = 2**16


class EncodingError(ValueError):
    """A response that cannot be unpacked; the message says why."""


class TooLargeError(EncodingError):
    """A response that holds more than is read."""


def unpacked(body: bytes, content_encoding: str, most_bytes: int) -> bytes:
    """Return what a response holds, by its Content-Encoding.

    Raises EncodingError where it is cut off or damaged, holds more than `most_bytes`, or is packed
    in another way than gzip, deflate, br and zstd.

    >>> unpacked(zlib.compress(b"{}"), "deflate", 100)
    b'{}'
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    layers = [name for name in names if name not in ("", "identity")]
    if len(layers) > MAX_LAYERS:
        raise EncodingError(f"packed {len(layers)} times over (Content-Encoding)")
    # A response without a body may name an encoding all the same.
    for name in reversed(layers) if body else ():
        if name not in _DECODERS:
            raise EncodingError(f"packed as {name[:40]!r} (Content-Encoding), which is not read")
        body = _bounded(name, body, most_bytes)
    return body


def _bounded(name: str, body: bytes, most_bytes: int) -> bytes:
    pieces: list[bytes] = []
    left = most_bytes
    try:
        for piece in _DECODERS[name](body):
            left -= len(piece)
            if left < 0:
                raise TooLargeError(f"more than {most_bytes:,} bytes once unpacked ({name})")
            pieces.append(piece)
    except (zlib.error, OSError, EOFError) as error:
        raise EncodingError(f"no whole {name}: {error}") from None
    return b"".join(pieces)


def _gzip(body: bytes) -> Iterator[bytes]:
    # Several members may follow each other, and what comes behind the last is padding.
    while body[:2] == b"\x1f\x8b":
        decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
        yield from _inflated(decoder, body)
        body = decoder.unused_data.lstrip(b"\0")
    if body:
        raise zlib.error("no gzip")


def _deflate(body: bytes) -> Iterator[bytes]:
    # The standard has a zlib header there, and many servers leave it out.
    has_header = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
    yield from _inflated(zlib.decompressobj(zlib.MAX_WBITS * (1 if has_header else -1)), body)


def _inflated(decoder: zlib._Decompress, body: bytes) -> Iterator[bytes]:
    while not decoder.eof:
        piece = decoder.decompress(body, _STEP_BYTES)
        body = decoder.unconsumed_tail
        if not piece and not body and not decoder.eof:
            raise EOFError("it ends too early")
        yield piece


def _by_arrow(codec: str) -> Callable[[bytes], Iterator[bytes]]:
    def pieces(body: bytes) -> Iterator[bytes]:
        import pyarrow as pa

        with pa.CompressedInputStream(pa.BufferReader(body), codec) as stream:
            while piece := stream.read(_STEP_BYTES):
                yield piece

    return pieces


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _by_arrow("brotli"),
    "zstd": _by_arrow("zstd"),
}

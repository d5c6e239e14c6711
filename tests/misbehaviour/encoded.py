"""Servers that pack their answers although the client did not ask for it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from functools import cache

import pyarrow as pa

from tests.misbehaviour.contract import USED, Respond, Row, sends, whole

BOMB_BYTES = 2**28


def deflated(data: bytes) -> bytes:
    """Deflate without its header, as some servers have it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def packed_by(codec: str) -> Callable[[bytes], bytes]:
    return lambda data: bytes(pa.compress(data, codec=codec, asbytes=True))


@cache
def bomb(pack: str) -> bytes:
    """A few kilobytes that become BOMB_BYTES of white space."""
    if pack in ("gzip", "deflate"):
        packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS + 16 * (pack == "gzip"))
        parts = [packer.compress(b" " * 2**20) for _ in range(BOMB_BYTES // 2**20)]
        return b"".join(parts) + packer.flush()
    return packed_by({"br": "brotli"}.get(pack, pack))(b" " * BOMB_BYTES)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": packed_by("brotli"),
    "zstd": packed_by("zstd"),
}


def _packing(pack: Callable[[bytes], bytes], encoding: str) -> Respond:
    return sends(lambda body: pack(json.dumps(whole(body)).encode()), Content_Encoding=encoding)


def _bombing(name: str) -> Respond:
    return sends(lambda body: bomb(name), Content_Encoding=name)


BEHAVIOURS: dict[str, Row] = {
    **{f"packed-{name}": (USED, _packing(pack, name)) for name, pack in PACKERS.items()},
    "packed-deflate-raw": (USED, _packing(deflated, "deflate")),
    "packed-upper-case": (USED, _packing(gzip.compress, " GZIP ")),
    "packed-twice": (USED, _packing(lambda d: zlib.compress(gzip.compress(d)), "gzip, deflate")),
    "packed-in-members": (
        USED,
        _packing(lambda d: gzip.compress(d[:40]) + gzip.compress(d[40:]), "gzip"),
    ),
    "packed-identity": (USED, _packing(bytes, "identity")),
    "packed-cut": ("model-error", _packing(lambda d: gzip.compress(d)[:-9], "gzip")),
    "packed-cut-zstd": ("model-error", _packing(lambda d: PACKERS["zstd"](d)[:-5], "zstd")),
    "packed-broken": ("model-error", _packing(lambda d: gzip.compress(d)[::-1], "gzip")),
    "packed-not-at-all": ("model-error", _packing(bytes, "br")),
    "packed-unknown": ("model-error", _packing(bytes, "compress")),
    "packed-five-times": ("model-error", _packing(bytes, ", ".join(["gzip"] * 5))),
    **{
        f"bomb-{name}": ("model-error", _bombing(name))
        for name in ("gzip", "deflate", "br", "zstd")
    },
}

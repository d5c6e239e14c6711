"""Servers that pack their answers although the client did not ask for it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from functools import cache

import pyarrow as pa

from tests.misbehaviour.contract import USED, Behaviour, Respond, sends, whole

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


BEHAVIOURS: dict[str, Behaviour] = {
    **{
        f"packed-{name}": Behaviour(
            USED, f"packs its answer as {name}, unasked", _packing(pack, name)
        )
        for name, pack in PACKERS.items()
    },
    "packed-deflate-raw": Behaviour(
        USED, "packs it as deflate without the header", _packing(deflated, "deflate")
    ),
    "packed-upper-case": Behaviour(
        USED, "writes the encoding in capitals, with spaces", _packing(gzip.compress, " GZIP ")
    ),
    "packed-twice": Behaviour(
        USED,
        "packs it twice",
        _packing(lambda d: zlib.compress(gzip.compress(d)), "gzip, deflate"),
    ),
    "packed-in-members": Behaviour(
        USED,
        "packs it as two members of gzip",
        _packing(lambda d: gzip.compress(d[:40]) + gzip.compress(d[40:]), "gzip"),
    ),
    "packed-identity": Behaviour(
        USED, "names `identity` as the encoding", _packing(bytes, "identity")
    ),
    "packed-cut": Behaviour(
        "model-error",
        "cuts the last bytes off its gzip",
        _packing(lambda d: gzip.compress(d)[:-9], "gzip"),
    ),
    "packed-cut-zstd": Behaviour(
        "model-error",
        "cuts the last bytes off its zstd",
        _packing(lambda d: PACKERS["zstd"](d)[:-5], "zstd"),
    ),
    "packed-broken": Behaviour(
        "model-error",
        "sends what is no gzip as gzip",
        _packing(lambda d: gzip.compress(d)[::-1], "gzip"),
    ),
    "packed-not-at-all": Behaviour(
        "model-error", "says br of what is not packed", _packing(bytes, "br")
    ),
    "packed-unknown": Behaviour(
        "model-error", "says `compress`, which nobody reads", _packing(bytes, "compress")
    ),
    "packed-five-times": Behaviour(
        "model-error", "says gzip five times", _packing(bytes, ", ".join(["gzip"] * 5))
    ),
    **{
        f"bomb-{name}": Behaviour(
            "model-error", f"sends a few kB of {name} that become 256 MiB", _bombing(name)
        )
        for name in ("gzip", "deflate", "br", "zstd")
    },
}

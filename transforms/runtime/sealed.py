"""What is read back of an output: only what is as it was written is believed.

JSON files that tell a program what to do end with a key `checksum`, the SHA-256 of all before it. A
flipped bit that leaves JSON of the right form would else be believed. It finds damage, not forgery:
a file without the key, as older versions and people with an editor write it, is read as it is.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypeVar

import msgspec

from transforms.runtime import storage

Kind = TypeVar("Kind")

_SEAL = re.compile(rb',\n "checksum": "([0-9a-f]{64})"\n\}\s*\Z')


class DamagedFileError(Exception):
    """A file of an output is missing, cannot be read, or holds other bytes than were written.

    The message names it and says what is wrong; `remedy` says what to do about it.
    """

    remedy = (
        "the next `catalog-enrich run` rebuilds what the published snapshot lacks, "
        "`catalog-enrich rollback OUTPUT` goes back to one that is whole"
    )


def sealed_json(content: Any) -> bytes:
    """Return a mapping as indented JSON that ends with its checksum."""
    body = msgspec.json.format(msgspec.json.encode(content), indent=1)
    checksum = hashlib.sha256(body).hexdigest().encode()
    return body[: -len(b"\n}")] + b',\n "checksum": "' + checksum + b'"\n}'


def decode_json(data: bytes, kind: type[Kind], path: str) -> Kind:
    """Return what a JSON file holds, by its checksum and its schema. path: named in errors.

    Raises DamagedFileError.
    """
    seal = _SEAL.search(data)
    if seal and hashlib.sha256(data[: seal.start()] + b"\n}").hexdigest() != seal[1].decode():
        raise DamagedFileError(f"{path} is damaged: it holds other bytes than were written")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged: {error}") from error


def read_with_digest(path: str, digest: str) -> bytes:
    """Return the bytes of a file. digest: SHA-256 that they have to have, empty for any.

    Raises DamagedFileError.
    """
    try:
        data = storage.read_bytes(path)
    except Exception as error:  # each object store has its own exceptions for what is missing
        why = "is missing" if storage.is_missing(path) else f"cannot be read ({_named(error)})"
        raise DamagedFileError(f"{path} {why}") from error
    if digest and hashlib.sha256(data).hexdigest() != digest:
        raise DamagedFileError(f"{path} holds other bytes than were written")
    return data


def _named(error: Exception) -> str:
    return type(error).__name__

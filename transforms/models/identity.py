"""What an answer's content address calls a model: two different weights must never share a name.

A hub id is identified by its revision. A local folder has none, so a digest of its files replaces
it. Weights of 100 GB are not read for that: two fine-tuned copies of one model have equal names,
sizes and headers, but they differ somewhere in every tensor that was trained, so a little of each
tensor is enough.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

DEFAULT_REVISION = "main"
# The constants below shape the identity: after a change no kept answer of a local model is found.
WHOLE_UP_TO_BYTES = 16 * 2**20
SAMPLE_BYTES = 4096
# Of a file whose tensors cannot be found (another format): at equal distances.
SAMPLES = 512
# Safetensors' own limit is 100 MB; a file whose first bytes state more is in another format.
MAX_HEADER_BYTES = 100 * 2**20
DIGITS = 16
# Documents and images about a model do not change what it answers.
IGNORED = frozenset({".md", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".lock"})


def model_identity(model: str, revision: str = "") -> str:
    """Return `<hub id>@<revision>`, or `<folder name>@sha256:<16 hexadecimal digits>` for a folder
    on this machine.

    The digits come from the files' names and sizes, from all of what is small (configuration,
    tokenizer, chat template) and from a sample of the weights, so a copy elsewhere has the same
    identity. Raises OSError when a file of the folder cannot be read.
    """
    folder = Path(model)
    if not model or not folder.is_dir():
        return f"{model}@{revision or DEFAULT_REVISION}"
    return f"{folder.resolve().name}@sha256:{weights_digest(folder)[:DIGITS]}"


def weights_digest(place: str | Path) -> str:
    """Return the digest of a model's folder, or of its only file, 64 hexadecimal digits.

    See `model_identity` for what goes into it. Raises OSError when a file cannot be read.
    """
    folder, digest = Path(place), hashlib.sha256()
    files = _files(folder) if folder.is_dir() else [folder]
    # Sorted, because file systems list in an order of their own; relative names, so that a copy
    # elsewhere has the same identity.
    for path in sorted(files):
        name, size = path.relative_to(folder).as_posix(), path.stat().st_size
        digest.update(json.dumps([name, size]).encode())
        with path.open("rb") as file:
            for part in _parts(file, size):
                digest.update(part)
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files below the folder, without hidden ones (caches, version control)."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() not in IGNORED and path.is_file():
            yield path


def _parts(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the parts of a file that go into the digest: all of it, or samples and its end."""
    if size <= WHOLE_UP_TO_BYTES:
        yield file.read()
        return
    middles = _tensor_middles(file) or [size * n // SAMPLES for n in range(SAMPLES)]
    for middle in middles:
        file.seek(middle)
        yield file.read(SAMPLE_BYTES)
    file.seek(max(size - SAMPLE_BYTES, 0))
    yield file.read()


def _tensor_middles(file: BinaryIO) -> list[int]:
    """Return where the middle of each tensor of a safetensors file is, in bytes; [] when it is not
    such a file.
    """
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MAX_HEADER_BYTES:
            return []
        # Eight bytes of length, then JSON, then the tensors, whose offsets count from its end.
        header = json.loads(file.read(length))
        spans = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"]
        return sorted(8 + length + (first + last) // 2 for first, last in spans)
    except (struct.error, ValueError, TypeError, KeyError, AttributeError):
        return []

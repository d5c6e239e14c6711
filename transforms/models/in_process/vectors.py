"""What encoders do around their networks: device, batches, vectors of length one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from transforms.models.contract import Failure, Vector
from transforms.models.encoders import Span

# Of pictures, which are all of one size when they are computed.
IMAGE_BATCH = 16


def torch_device(wanted: str, option: str = "device") -> str:
    """Return cpu or cuda for auto, cpu or cuda. Raises ValueError when PyTorch sees no GPU."""
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ValueError(
            f"{option} cuda, but PyTorch sees no GPU here; choose {option} auto or cpu"
        )
    return ("cuda" if available else "cpu") if wanted == "auto" else wanted


def token_batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield the places of texts that are computed together, longest first, so that a batch is
    padded little and what does not fit into memory shows at once.

    most: tokens of a batch, padding included; a longer text is alone.

    >>> list(token_batches([3, 9, 2, 4], 8))
    [[1], [3, 0], [2]]
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batch and (len(batch) + 1) * lengths[batch[0]] > most:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def unit_vectors(rows: Any, width: int, reason: str) -> list[Vector | Failure]:
    """Return the first `width` numbers of each row as a float32 vector of length one; a Failure
    with `reason` for a row that has no length.

    rows: a tensor of shape (rows, at least width), on any device.
    """
    # Single precision is exact to 1e-7, and half precision is not: the length is taken in double.
    taken = rows[:, :width].detach().float().cpu().numpy().astype(np.float64)
    vectors: list[Vector | Failure] = []
    for row in taken:
        length = float(np.linalg.norm(row))
        if length > 0 and np.isfinite(length):
            vectors.append((row / length).astype(np.float32))
        else:
            vectors.append(Failure(reason, f"the model answered with a vector of length {length}"))
    return vectors


def tokens_of(span: Span, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Return the places of a span's tokens, by where each token ends: a token that begins with the
    space before a word belongs to the word, and spans side by side share none.

    >>> tokens_of((4, 9), [(0, 0), (0, 3), (3, 7), (7, 9), (0, 0)])
    [2, 3]
    """
    begin, end = span
    return [n for n, (first, last) in enumerate(offsets) if first < last and begin < last <= end]

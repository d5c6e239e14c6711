"""A file that comes in pieces of a few bytes, as one from far away may."""

from __future__ import annotations

import io


class Dripping(io.BytesIO):
    """Gives at most `piece_bytes` at once where whatever is there is asked for."""

    def __init__(self, data: bytes, piece_bytes: int) -> None:
        super().__init__(data)
        self._piece_bytes = piece_bytes

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(size or 0, self._piece_bytes))

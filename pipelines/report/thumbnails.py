"""Small pictures for the page: each once, as long as there is room and time for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.report.html import clean, thumbnail
from schemas.secrets import without_secrets
from transforms.images.files import ImageLimits, PictureProblem
from transforms.images.finding import Pictures

EXAMPLE_PX, POINT_PX = 128, 56
# Of the page, all pictures together; the rest of 5 MB is for texts.
EXAMPLE_CHARS, POINT_CHARS = 2_200_000, 1_000_000
MAX_POINT_PICTURES = 500


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture of an example.

    number: its place on the page; uri: empty where the page has it already.

    problem: why there is none, in words.
    """

    number: int
    path: str
    uri: str
    problem: str


@dataclass
class Thumbnails:
    """Makes thumbnails until the page has no more room for them.

    pictures: where they are found; those that were fetched, or stood in records, by their content.
    """

    pictures: Pictures
    limits: ImageLimits
    numbers: dict[str, int] = field(default_factory=dict)
    used_chars: int = 0
    small_chars: int = 0
    left_out: int = 0

    def of(
        self, images: Sequence[Mapping[str, Any]] | None, digest: str | None = None
    ) -> Thumbnail | None:
        """Return the picture with this digest, or the first one; None for an item without any."""
        if not images:
            return None
        chosen = next(
            (image for image in images if digest and image["digest"] == digest), images[0]
        )
        path = chosen["path"] or ""
        name = clean(without_secrets(path), 200)
        if chosen["reason"] and not chosen["digest"]:
            return Thumbnail(0, name, "", clean(chosen["message"] or chosen["reason"]))
        if path in self.numbers:
            return Thumbnail(self.numbers[path], name, "", "")
        uri = self._make(chosen, EXAMPLE_PX)
        if isinstance(uri, PictureProblem):
            return Thumbnail(0, name, "", clean(uri.message))
        if self.used_chars + len(uri) > EXAMPLE_CHARS:
            self.left_out += 1
            return Thumbnail(0, name, "", "left out to keep the page small")
        self.used_chars += len(uri)
        self.numbers[path] = len(self.numbers) + 1
        return Thumbnail(self.numbers[path], name, uri, "")

    def small(self, images: Sequence[Mapping[str, Any]] | None) -> int | str:
        """Return a picture for a point of the map: the number of one that the page has, or a data
        URI, empty for none.
        """
        first = (images or [{}])[0]
        path = first.get("path") or ""
        if not path or path in self.numbers:
            return self.numbers.get(path, "")
        uri = self._make(first, POINT_PX)
        if isinstance(uri, PictureProblem) or self.small_chars + len(uri) > POINT_CHARS:
            return ""
        self.small_chars += len(uri)
        return uri

    def _make(self, image: Mapping[str, Any], max_side_px: int) -> str | PictureProblem:
        data = self.pictures.read_known(image["path"], image.get("digest"), self.limits)
        return thumbnail(data, self.limits, max_side_px, 68)

"""Pictures: referred to, found, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.reasons import Effect, check_registered


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture reference and the bucket of an item that holds it."""

    path: str
    item_bucket: int


@dataclass(frozen=True, slots=True)
class LocatedImage:
    """A picture file that may be decoded: how it was referred to, the SHA-256 of its bytes, and its
    version.

    note: what of the reference was read otherwise than written.
    root, file: where it was found, so that nobody has to look for it again.
    """

    path: str
    digest: str
    item_buckets: tuple[int, ...]
    version: str = ""
    note: str = ""
    root: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What is known of one image, computed once for each distinct content.

    phash: 64-bit perceptual hash, 16 hexadecimal digits.
    labels: (label, probability) from the image encoder, best first.
    colors: (colour name, share of the foreground), largest first.
    text: text read off the picture.
    vector: float32 little-endian bytes, empty when the image encoder failed.
    style: float16 little-endian bytes, how the picture is drawn; empty where the image encoder does
    not say.
    fingerprint: content address of the description, empty without one.
    vectors: space → as `vector`, None where it is that one; not kept with the features, as each
    encoder keeps its own.
    left_open: spaces whose vector was not made because the run's budget was spent.
    """

    digest: str
    phash: str
    width_px: int
    height_px: int
    format: str
    frames: int
    labels: tuple[tuple[str, float], ...] = ()
    colors: tuple[tuple[str, float], ...] = ()
    text: str = ""
    description: str = ""
    method: str = ""
    model: str = ""
    prompt_hash: str = ""
    fingerprint: str = ""
    vector: bytes = b""
    style: bytes = b""
    failure: str | None = None
    failure_message: str = ""
    vectors: dict[str, bytes | None] = field(default_factory=dict)
    left_open: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One image reference, resolved: features, or the reason why there are none.

    same_as: digest of an image whose features another result of the same bucket carries; only
    while spooled, as a stock photo would otherwise be written once for each of its items.
    version: of the file before it was read, see transforms.images.finding.Pictures.version.
    note: as of LocatedImage.
    """

    path: str
    features: ImageFeatures | None = None
    reason: str | None = None
    message: str = ""
    same_as: str | None = None
    version: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if self.reason is not None:
            check_registered(self.reason, Effect.FLAG)
        elif self.features is None and self.same_as is None:
            raise ValueError(f"image {self.path!r} has neither features nor a reason")

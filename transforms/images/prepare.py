"""Pictures, once for each distinct content: references → files with digests → features → item
buckets.

PCollection[KV[path bucket, SpoolRef of ImageRef]] → PCollection[KV[item bucket, ImageResult]].
A file is opened once for its digest, and one file of each distinct content is decoded and
described, however many items and paths share it. Bytes and pixels never leave the stage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO

import apache_beam as beam
import numpy as np
from PIL import Image

from schemas.elements import ImageFeatures, ImageRef, ImageResult, LocatedImage
from transforms.caching.image_features import FeatureCodec
from transforms.caching.key_range import KeyRangeCache
from transforms.images.decode import DecodedPicture, decode
from transforms.images.files import (
    ImageLimits,
    PictureProblem,
    locate,
    picture_path,
    read_picture,
    version_of,
)
from transforms.models import build_image_encoder, build_tagger
from transforms.models.contract import (
    Failure,
    ModelOptions,
    Picture,
    Tagger,
    TagRequest,
    Vector,
    call_each,
    checked_vector,
)
from transforms.models.encoders import ImageEncoder, ImageEncoding
from transforms.runtime import storage
from transforms.runtime.buckets import bounds_of, part_of
from transforms.runtime.metrics import Meter
from transforms.runtime.spool import Spool, SpoolRef, read_spool

BATCH_PICTURES = 16
JPEG_QUALITY = 90
_PROBLEMS = "problems"
# Raise it when the same picture gives other features than those that earlier versions kept.
_FEATURES = 2

KeyedResult = tuple[int, ImageResult]


def locate_references(
    root: str, references: Iterable[ImageRef], limits: ImageLimits
) -> Iterator[tuple[LocatedImage | ImageResult, tuple[int, ...]]]:
    """For each distinct path, in path order: where it lies or why it cannot be used, and the item
    buckets that ask.
    """
    buckets: dict[str, set[int]] = {}
    for reference in references:
        buckets.setdefault(reference.path, set()).add(reference.item_bucket)
    for path, asking in sorted(buckets.items()):
        item_buckets = tuple(sorted(asking))
        # Before it is read: a file that changes meanwhile has another version for the next run.
        version = version_of(root, path)
        found = locate(root, path, limits)
        if isinstance(found, PictureProblem):
            # Permissions and connections are repaired without a new version: such a file is tried
            # again.
            known = "" if found.reason == "image-unreadable" else version
            yield (
                ImageResult(path, reason=found.reason, message=found.message, version=known),
                item_buckets,
            )
        else:
            yield LocatedImage(path, found, item_buckets, version), item_buckets


def load_picture(
    root: str, copies: Sequence[LocatedImage], limits: ImageLimits
) -> DecodedPicture | PictureProblem:
    """Return the decoded picture from the first of its copies that can still be read as it was
    located.
    """
    problem = PictureProblem("image-missing", "no copy of the picture is left")
    for copy in copies:
        data = read_picture(root, copy.path, limits)
        if isinstance(data, PictureProblem):
            problem = data
        elif hashlib.sha256(data).hexdigest() != copy.digest:
            problem = PictureProblem(
                "image-unreadable", f"{copy.path} changed while the run was reading it"
            )
        else:
            return decode(data, copy.digest, limits)
    return problem


def checked_encoding(answer: ImageEncoding | Failure, dimension: int) -> ImageEncoding | Failure:
    """Return the encoding if its vector is sound, else a Failure."""
    if isinstance(answer, Failure):
        return answer
    vector = checked_vector(answer.vector, dimension, "backend-failed")
    return vector if isinstance(vector, Failure) else answer


def tag_pictures(
    pictures: Sequence[DecodedPicture], encoder: ImageEncoder, tagger: Tagger
) -> list[ImageFeatures]:
    """Features of each picture, in order; a model that fails on one leaves its mark on that one
    only.
    """
    answers = call_each(encoder.encode_images, [p.picture for p in pictures], "backend-failed")
    encodings = [checked_encoding(answer, encoder.dimension) for answer in answers]
    labels = [e.labels if isinstance(e, ImageEncoding) else () for e in encodings]
    requests = [TagRequest((p.picture,), found) for p, found in zip(pictures, labels, strict=True)]
    descriptions = call_each(tagger.tag, requests, "backend-failed")
    features = []
    for picture, encoding, request, description in zip(
        pictures, encodings, requests, descriptions, strict=True
    ):
        known = ImageFeatures(
            digest=picture.picture.digest,
            phash=picture.phash,
            width_px=picture.width_px,
            height_px=picture.height_px,
            format=picture.format,
            frames=picture.frames,
            labels=request.labels,
        )
        if isinstance(encoding, ImageEncoding):
            known = replace(
                known,
                vector=encoding.vector.astype("<f4").tobytes(),
                style=packed_style(encoding.style),
            )
        if not isinstance(description, Failure):
            known = replace(
                known,
                colors=description.colors,
                text=description.text,
                description=description.description,
                method=tagger.method,
                model=tagger.model,
                prompt_hash=tagger.prompt_hash,
                fingerprint=request.fingerprint(tagger),
            )
        failures = [answer for answer in (encoding, description) if isinstance(answer, Failure)]
        if failures:
            known = replace(
                known,
                failure=failures[0].reason,
                failure_message="; ".join(f.message for f in failures),
            )
        features.append(known)
    return features


def packed_style(style: Vector | None) -> bytes:
    """Float16 little-endian; nothing where the model answered with anything but finite numbers that
    fit.
    """
    if not isinstance(style, np.ndarray) or style.dtype != np.float32 or style.ndim != 1:
        return b""
    with np.errstate(over="ignore"):
        packed = style.astype("<f2")
    return packed.tobytes() if np.isfinite(packed).all() else b""


def features_made_by(encoder: ImageEncoder, tagger: Tagger, limits: ImageLimits) -> str:
    """Digest of everything but the picture that features depend on, hexadecimal."""
    parameters = [
        _FEATURES,
        encoder.model,
        tagger.model,
        tagger.method,
        tagger.prompt_hash,
        tagger.parameters,
        asdict(limits),
    ]
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()


def spread(
    copies: Sequence[LocatedImage], features: ImageFeatures | None, problem: PictureProblem | None
) -> Iterator[KeyedResult]:
    """One result per path and item bucket; each bucket gets the features once, further paths refer
    to them.
    """
    served: set[int] = set()
    for copy in copies:
        for bucket in copy.item_buckets:
            if problem is not None:
                reason, message = problem.reason, problem.message
                yield (
                    bucket,
                    ImageResult(copy.path, reason=reason, message=message, version=copy.version),
                )
            elif bucket in served:
                yield bucket, ImageResult(copy.path, same_as=copy.digest, version=copy.version)
            else:
                served.add(bucket)
                yield bucket, ImageResult(copy.path, features, version=copy.version)


@dataclass(frozen=True, slots=True)
class Preparation:
    """Preparation of images for a language model: JPEG files below `folder`, no side above
    `max_side_px`.
    """

    folder: str
    max_side_px: int

    def prepare(self, picture: Picture) -> None:
        """Write the picture's file; one content has one path, so a retry writes the same file
        again.
        """
        small = picture.image.copy()
        small.thumbnail(
            (self.max_side_px, self.max_side_px), Image.Resampling.BICUBIC, reducing_gap=2.0
        )
        sink = BytesIO()
        small.save(sink, "JPEG", quality=JPEG_QUALITY)
        path = picture_path(self.folder, picture.digest)
        storage.write_bytes(path, sink.getbuffer())


class _Locate(beam.DoFn):
    def __init__(
        self, root: str, limits: ImageLimits, num_buckets: int, heartbeat_dir: str
    ) -> None:
        self._root, self._limits, self._num_buckets = root, limits, num_buckets
        self._heartbeat_dir = heartbeat_dir

    def setup(self) -> None:
        self._meter = Meter("locate", self._heartbeat_dir)

    def process(
        self, spooled: tuple[int, Iterable[SpoolRef]]
    ) -> Iterator[tuple[int, LocatedImage] | beam.pvalue.TaggedOutput]:
        _, refs = spooled
        with self._meter.timed():
            for found, item_buckets in locate_references(
                self._root, read_spool(refs, ImageRef), self._limits
            ):
                self._meter.add("pictures")
                if isinstance(found, LocatedImage):
                    yield part_of(found.digest, self._num_buckets), found
                else:
                    self._meter.add("unusable")
                    self._meter.fail(found.reason or "image-unreadable")
                    for bucket in item_buckets:
                        yield beam.pvalue.TaggedOutput(_PROBLEMS, (bucket, found))
        self._meter.beat()


class _Prepare(beam.DoFn):
    """Loads the models once a worker process and takes a bucket of digests in batches."""

    def __init__(self, transform: PrepareImages) -> None:
        self._root, self._limits, self._options = (
            transform.root,
            transform.limits,
            transform.options,
        )
        self._preparation, self._heartbeat_dir = transform.preparation, transform.heartbeat_dir
        self._features_dir, self._num_buckets = transform.features_dir, transform.num_buckets
        self._models: tuple[ImageEncoder, Tagger] | None = None

    def setup(self) -> None:
        self._meter = Meter("prepare", self._heartbeat_dir)
        self._made_by = features_made_by(
            build_image_encoder(self._options), build_tagger(self._options), self._limits
        )

    def _load(self) -> tuple[ImageEncoder, Tagger]:
        # Not in setup: a worker that gets no picture need not load a model.
        if self._models is None:
            self._models = build_image_encoder(self._options), build_tagger(self._options)
            for model in self._models:
                model.load()
        return self._models

    def process(self, spooled: tuple[int, Iterable[SpoolRef]]) -> Iterator[KeyedResult]:
        part, refs = spooled
        cache = self._open_cache(part)
        by_digest: dict[str, list[LocatedImage]] = {}
        for located in read_spool(refs, LocatedImage):
            by_digest.setdefault(located.digest, []).append(located)
        contents = [
            sorted(copies, key=lambda copy: copy.path) for _, copies in sorted(by_digest.items())
        ]
        for begin in range(0, len(contents), BATCH_PICTURES):
            with self._meter.timed():
                results = list(self._prepare(contents[begin : begin + BATCH_PICTURES], cache))
            yield from results
        if cache is not None:
            cache.close()
        self._meter.beat()

    def _open_cache(self, part: int) -> KeyRangeCache[ImageFeatures] | None:
        if not self._features_dir:
            return None
        first, last = bounds_of(part, self._num_buckets)
        cache = KeyRangeCache(self._features_dir, first, last, FeatureCodec(self._made_by))
        cache.load()
        return cache

    def _prepare(
        self,
        contents: Sequence[Sequence[LocatedImage]],
        cache: KeyRangeCache[ImageFeatures] | None,
    ) -> Iterator[KeyedResult]:
        known = [cache.get(copies[0].digest) if cache is not None else None for copies in contents]
        # A language model has to be shown what is known already, too.
        loaded = [
            load_picture(self._root, copies, self._limits)
            if features is None or self._preparation
            else None
            for copies, features in zip(contents, known, strict=True)
        ]
        if self._preparation is not None:
            for decoded in loaded:
                if isinstance(decoded, DecodedPicture):
                    self._preparation.prepare(decoded.picture)
        unknown = [
            picture
            for picture, features in zip(loaded, known, strict=True)
            if features is None and isinstance(picture, DecodedPicture)
        ]
        described = iter(tag_pictures(unknown, *self._load()) if unknown else [])
        for copies, features, picture in zip(contents, known, loaded, strict=True):
            self._meter.add("pictures")
            if features is not None:
                self._meter.add("reused")
            elif isinstance(picture, DecodedPicture):
                features = next(described)
                if cache is not None:
                    cache.put(features.digest, features)
            if isinstance(picture, PictureProblem):
                self._meter.fail(picture.reason)
            yield from spread(
                copies, features, picture if isinstance(picture, PictureProblem) else None
            )


@dataclass(eq=False)
class PrepareImages(beam.PTransform):
    """Picture references of all items, spooled by path → one ImageResult per path and item bucket.

    preparation: for the language model that will be shown the pictures, None without one.

    root: folder (or object-store prefix) below which every picture lies.
    features_dir: where features are kept for later runs, empty: nowhere.
    spool_dir: where intermediate elements lie; num_buckets: of digests, as of items.
    """

    root: str
    limits: ImageLimits
    options: ModelOptions
    spool_dir: str
    num_buckets: int
    heartbeat_dir: str = ""
    preparation: Preparation | None = None
    features_dir: str = ""

    def expand(
        self, references: beam.PCollection[tuple[int, SpoolRef]]
    ) -> beam.PCollection[KeyedResult]:
        locating = beam.ParDo(_Locate(self.root, self.limits, self.num_buckets, self.heartbeat_dir))
        located = (
            references
            | "ByPath" >> beam.GroupByKey()
            | "Locate" >> locating.with_outputs(_PROBLEMS, main="located")
        )
        described = (
            located.located
            | "SpoolLocated" >> Spool(self.spool_dir)
            | "ByDigest" >> beam.GroupByKey()
            | "Prepare" >> beam.ParDo(_Prepare(self))
        )
        return (described, located[_PROBLEMS]) | "AllPictures" >> beam.Flatten()

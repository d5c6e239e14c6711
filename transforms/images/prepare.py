"""Pictures, once for each distinct content: references → files with digests → features → item
buckets.

PCollection[KV[path bucket, SpoolRef of ImageRef]] → PCollection[KV[item bucket, ImageResult]].
A file is opened once for its digest, and one file of each distinct content is decoded and
described, however many items and paths share it. Bytes and pixels never leave the stage.
"""

from __future__ import annotations

import hashlib
import json
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from PIL import Image

from schemas.elements import ImageFeatures, ImageResult, LocatedImage
from schemas.reasons import BUDGET, EMBED_FAILED, TOO_LONG
from transforms.caching.image_features import FeatureCodec
from transforms.caching.image_vectors import VectorCodec
from transforms.caching.key_range import DAMAGED, KeyRangeCache
from transforms.images.decode import DecodedPicture, decode
from transforms.images.files import (
    ImageLimits,
    PictureProblem,
    picture_path,
    read_picture,
)
from transforms.images.locate import LocateImages
from transforms.images.references import shown
from transforms.images.remote.options import FetchOptions
from transforms.models import build_tagger
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
from transforms.models.encoder_options import EncoderOptions
from transforms.models.encoders import (
    ImageEncoder,
    ImageEncoding,
    count_requests,
    encoder_identity,
)
from transforms.models.spaces import (
    Shared,
    VectorSpace,
    own_image_options,
    shared_image_encoder,
)
from transforms.runtime import storage
from transforms.runtime.buckets import bounds_of
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, TookTooLongError, within
from transforms.runtime.metrics import Meter
from transforms.runtime.spool import Spool, SpoolRef, read_spool
from transforms.vectors.stage import CanaryWatch, WatchedTables

BATCH_PICTURES = 16
JPEG_QUALITY = 90
# Of the digest that names the folder of an encoder's vectors.
FOLDER_DIGITS = 16
# Raise it when the same picture gives other features than those that earlier versions kept.
_FEATURES = 2

KeyedResult = tuple[int, ImageResult]


def load_picture(
    copies: Sequence[LocatedImage], limits: ImageLimits
) -> DecodedPicture | PictureProblem:
    """Return the decoded picture from the first of its copies that can still be read as it was
    located.
    """
    problem = PictureProblem("image-missing", "no copy of the picture is left")
    for copy in copies:
        data = read_picture(copy.root, copy.file, limits)
        if isinstance(data, PictureProblem):
            problem = data
        elif hashlib.sha256(data).hexdigest() != copy.digest:
            problem = PictureProblem(
                "image-unreadable", f"{shown(copy.path)} changed while the run was reading it"
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
    return list(tag_encoded(pictures, own_encodings(pictures, encoder), tagger))


def own_encodings(
    pictures: Sequence[DecodedPicture], encoder: ImageEncoder
) -> list[ImageEncoding | Failure]:
    """Return what the run's own encoder makes of each picture, all of them together."""
    answers = call_each(encoder.encode_images, [p.picture for p in pictures], "backend-failed")
    return [checked_encoding(answer, encoder.dimension) for answer in answers]


def tag_encoded(
    pictures: Sequence[DecodedPicture],
    encodings: Sequence[ImageEncoding | Failure],
    tagger: Tagger,
) -> Iterator[ImageFeatures]:
    """Yield the features of each picture as soon as it was described, which takes longest."""
    for picture, encoding in zip(pictures, encodings, strict=True):
        labels = encoding.labels if isinstance(encoding, ImageEncoding) else ()
        request = TagRequest((picture.picture,), labels)
        (description,) = call_each(tagger.tag, [request], "backend-failed")
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
        yield known


def packed_style(style: Vector | None) -> bytes:
    """Float16 little-endian; nothing where the model answered with anything but finite numbers that
    fit.
    """
    if not isinstance(style, np.ndarray) or style.dtype != np.float32 or style.ndim != 1:
        return b""
    with np.errstate(over="ignore"):
        packed = style.astype("<f2")
    return packed.tobytes() if np.isfinite(packed).all() else b""


def features_made_by(encoder: str, tagger: Tagger, limits: ImageLimits) -> str:
    """Digest of everything but the picture that features depend on, hexadecimal.

    encoder: its identity.
    """
    parameters = [
        _FEATURES,
        encoder,
        tagger.model,
        tagger.method,
        tagger.prompt_hash,
        tagger.parameters,
        asdict(limits),
    ]
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()


def vectors_made_by(encoder: str, limits: ImageLimits) -> str:
    """Digest of everything but the picture that a vector depends on, hexadecimal."""
    content = json.dumps([_FEATURES, encoder, asdict(limits)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def encode_pictures(
    pictures: Sequence[DecodedPicture], encoder: ImageEncoder
) -> list[bytes | Failure]:
    """Return the vector of each picture, float32 little-endian, or why there is none."""
    answers = call_each(encoder.encode_images, [p.picture for p in pictures], "backend-failed")
    checked = [checked_encoding(answer, encoder.dimension) for answer in answers]
    return [
        each if isinstance(each, Failure) else each.vector.astype("<f4").tobytes()
        for each in checked
    ]


def with_vectors(
    features: ImageFeatures, made: Mapping[str, bytes | Failure | None]
) -> ImageFeatures:
    """Return the features with what encoders made of their picture, by space."""
    vectors = {space: b"" if isinstance(v, Failure) else v for space, v in made.items()}
    left_open = [s for s, v in made.items() if isinstance(v, Failure) and v.reason == BUDGET]
    return replace(features, vectors=vectors, left_open=tuple(left_open))


def _has_failed(vector: bytes | Failure) -> bool:
    return isinstance(vector, Failure) and vector.reason != BUDGET


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
                yield (
                    bucket,
                    ImageResult(
                        copy.path, same_as=copy.digest, version=copy.version, note=copy.note
                    ),
                )
            else:
                served.add(bucket)
                result = ImageResult(copy.path, features, version=copy.version, note=copy.note)
                yield bucket, result


@dataclass(frozen=True, slots=True)
class Preparation:
    """Preparation of images for a language model: JPEG files below `folder`, no side above
    `max_side_px`, in base64: servers are sent that, often several times.
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
        storage.write_bytes(path, b2a_base64(sink.getbuffer(), newline=False))


@dataclass
class _Encoder:
    """An encoder besides the run's own: the spaces that it makes, and what it has made."""

    shared: Shared[ImageEncoder]
    spaces: tuple[str, ...]
    watched: WatchedTables
    made_by: str
    cache: KeyRangeCache[bytes] | None = None

    def vectors_of(self, digests: Sequence[str]) -> list[bytes | None]:
        """Return what is known of each picture, None where it has to be encoded."""
        if self.cache is None:
            return [None] * len(digests)
        return [self.cache.get(digest) for digest in digests]

    def encode(self, pictures: Sequence[DecodedPicture]) -> dict[str, bytes | Failure]:
        """Return digest → vector, kept for later runs unless the encoder is not the one that it is
        called, or why there is none; nothing is loaded for no picture.
        """
        if not pictures:
            return {}
        with self.shared.loaded() as encoder:
            is_kept = self.watched.agree(encoder)
            vectors = encode_pictures(pictures, encoder)
        digests = [each.picture.digest for each in pictures]
        for digest, vector in zip(digests, vectors, strict=True):
            if self.cache is not None and is_kept and not isinstance(vector, Failure):
                self.cache.put(digest, vector)
        return dict(zip(digests, vectors, strict=True))


class _Prepare(beam.DoFn):
    """Loads each model once a worker process and takes a bucket of digests in batches."""

    def __init__(self, transform: PrepareImages) -> None:
        self._limits, self._options = transform.limits, transform.options
        self._preparation, self._heartbeat_dir = transform.preparation, transform.heartbeat_dir
        self._features_dir, self._num_buckets = transform.features_dir, transform.num_buckets
        self._spaces = tuple(space for space in transform.spaces if space.modality == "image")
        self._watch, self._element_secs = transform.watch, transform.element_secs
        self._loaded_tagger: Tagger | None = None
        self._is_own_sound = True

    def setup(self) -> None:
        self._meter = Meter("prepare", self._heartbeat_dir)
        own = own_image_options(self._options)
        self._own = shared_image_encoder(self._options, own)
        self._made_by = features_made_by(
            encoder_identity(self._own.encoder, own), build_tagger(self._options), self._limits
        )
        self._own_spaces = [space.name for space in self._spaces if space.options == own]
        self._own_watched = self._watched(own)
        others = dict.fromkeys(each.options for each in self._spaces if each.options != own)
        self._further = list(map(self._encoder_of, others))

    def _encoder_of(self, options: EncoderOptions) -> _Encoder:
        shared = shared_image_encoder(self._options, options)
        names = tuple(space.name for space in self._spaces if space.options == options)
        identity = encoder_identity(shared.encoder, options)
        made_by = vectors_made_by(identity, self._limits)
        return _Encoder(shared, names, self._watched(options), made_by)

    def _watched(self, options: EncoderOptions) -> WatchedTables:
        tables = (space.spec.table for space in self._spaces if space.options == options)
        return WatchedTables(self._watch, tuple(tables))

    def _tagger(self) -> Tagger:
        # Not in setup: a worker that gets no picture need not load a model.
        if self._loaded_tagger is None:
            self._loaded_tagger = build_tagger(self._options)
            self._loaded_tagger.load()
        return self._loaded_tagger

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
            results = self._prepare(contents[begin : begin + BATCH_PICTURES], cache)
            while True:  # each as it comes: what may be asked of it is asked meanwhile
                with self._meter.timed():
                    result = next(results, None)
                if result is None:
                    break
                yield result
        for each in (cache, *(encoder.cache for encoder in self._further)):
            if each is not None:
                each.close()
        self._meter.beat()

    def _open_cache(self, part: int) -> KeyRangeCache[ImageFeatures] | None:
        if not self._features_dir:
            return None
        first, last = bounds_of(part, self._num_buckets)
        for encoder in self._further:
            folder = storage.join(self._features_dir, encoder.made_by[:FOLDER_DIGITS])
            encoder.cache = KeyRangeCache(folder, first, last, VectorCodec(encoder.made_by))
            encoder.cache.load()
        cache = KeyRangeCache(self._features_dir, first, last, FeatureCodec(self._made_by))
        cache.load()
        further = (encoder.cache for encoder in self._further)
        damaged = sum(len(each.unreadable) for each in (cache, *further) if each is not None)
        if damaged:
            self._meter.add(DAMAGED, damaged)
        return cache

    def _prepare(
        self,
        contents: Sequence[Sequence[LocatedImage]],
        cache: KeyRangeCache[ImageFeatures] | None,
    ) -> Iterator[KeyedResult]:
        digests = [copies[0].digest for copies in contents]
        known = [cache.get(digest) if cache is not None else None for digest in digests]
        by_encoder = [encoder.vectors_of(digests) for encoder in self._further]
        is_wanted = [
            features is None or self._preparation is not None or None in vectors
            for features, *vectors in zip(known, *by_encoder, strict=True)
        ]
        # Decoded once, for all that is to be made of it. A language model has to be shown what is
        # known already, too.
        loaded = [
            self._load(copies) if wanted else None
            for copies, wanted in zip(contents, is_wanted, strict=True)
        ]
        pictures = [each for each in loaded if isinstance(each, DecodedPicture)]
        unknown = {d for d, features in zip(digests, known, strict=True) if features is None}
        described = self._describe([p for p in pictures if p.picture.digest in unknown])
        is_kept = self._is_own_sound
        vectors = self._vectors(digests, pictures, by_encoder)
        for digest, copies, features, picture in zip(digests, contents, known, loaded, strict=True):
            self._meter.add("pictures")
            if features is not None:
                self._meter.add("reused")
            elif isinstance(picture, DecodedPicture):
                features = next(described)
                if cache is not None and is_kept:
                    cache.put(features.digest, features)
            if isinstance(picture, PictureProblem):
                self._meter.fail(picture.reason)
            problem = picture if isinstance(picture, PictureProblem) else None
            if features is not None:
                features = with_vectors(features, vectors[digest])
            yield from spread(copies, features, problem if features is None else None)

    def _load(self, copies: Sequence[LocatedImage]) -> DecodedPicture | PictureProblem:
        """Return the decoded picture, whose file for a language model is written then."""
        try:
            picture = within(self._element_secs, load_picture, copies, self._limits)
            if self._preparation is not None and isinstance(picture, DecodedPicture):
                within(self._element_secs, self._preparation.prepare, picture.picture)
        except TookTooLongError as error:
            return PictureProblem(TOO_LONG, f"{shown(copies[0].path)} {error}")
        return picture

    def _describe(self, pictures: Sequence[DecodedPicture]) -> Iterator[ImageFeatures]:
        """Encode pictures; return what describes them one by one."""
        if not pictures:
            return iter(())
        self._meter.add("encoded", len(pictures))
        with self._own.loaded() as encoder:
            self._is_own_sound = self._own_watched.agree(encoder)
            encodings = own_encodings(pictures, encoder)
        return tag_encoded(pictures, encodings, self._tagger())

    def _vectors(
        self,
        digests: Sequence[str],
        pictures: Sequence[DecodedPicture],
        by_encoder: Sequence[Sequence[bytes | None]],
    ) -> Mapping[str, dict[str, bytes | Failure | None]]:
        """Return digest → space → vector, see ImageFeatures, or why there is none.

        by_encoder: for each further encoder what is known of each digest.
        """
        own: dict[str, bytes | Failure | None] = dict.fromkeys(self._own_spaces)
        vectors = {digest: dict(own) for digest in digests}
        for encoder, known in zip(self._further, by_encoder, strict=True):
            found = {d: vector for d, vector in zip(digests, known, strict=True) if vector}
            unknown = [each for each in pictures if each.picture.digest not in found]
            self._meter.add("encoded", len(unknown))
            made = encoder.encode(unknown)
            count_requests(encoder.shared.encoder, self._meter.add)
            self._meter.fail(EMBED_FAILED, sum(_has_failed(each) for each in made.values()))
            for digest in digests:
                vector = found.get(digest) or made.get(digest, b"")
                vectors[digest] |= dict.fromkeys(encoder.spaces, vector)
        return vectors


class PreparedImages(NamedTuple):
    """Outputs of PrepareImages. found: results of pictures that were there, as they come."""

    results: beam.PCollection[KeyedResult]
    found: beam.PCollection[KeyedResult]


@dataclass(eq=False)
class PrepareImages(beam.PTransform):
    """Picture references of all items, spooled by path → one ImageResult per path and item bucket.

    preparation: for the language model that will be shown the pictures, None without one.

    root: folder (or object-store prefix) below which every picture lies.
    features_dir: where features are kept for later runs, empty: nowhere.
    kept: where pictures lie that records held themselves; fetching: how others are fetched.
    spaces: of vectors that are made; those of texts are left alone. watch: looks at the canaries
    wherever an encoder is loaded.
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
    spaces: tuple[VectorSpace, ...] = ()
    watch: CanaryWatch | None = None
    kept: str = ""
    fetching: FetchOptions | None = None
    element_secs: float = DEFAULT_ELEMENT_SECS

    def expand(self, references: beam.PCollection[tuple[int, SpoolRef]]) -> PreparedImages:
        locate = LocateImages(
            self.root,
            self.limits,
            self.num_buckets,
            self.heartbeat_dir,
            kept=self.kept,
            fetching=self.fetching,
        )
        located, problems = references | "Located" >> locate
        described = (
            located
            | "SpoolLocated" >> Spool(self.spool_dir)
            | "ByDigest" >> beam.GroupByKey()
            | "Prepare" >> beam.ParDo(_Prepare(self))
        )
        results = (described, problems) | "AllPictures" >> beam.Flatten()
        return PreparedImages(results, described)

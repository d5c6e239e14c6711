"""Picture references → files with the digests of their bytes, or why there is no picture.

PCollection[KV[path bucket, SpoolRef of ImageRef]] → KV[part, LocatedImage] and KV[item bucket,
ImageResult]. What has to be fetched is fetched before, in one place: a host is asked by one process
only, so that what may be asked at once holds for the whole run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam

from schemas.elements import ImageRef, ImageResult, LocatedImage
from transforms.images.files import ImageLimits, PictureProblem, locate
from transforms.images.finding import Pictures, Place
from transforms.images.remote.options import FetchOptions
from transforms.runtime.buckets import part_of
from transforms.runtime.metrics import Meter
from transforms.runtime.spool import SpoolRef, read_spool

_PROBLEMS = "problems"
# References that are held in memory while their pictures are fetched.
_WINDOW = 100_000

_ByPath = tuple[int, Iterable[SpoolRef]]


def locate_references(
    pictures: Pictures, references: Iterable[ImageRef], limits: ImageLimits
) -> Iterator[tuple[LocatedImage | ImageResult, tuple[int, ...]]]:
    """For each distinct path, in path order: where it lies or why it cannot be used, and the item
    buckets that ask.
    """
    buckets: dict[str, set[int]] = {}
    for reference in references:
        buckets.setdefault(reference.path, set()).add(reference.item_bucket)
    for path, asking in sorted(buckets.items()):
        item_buckets = tuple(sorted(asking))
        place = pictures.place(path)
        # Before it is read: a file that changes meanwhile has another version for the next run.
        version = pictures.version(path)
        at = place if isinstance(place, Place) else Place("", "")
        found = locate(at.root, at.path, limits) if isinstance(place, Place) else place
        if isinstance(found, PictureProblem):
            # Permissions and connections are repaired without a new version: such a file is tried
            # again.
            known = "" if found.reason == "image-unreadable" else version
            yield (
                ImageResult(path, reason=found.reason, message=found.message, version=known),
                item_buckets,
            )
        else:
            located = LocatedImage(
                path, found, item_buckets, version, at.note, root=at.root, file=at.path
            )
            yield located, item_buckets


class _Locate(beam.DoFn):
    def __init__(self, transform: LocateImages) -> None:
        self._root, self._kept, self._fetching = (
            transform.root,
            transform.kept,
            transform.fetching,
        )
        self._limits, self._num_buckets = transform.limits, transform.num_buckets
        self._heartbeat_dir = transform.heartbeat_dir

    def setup(self) -> None:
        self._meter = Meter("locate", self._heartbeat_dir)
        self._pictures = Pictures(self._root, self._kept, self._fetching)

    def process(
        self, spooled: _ByPath
    ) -> Iterator[tuple[int, LocatedImage] | beam.pvalue.TaggedOutput]:
        _, refs = spooled
        with self._meter.timed():
            references = list(read_spool(refs, ImageRef))
            paths = {reference.path for reference in references}
            fetched = self._pictures.fetched(paths)
            self._pictures.fetch(fetched)
            self._pictures.get_ready(paths.difference(fetched))
            for found, item_buckets in locate_references(self._pictures, references, self._limits):
                self._meter.add("pictures")
                if isinstance(found, LocatedImage):
                    yield part_of(found.digest, self._num_buckets), found
                else:
                    self._meter.add("unusable")
                    self._meter.fail(found.reason or "image-unreadable")
                    for bucket in item_buckets:
                        yield beam.pvalue.TaggedOutput(_PROBLEMS, (bucket, found))
        self._meter.beat()


class _Fetch(beam.DoFn):
    """All buckets of references at once → the same, when their pictures are here."""

    def __init__(self, transform: LocateImages) -> None:
        self._root, self._kept, self._fetching = (
            transform.root,
            transform.kept,
            transform.fetching,
        )
        self._heartbeat_dir = transform.heartbeat_dir

    def process(self, buckets: Sequence[_ByPath]) -> Iterator[_ByPath]:
        if not buckets:
            return
        meter = Meter("fetch", self._heartbeat_dir)
        pictures = Pictures(self._root, self._kept, self._fetching)

        def done(count: int) -> None:
            meter.watch({"done": count})

        with meter.timed():
            asked = sum(len(self._fetched(pictures, refs)) for _, refs in buckets)
            meter.watch({"asked": asked})
            window: set[str] = set()
            for _, refs in buckets:
                window |= self._fetched(pictures, refs)
                if len(window) >= _WINDOW:
                    pictures.fetch(window, done)
                    window = set()
            pictures.fetch(window, done)
        if asked:
            meter.add("pictures", asked)
            meter.beat()
        yield from buckets

    def _fetched(self, pictures: Pictures, refs: Iterable[SpoolRef]) -> set[str]:
        return set(pictures.fetched({each.path for each in read_spool(refs, ImageRef)}))


@dataclass(eq=False)
class LocateImages(beam.PTransform):
    """Spooled references → where their files lie, and a result for each that has none.

    root, kept, fetching: as of PrepareImages.
    """

    root: str
    limits: ImageLimits
    num_buckets: int
    heartbeat_dir: str = ""
    kept: str = ""
    fetching: FetchOptions | None = None

    def expand(
        self, references: beam.PCollection[tuple[int, SpoolRef]]
    ) -> tuple[
        beam.PCollection[tuple[int, LocatedImage]], beam.PCollection[tuple[int, ImageResult]]
    ]:
        by_path = references | "ByPath" >> beam.GroupByKey()
        if self.fetching is not None:
            by_path = (
                by_path
                | "Refs" >> beam.MapTuple(lambda bucket, refs: (bucket, list(refs)))
                | "Together" >> beam.combiners.ToList()
                | "Fetch" >> beam.ParDo(_Fetch(self))
                | "Spread" >> beam.Reshuffle()
            )
        locating = beam.ParDo(_Locate(self))
        found = by_path | "Locate" >> locating.with_outputs(_PROBLEMS, main="located")
        return found.located, found[_PROBLEMS]

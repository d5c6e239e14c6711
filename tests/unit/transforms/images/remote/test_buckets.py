"""Pictures of buckets that records name: which are read, when, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from apache_beam.io.filesystem import BeamIOError

from tests.memory_storage import GoogleMemoryStorage, MemoryStorage, StoreError
from transforms.images.files import ImageLimits, PictureProblem
from transforms.images.finding import Pictures, Place
from transforms.images.remote.hosts import Bucket, Host, parse_source
from transforms.images.remote.options import FetchOptions
from transforms.images.remote.outcome import MAX_FAILURES
from transforms.images.remote.remote import RemotePictures

LIMITS = ImageLimits()
pytestmark = pytest.mark.skipif(
    GoogleMemoryStorage.scheme() != "gs", reason="the real gs:// is installed"
)


@pytest.fixture(autouse=True)
def _empty_store() -> Iterator[None]:
    for stored in (MemoryStorage.files, MemoryStorage.requests, MemoryStorage.broken):
        stored.clear()
    yield
    for stored in (MemoryStorage.files, MemoryStorage.requests, MemoryStorage.broken):
        stored.clear()


def put(**objects: bytes) -> None:
    MemoryStorage.files.update({f"gs://shop/{key}": data for key, data in objects.items()})


def options(folder: Path, *buckets: str, run: str = "run-1", **more: int) -> FetchOptions:
    named = [parse_source(each) for each in buckets or ("gs://shop",)]
    assert all(isinstance(each, Bucket) for each in named)
    limits = {"max_bytes": 1000} | more
    return FetchOptions((), str(folder), run, buckets=tuple(named), **limits)  # type: ignore[arg-type]


def pictures(settings: FetchOptions, root: str = "") -> Pictures:
    return Pictures(root, settings.kept, settings)


def test_nothing_is_read_without_the_option(tmp_path: Path) -> None:
    """A bucket that nobody named is asked for nothing, and the message says how to name it."""
    put(**{"a.jpg": b"a"})
    for settings in (None, options(tmp_path, "gs://other", "gs://shop/elsewhere")):
        found = Pictures("", str(tmp_path), settings).read("gs://shop/a.jpg", LIMITS)
        assert isinstance(found, PictureProblem)
        assert found.reason == "image-host-not-allowed"
        assert "--fetch-images" in found.message
        assert "gs://shop" in found.message
    assert not MemoryStorage.requests


@pytest.mark.parametrize(
    ("named", "reference", "is_read"),
    [
        ("gs://shop", "gs://shop/a/1.jpg", True),
        ("gs://shop/", "gs://shop/a/1.jpg", True),
        ("gs://shop/a", "gs://shop/a/1.jpg", True),
        ("gs://shop/a/", "gs://shop/ab/1.jpg", False),
        ("gs://shop/a", "gs://shop/a", False),
        ("gs://shop/a", "gs://shop/b/../a/1.jpg", False),
        ("gs://shop/a", "gs://shop/a/../b/1.jpg", False),
        ("gs://shop", "gs://shop2/a/1.jpg", False),
        ("gs://shop", "s3://shop/a/1.jpg", False),
        ("gs://shop", "GS://shop/a/1.jpg", True),
        ("gs://shop", "gs://shop//a/1.jpg", False),
        ("gs://shop", "gs://shop", False),
        ("gs://shop", "gs://shop/a/", False),
        ("s3://shop", "s3a://shop/a/1.jpg", True),
        ("s3a://shop", "s3n://shop/a/1.jpg", True),
        ("gs://shop", "gs://me:word@shop/a/1.jpg", False),
        ("shop.example", "gs://shop.example/a/1.jpg", False),
        ("gs://shop.example", "https://shop.example/a/1.jpg", False),
    ],
)
def test_which_objects_a_bucket_allows(
    tmp_path: Path, named: str, reference: str, is_read: bool
) -> None:
    """A bucket stands for its objects, a folder of one for those below it, and for no others."""
    source = parse_source(named)
    hosts, buckets = ((source,), ()) if isinstance(source, Host) else ((), (source,))
    settings = FetchOptions(hosts, str(tmp_path), "run", 1000, buckets=buckets)
    assert RemotePictures(settings).allows(reference) == is_read


@pytest.mark.parametrize(
    "text",
    [
        "gs://",
        "gs://a",
        "gs://shop/*",
        "http://shop",
        "az://shop",
        "gs://u:p@shop",
        "s3://arn:aws:s3:::shop",
    ],
)
def test_what_is_no_bucket(text: str) -> None:
    """What names no bucket is refused with what is allowed, without its passwords being of use."""
    with pytest.raises(ValueError, match="is no host or bucket"):
        parse_source(text)


def test_unchanged_objects_are_read_once(tmp_path: Path) -> None:
    """One run reads what is new; the next asks a listing, and reads what has changed."""
    names = [f"{n}.jpg" for n in range(30)]
    put(**{name: name.encode() for name in names})
    references = [f"gs://shop/{name}" for name in names]
    first, done = pictures(options(tmp_path)), list[int]()
    first.fetch(references, done.append)
    assert sum(done) == 30
    assert MemoryStorage.requests["open"] == 30
    versions = {each: first.version(each) for each in references}
    assert [first.read(each, LIMITS) for each in references] == [name.encode() for name in names]
    assert MemoryStorage.requests["open"] == 30

    MemoryStorage.requests.clear()
    second = pictures(options(tmp_path, run="run-2"))
    second.fetch(references, done.append)
    assert sum(done) == 60
    assert all(isinstance(second.place(each), Place) for each in references)
    assert {each: second.version(each) for each in references} == versions
    assert MemoryStorage.requests == {"list": 2}, "one to see whether it answers"

    put(**{"3.jpg": b"changed"})
    third = pictures(options(tmp_path, run="run-3"))
    third.fetch(references)
    assert MemoryStorage.requests["open"] == 1
    assert third.read(references[3], LIMITS) == b"changed"
    assert [each for each in references if third.version(each) != versions[each]] == [references[3]]


def test_an_unchanged_night_reads_nothing() -> None:
    """Whether any of the objects has changed is known from a listing, and by nothing else: not even
    what is known of them is read.
    """
    put(**{f"{n}.jpg": b"%d" % n for n in range(30)})
    references = [f"gs://shop/{n}.jpg" for n in range(30)]
    settings = options(Path("out"))
    settings = replace(settings, kept="store://out/kept")
    first = pictures(settings)
    first.fetch(references)
    versions = {each: first.version(each) for each in references}
    MemoryStorage.requests.clear()
    night = pictures(replace(settings, run="run-2"))
    night.get_ready(references)
    assert {each: night.version(each) for each in references} == versions
    assert MemoryStorage.requests == {"list": 2}


def test_a_raised_limit_counts(tmp_path: Path) -> None:
    """An object that was too large for one run is read by the next, which allows more."""
    put(**{"a.jpg": bytes(1001)})
    assert isinstance(pictures(options(tmp_path)).read("gs://shop/a.jpg", LIMITS), PictureProblem)
    later = pictures(options(tmp_path, run="run-2", max_bytes=2000))
    assert later.read("gs://shop/a.jpg", LIMITS) == bytes(1001)


@pytest.mark.parametrize(
    ("key", "told", "is_tried_again"),
    [
        ("missing.jpg", "image-missing", False),
        ("empty.jpg", "image-empty", False),
        ("large.jpg", "image-too-many-bytes", False),
        ("forbidden.jpg", "image-unreadable", True),
        ("broken.jpg", "image-fetch-failed", True),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_each_failure_has_its_reason(
    tmp_path: Path, key: str, told: str, is_tried_again: bool, at_once: bool
) -> None:
    """Each way of not being there is a reason, without what is secret; only what may go away by
    itself has another version the next night.
    """
    put(**{"empty.jpg": b"", "large.jpg": bytes(1001), "forbidden.jpg": b"f", "broken.jpg": b"b"})
    put(**{f"{n}.jpg": b"x" for n in range(5)})
    MemoryStorage.broken.update(
        {"gs://shop/forbidden.jpg": StoreError(403), "gs://shop/broken.jpg": StoreError(503)}
    )
    references = [f"gs://shop/{key}", *(f"gs://shop/{n}.jpg" for n in range(5) if at_once)]
    now = pictures(options(tmp_path))
    now.fetch(references)
    found = now.read(references[0], LIMITS)
    assert isinstance(found, PictureProblem)
    assert found.reason == told
    assert "s3cret" not in found.message
    MemoryStorage.broken.clear()
    later = pictures(options(tmp_path, run="run-2"))
    later.get_ready(references)
    assert (later.version(references[0]) != now.version(references[0])) == is_tried_again


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreError(503), "HTTP 503"),
        (BeamIOError("x", {"y": ValueError("Unable to locate credentials")}), "no credentials"),
    ],
)
def test_a_store_that_does_not_answer(tmp_path: Path, error: Exception, told: str) -> None:
    """A store is found out once not to answer; what was read before is used, and nothing counts as
    changed.
    """
    put(**{f"{n}.jpg": b"%d" % n for n in range(30)})
    references = [f"gs://shop/{n}.jpg" for n in range(30)]
    before = pictures(options(tmp_path))
    before.fetch(references[:20])
    versions = [before.version(each) for each in references[:20]]
    MemoryStorage.broken["gs://shop/"] = error
    MemoryStorage.requests.clear()
    later = pictures(options(tmp_path, run="run-2"))
    later.get_ready(references)
    assert [later.version(each) for each in references[:20]] == versions
    later.fetch(references)
    assert MemoryStorage.requests.total() == 0
    kept, new = later.place(references[0]), later.place(references[25])
    assert isinstance(kept, Place)
    assert "earlier run" in kept.note
    assert isinstance(new, PictureProblem)
    assert new.reason == "image-fetch-failed"
    assert told in new.message
    assert "s3cret" not in new.message


def test_a_bucket_that_fails_is_left_alone(tmp_path: Path) -> None:
    """A bucket that failed several times in a row is not asked any more in this run."""
    put(**{f"{n}.jpg": b"x" for n in range(40)})
    references = [f"gs://shop/{n}.jpg" for n in range(40)]
    now = pictures(options(tmp_path, per_host=1))
    now.get_ready(references)
    MemoryStorage.broken.update({each: StoreError(500) for each in references})
    now.fetch(references)
    messages = [now.place(each).message for each in references]  # type: ignore[union-attr]
    assert sum("in a row" in each for each in messages) == len(references) - MAX_FAILURES


def test_the_root_comes_first(tmp_path: Path) -> None:
    """An object below the root that is named by its address is that file; one of another bucket is
    looked for below the root by its name where its bucket is not named.
    """
    put(**{"images/a.jpg": b"a", "images/b.jpg": b"b"})
    for settings in (None, options(tmp_path)):
        found = Pictures("gs://shop/images", str(tmp_path), settings)
        references = ["gs://shop/images/a.jpg", "s3://elsewhere/x/b.jpg"]
        found.get_ready(references)
        assert found.place(references[0]) == Place("gs://shop/images", "a.jpg")
        other = found.place(references[1])
        assert isinstance(other, Place)
        assert (other.path, bool(other.note)) == ("b.jpg", True)
        assert found.version(references[0]) == found.version("a.jpg") != ""


def test_folders_are_told_apart_from_hosts() -> None:
    """The option takes hosts and buckets; a bucket keeps its folder, a host its port."""
    assert parse_source("s3a://shop/a/b/") == Bucket("s3", "shop", "a/b")
    assert parse_source("127.0.0.1:8080") == replace(parse_source("127.0.0.1"), port=8080)  # type: ignore[type-var]

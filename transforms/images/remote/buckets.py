"""Pictures of object stores that records name: `s3://bucket/key`, `gs://bucket/key`.

Their versions come out of listings, as those below the root do, so that only what is new or changed
is read. They are kept by their content, like pictures of http.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from threading import Lock

import msgspec

from transforms.images.contents import Contents
from transforms.images.listing import StoreFiles
from transforms.images.remote.hosts import StoredObject, stored_object
from transforms.images.remote.known import Kept, KnownAddresses
from transforms.images.remote.options import FetchOptions
from transforms.images.remote.outcome import (
    MAX_FAILURES,
    ProblemError,
    Progress,
    failed,
    has_failed,
    too_large,
    unwatched,
)
from transforms.runtime import storage
from transforms.runtime.listing import is_forbidden, list_files

_LASTING = ("image-empty", "image-too-many-bytes")


@dataclass
class _Bucket:
    """A bucket as this run sees it. fault: why it cannot be reached; failures: in a row."""

    files: StoreFiles
    fault: str
    failures: int = 0
    counting: Lock = field(default_factory=Lock)


class BucketReader:
    """Reads objects of buckets that may be read."""

    def __init__(self, options: FetchOptions, known: KnownAddresses) -> None:
        self._options, self._known = options, known
        self._contents = Contents(options.kept)
        self._buckets: dict[str, _Bucket] = {}

    def check(self, reference: str) -> StoredObject:
        """Return the object; ProblemError for one that must not be read."""
        bucket = reference.partition("://")[2].partition("/")[0]
        if "@" in bucket:
            raise ProblemError("image-address-secret", "holds a name or password; remove it")
        try:
            found = stored_object(reference)
        except ValueError as error:
            raise ProblemError("image-path-invalid", str(error)) from None
        if not any(each.allows(found) for each in self._options.buckets):
            fault = f"is of a bucket that --fetch-images does not name; add {found.root}"
            raise ProblemError("image-host-not-allowed", fault)
        return found

    def get_ready(self, references: Iterable[str]) -> None:
        """Find out the versions of many objects at once."""
        keys: dict[str, list[str]] = defaultdict(list)
        for reference in references:
            found = stored_object(reference)
            keys[found.root].append(found.key)
        for root, named in keys.items():
            self._bucket(root, named[0]).files.get_ready(named)

    def version(self, reference: str) -> str:
        """Return what tells, without reading it, whether an object has changed: that of the content
        that this run has, if `fetch` or `known` said so, else that of the store.
        """
        known = self._known.seen(reference)
        if known is not None and known.run == self._options.run:
            return known.etag
        found = stored_object(reference)
        bucket = self._bucket(found.root, found.key)
        # Of a store that cannot be asked nobody knows that anything has changed.
        return self._known.of(reference).etag if bucket.fault else bucket.files.version(found.key)

    def known(self, reference: str) -> Kept:
        """Return what this run knows of an object; reads it where it is new or has changed."""
        if not self._is_here(reference, self._known.of(reference)):
            self._fetch(reference)
        return self._known.of(reference)

    def fetch(self, references: Iterable[str], done: Progress = unwatched) -> None:
        """Read all objects that are new or have changed, several at once."""
        known = self._known.of_all(dict.fromkeys(references))
        left = {each: kept for each, kept in known.items() if kept.run != self._options.run}
        self.get_ready(left)
        by_bucket: dict[str, list[str]] = defaultdict(list)
        for reference, kept in left.items():
            if not self._is_here(reference, kept):
                by_bucket[stored_object(reference).root].append(reference)
        done(len(known) - sum(map(len, by_bucket.values())))
        for named in by_bucket.values():
            with ThreadPoolExecutor(self._options.per_host, "fetch-images") as threads:
                for _ in threads.map(self._fetch, named):
                    done(1)

    def _is_here(self, reference: str, known: Kept) -> bool:
        if known.run == self._options.run:
            return True
        found = stored_object(reference)
        is_answered = not self._bucket(found.root, found.key).fault
        is_whole = bool(known.digest and known.etag)
        return is_whole and is_answered and known.etag == self.version(reference)

    def _bucket(self, root: str, key: str) -> _Bucket:
        """Return a bucket; the first time it is asked whether it answers at all, since each object
        would find that out by itself, and wait.
        """
        if root not in self._buckets:
            fault = ""
            try:
                list(islice(list_files(f"{root}/{key}"), 1))
            except Exception as error:  # each storage has its own
                fault = "" if is_forbidden(error) else _fault_of(error)
            self._buckets[root] = _Bucket(StoreFiles(root), fault)
        return self._buckets[root]

    def _fetch(self, reference: str) -> None:
        run, before, version = self._options.run, self._known.of(reference), ""
        found = stored_object(reference)
        bucket = self._bucket(found.root, found.key)
        try:
            if bucket.fault:
                raise ProblemError("image-fetch-failed", bucket.fault)
            if bucket.failures >= MAX_FAILURES:
                fault = f"was not asked for: its bucket failed {MAX_FAILURES} times in a row"
                raise ProblemError("image-fetch-failed", fault)
            version = self.version(reference)
            data = self._read(found, version)
            now = Kept(run, self._contents.keep(data), version)
        except ProblemError as problem:
            now = failed(run, reference, before, problem)
            if now.reason in _LASTING:
                # Until it changes there is nothing to try again.
                now = msgspec.structs.replace(now, etag=version)
        with bucket.counting:
            bucket.failures = bucket.failures + 1 if has_failed(now) else 0
        self._known.put(reference, now)

    def _read(self, found: StoredObject, version: str) -> bytes:
        most, path = self._options.max_bytes, f"{found.root}/{found.key}"
        if int(version.partition(":")[0] or 0) > most:
            raise too_large(most)
        try:
            with storage.open_file(path) as stream:
                data = stream.read(most + 1)
        except Exception as error:  # each storage has its own
            if storage.is_missing(path):
                fault = "does not exist; upload it, or remove the reference"
                raise ProblemError("image-missing", fault) from None
            if is_forbidden(error):
                fault = "may not be read; give the job's account read permission"
                raise ProblemError("image-unreadable", fault) from None
            raise ProblemError("image-fetch-failed", _fault_of(error)) from None
        if len(data) > most:
            raise too_large(most)
        if not data:
            raise ProblemError("image-empty", "has zero bytes")
        return data


def _fault_of(error: Exception) -> str:
    """Return what is said of a store that cannot be reached; its own words may hold what is secret
    (a signed query).
    """
    details = getattr(error, "exception_details", None) or {}
    cause = next(iter(details.values()), error)
    if "credentials" in str(cause).lower():
        return "cannot be read: the job has no credentials for its store"
    code = getattr(cause, "code", None)
    what = type(cause).__name__ + (f", HTTP {code}" if code else "")
    return f"cannot be read now ({what}); the next run asks again"

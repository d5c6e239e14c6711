"""Pictures that records name by an address, of whatever kind: which may be fetched, and what is
known of them.

reference → version | Kept | PictureProblem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from transforms.images.contents import Contents
from transforms.images.files import PictureProblem
from transforms.images.references import shown
from transforms.images.remote.buckets import BucketReader
from transforms.images.remote.fetch import HttpFetcher
from transforms.images.remote.hosts import is_stored
from transforms.images.remote.http import Resolve
from transforms.images.remote.known import Kept, KnownAddresses
from transforms.images.remote.options import FetchOptions
from transforms.images.remote.outcome import ProblemError, Progress, unwatched


class RemotePictures:
    """Pictures of hosts and buckets that may be fetched. resolve: as `loop.getaddrinfo`, for
    tests.
    """

    def __init__(self, options: FetchOptions, resolve: Resolve | None = None) -> None:
        known = KnownAddresses(options.kept)
        self._contents = Contents(options.kept)
        self._http = HttpFetcher(options, known, resolve)
        self._buckets = BucketReader(options, known)

    def allows(self, reference: str) -> bool:
        """Tell whether a reference is an address that may be fetched."""
        return self.refused(reference) is None

    def refused(self, reference: str) -> PictureProblem | None:
        """Return why an address is not fetched, None for one that may be."""
        check: Callable[[str], object] = self._of(reference).check
        try:
            check(reference)
        except ProblemError as problem:
            return PictureProblem(problem.reason, f"{shown(reference)} {problem}")
        return None

    def get_ready(self, references: Iterable[str], done: Progress = unwatched) -> None:
        """Find out about many: a host is asked for its pictures, a store only for versions."""
        wanted = list(references)
        self._http.fetch((each for each in wanted if not is_stored(each)), done)
        self._buckets.get_ready(filter(is_stored, wanted))

    def fetch(self, references: Iterable[str], done: Progress = unwatched) -> None:
        """Fetch all that are not here, or have changed."""
        wanted = list(references)
        self._http.fetch((each for each in wanted if not is_stored(each)), done)
        self._buckets.fetch(filter(is_stored, wanted), done)

    def known(self, reference: str) -> Kept:
        """Return what this run knows of an address; fetches it where it has not yet."""
        return self._of(reference).known(reference)

    def version(self, reference: str) -> str:
        """Return what tells whether a picture has changed: of a host its content."""
        if is_stored(reference):
            return self._buckets.version(reference)
        known = self._http.known(reference)
        return "" if known.reason else self._contents.path(known.digest)

    def _of(self, reference: str) -> HttpFetcher | BucketReader:
        return self._buckets if is_stored(reference) else self._http


# Without --fetch-images.
NOTHING_ALLOWED = RemotePictures(FetchOptions((), "", "", 1))

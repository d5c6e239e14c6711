"""Which file a picture reference means: the one of that very path, else the one that fits.

(root, reference) → Place | PictureProblem. A file fits whose path differs only in how it is written
(case, accents, percent-encoding, ending ...) or which lies below the root as the end of an address
says. Several that fit are reported, never chosen from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from transforms.images.contents import Contents
from transforms.images.files import ImageLimits, PictureProblem, path_problem, read_picture
from transforms.images.folders import are_of_other_things
from transforms.images.listing import files_below
from transforms.images.names import LEVELS, folded, stem
from transforms.images.references import Reading, readings, shown
from transforms.images.remote.hosts import is_stored
from transforms.images.remote.options import FetchOptions
from transforms.images.remote.outcome import Progress, unwatched
from transforms.images.remote.remote import NOTHING_ALLOWED, RemotePictures
from transforms.runtime import storage

_MAX_PLACES, _MAX_NAMED = 4096, 3


@dataclass(frozen=True, slots=True)
class Place:
    """A file: `path` below `root`. note: what was read otherwise than written, empty if nothing."""

    root: str
    path: str
    note: str = ""


@dataclass
class Pictures:
    """Where the pictures of a catalog are found. Build one for each run: folders are listed once.

    root: folder or object-store prefix below which picture files lie, empty for none.
    fetching: how pictures of addresses are fetched, None where they are not.
    kept: where contents lie that records held themselves, empty for none.
    """

    root: str
    kept: str = ""
    fetching: FetchOptions | None = None
    _places: dict[str, Place | PictureProblem] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._files = files_below(self.root)
        self._contents = Contents(self.kept)
        self._remote = RemotePictures(self.fetching) if self.fetching else None
        self._real_root = os.path.realpath(self.root) if storage.is_local(self.root) else ""

    def fetched(self, references: Iterable[str]) -> list[str]:
        """Return those references that are addresses which may be fetched."""
        return list(filter(self._is_fetched, references))

    def fetch(self, references: Iterable[str], done: Progress = unwatched) -> None:
        """Fetch what `fetched` gave and is not here, or has changed, several at once."""
        if self._remote is not None:
            self._remote.fetch(references, done)

    def get_ready(self, references: Iterable[str], done: Progress = unwatched) -> None:
        """Find out the versions of many references at once: hosts are asked for their pictures, and
        object stores listed.

        done: called for each of those that `fetched` gives and that hosts are asked for.
        """
        left = [each for each in references if not self._contents.names(each)]
        if self._remote is not None:
            fetched = set(self.fetched(left))
            self._remote.get_ready(fetched, done)
            left = [each for each in left if each not in fetched]
        if self.root and not storage.is_local(self.root):
            self._list(left)

    def _list(self, references: list[str]) -> None:
        paths = {each: self._inside(each) for each in references}
        self._files.get_ready([each for each in paths.values() if path_problem(each) is None])
        others = [
            each
            for each, path in paths.items()
            if path_problem(path) is not None or not self._files.version(path)
        ]
        stems: set[str] = set()
        for reference in filter(self._is_read_otherwise, others):
            given = readings(reference, self._given_root(reference))
            stems.update(stem(reading.parts[-1]) for reading in given)
        if stems:
            self._files.get_names_ready(stems)

    def place(self, reference: str) -> Place | PictureProblem:
        """Return the file that a reference means, or why there is none; it may still be no picture.

        The file of that very path is taken without looking at others.
        """
        if reference not in self._places:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            self._places[reference] = self._place(reference)
        return self._places[reference]

    def version(self, reference: str) -> str:
        """Return the version of the file that a reference means, and which file that is where it
        is another one; of several that fit, which they are.
        """
        if self._remote and self._is_fetched(reference):
            return self._remote.version(reference)
        place = self.place(reference)
        if isinstance(place, PictureProblem):
            return place.message if place.reason == "image-ambiguous" else ""
        if place.root == self.kept:
            return place.path  # a content, which never changes
        version = self._files.version(place.path)
        return f"{version}:{place.path}" if place.note and version else version

    def read(self, reference: str, limits: ImageLimits) -> bytes | PictureProblem:
        """Return the bytes of the file that a reference means, or why they cannot be read."""
        place = self.place(reference)
        if isinstance(place, PictureProblem):
            return place
        return read_picture(place.root, place.path, limits)

    def read_known(
        self, reference: str, digest: str | None, limits: ImageLimits
    ) -> bytes | PictureProblem:
        """Return the bytes of a picture that a snapshot has: by its content where that is kept,
        whatever the reference was; else those of the file that it means today.

        digest: SHA-256 of its bytes, hexadecimal.
        """
        if self.kept and digest:
            data = read_picture(self.kept, self._contents.path(digest), limits)
            if not isinstance(data, PictureProblem):
                return data
        return self.read(reference, limits)

    def is_there(self, text: str) -> bool:
        """Tell whether a file has this very path, or a path that is read as it."""
        return isinstance(self.place(text), Place) and bool(self.version(text))

    def keep(self, data: bytes) -> str:
        """Store a picture that stood in its record; return the reference by its content."""
        return self._contents.keep(data)

    def _place(self, reference: str) -> Place | PictureProblem:
        if self._contents.names(reference):
            return Place(self.kept, self._contents.path(reference))
        if self._remote and self._is_fetched(reference):
            known = self._remote.known(reference)
            if known.reason:
                return PictureProblem(known.reason, known.message)
            return Place(self.kept, self._contents.path(known.digest), known.note)
        path = self._inside(reference)
        problem = path_problem(path)
        if problem is None and self.root and self._files.version(path):
            return Place(self.root, path)
        if problem is not None and not self._is_read_otherwise(reference):
            return problem
        found = self._fitting(reference) if self.root else None
        if found is None:
            found = self._refused(reference)
        if found is None and not self.root:
            fault = f"{shown(reference)} is a path; name its folder with --images-root"
            return problem or PictureProblem("image-missing", fault)
        return found or problem or Place(self.root, reference)

    def _is_fetched(self, reference: str) -> bool:
        if self._remote is None or not _is_address(reference):
            return False
        return self._inside(reference) == reference and self._remote.allows(reference)

    def _refused(self, reference: str) -> PictureProblem | None:
        """Return why an address is not fetched; None where nobody wanted to, or it is none."""
        if is_stored(reference):
            return (self._remote or NOTHING_ALLOWED).refused(reference)
        is_url = _is_address(reference) and not reference.lower().startswith("file:")
        return self._remote.refused(reference) if self._remote and is_url else None

    def _inside(self, reference: str) -> str:
        """Return the path below an object store's root of an object that is named by its address;
        any other reference as it is.
        """
        root = f"{self.root.rstrip('/')}/"
        return reference if storage.is_local(self.root) else reference.removeprefix(root)

    def _is_read_otherwise(self, reference: str) -> bool:
        """Tell whether a reference that is no path below the root may still mean a file there."""
        problem = path_problem(reference)
        return problem is None or problem.reason != "image-path-invalid" or _is_address(reference)

    def _fitting(self, reference: str) -> Place | PictureProblem | None:
        given = list(readings(reference, self._given_root(reference)))
        for level, (_, what) in enumerate(LEVELS):
            for reading in given:
                paths, by_name = self._paths(reading, level)
                if len(paths) > 1 or (
                    paths and by_name and are_of_other_things(reading.parts, paths[0])
                ):
                    return _ambiguous(reference, paths)
                if paths:
                    # Of an address only the end is the file's.
                    last = _common_end(paths[0], reading)
                    same = paths[0].split("/")[-last:] == list(reading.parts[-last:])
                    changes = ", ".join(
                        dict.fromkeys((*reading.changes, *(() if same else (what,))))
                    )
                    changes = changes or "spaces, quotes or slashes around it"
                    return Place(
                        self.root,
                        paths[0],
                        f"{shown(reference)} is read as {paths[0]!r}: {changes}",
                    )
        return None

    def _given_root(self, reference: str) -> str:
        """Return the root as the reference may spell it: with or without following links."""
        absolute = os.path.abspath(self.root) if self._real_root else ""  # noqa: PTH100
        return absolute if f"{absolute}/" in reference else self._real_root

    def _paths(self, reading: Reading, level: int) -> tuple[list[str], bool]:
        """Return the files that fit, and whether nothing but the name says so."""
        if not reading.by_end:
            return self._files.fitting(reading.parts, level), False
        for begin in range(len(reading.parts)):
            if paths := self._files.fitting(reading.parts[begin:], level):
                return paths, begin == len(reading.parts) - 1
        alike, name = LEVELS[level][0], reading.parts[-1]
        named = [
            path
            for path in self._files.named(name)
            if alike(path.rpartition("/")[2]) == alike(name)
        ]
        most = max((_common_end(path, reading) for path in named), default=0)
        return [path for path in named if _common_end(path, reading) == most], most == 1


def _common_end(path: str, reading: Reading) -> int:
    """Return how many last parts the two have in common; the names are."""
    pairs = list(zip(reversed(path.split("/")), reversed(reading.parts), strict=False))[1:]
    return 1 + next((n for n, (a, b) in enumerate(pairs) if folded(a) != folded(b)), len(pairs))


def _is_address(reference: str) -> bool:
    is_url = reference.lower().startswith(("http://", "https://", "file:"))
    return is_url or is_stored(reference)


def _ambiguous(reference: str, paths: list[str]) -> PictureProblem:
    named = ", ".join(map(repr, sorted(paths)[:_MAX_NAMED]))
    more = f" and {len(paths) - _MAX_NAMED:,} more" if len(paths) > _MAX_NAMED else ""
    fault = (
        f"may be {named}{more}"
        if len(paths) > 1
        else f"has only its name in common with {named}, which lies in another folder"
    )
    message = (
        f"{shown(reference)} {fault}; write the path of one, or set record.images.strip_prefix"
    )
    return PictureProblem("image-ambiguous", message)

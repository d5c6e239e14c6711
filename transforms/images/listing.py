"""Which files lie below a root: a local folder is looked into folder by folder, an object store is
listed.

(root, path) → version; (root, names) → paths of the files that are called so.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transforms.images.files import path_parts, path_problem, version_of, version_text
from transforms.images.name_index import NameIndex, stem_of
from transforms.images.names import FOLDER_LEVEL, LEVELS, stem
from transforms.runtime import storage
from transforms.runtime.listing import PAGE_FILES, is_forbidden, list_files
from transforms.runtime.storage import FoundFile

# Of more files only those are held in memory that are asked for together.
MAX_LISTED = 2_000_000
_MAX_FOLDERS, _MAX_ASKED = 256, 4096
# So few paths are asked for one by one.
_FEW = 2
_MAX_BEGINNINGS = 16


class Files(Protocol):
    """The files below a root."""

    def get_ready(self, paths: Collection[str]) -> None:
        """Find out about many exact paths at once, where that is cheaper than one by one."""

    def get_names_ready(self, stems: Collection[str]) -> None:
        """Do the same for files that `fitting` and `named` will be asked for."""

    def version(self, path: str) -> str:
        """Return what tells whether the file of this very path has changed: its size and its time
        of modification. Empty where there is none, or it may not be looked at.
        """

    def fitting(self, parts: tuple[str, ...], level: int) -> list[str]:
        """Return the paths of the files whose folders and name are alike at a level of LEVELS."""

    def named(self, name: str) -> list[str]:
        """Return the files of a name, apart from case and ending, in whatever folder they lie."""


def files_below(root: str) -> Files:
    return LocalFiles(root) if storage.is_local(root) else StoreFiles(root)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    is_folder: bool


_Entries = Mapping[str, list[_Entry]]


class LocalFiles:
    """The files below a folder, listed folder by folder as they are asked for."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._folders: OrderedDict[str, _Entries] = OrderedDict()
        self._by_stem: dict[str, list[str]] | None = None

    def get_ready(self, paths: Collection[str]) -> None:
        """Nothing is cheaper than asking a disk."""

    def get_names_ready(self, stems: Collection[str]) -> None:
        """Nothing either: folders are listed once."""

    def version(self, path: str) -> str:
        return version_of(self._root, path)

    def fitting(self, parts: tuple[str, ...], level: int) -> list[str]:
        alike = LEVELS[min(level, FOLDER_LEVEL)][0]
        folders = [""]
        for part in parts[:-1]:
            folders = [
                _below(folder, entry.name)
                for folder in folders
                for entry in self._entries(folder).get(stem(part), ())
                if entry.is_folder and alike(entry.name) == alike(part)
            ]
        alike = LEVELS[level][0]
        return [
            _below(folder, entry.name)
            for folder in folders
            for entry in self._entries(folder).get(stem(parts[-1]), ())
            if not entry.is_folder and alike(entry.name) == alike(parts[-1])
        ]

    def named(self, name: str) -> list[str]:
        if self._by_stem is None:
            self._by_stem = {}
            for number, path in enumerate(_walk(self._root)):
                if number >= MAX_LISTED:
                    self._by_stem = {}
                    break
                self._by_stem.setdefault(stem_of(path), []).append(path)
        return self._by_stem.get(stem(name), [])

    def _entries(self, folder: str) -> _Entries:
        if folder in self._folders:
            self._folders.move_to_end(folder)
            return self._folders[folder]
        entries: dict[str, list[_Entry]] = {}
        for entry in self._list(folder):
            entries.setdefault(stem(entry.name), []).append(entry)
        self._folders[folder] = entries
        if len(self._folders) > _MAX_FOLDERS:
            self._folders.popitem(last=False)
        return entries

    def _list(self, folder: str) -> list[_Entry]:
        try:
            path = Path(self._root, folder).resolve()
            # A link may lead out of the root: what is there is nobody's business.
            if not path.is_relative_to(Path(self._root).resolve()):
                return []
            with os.scandir(path) as found:
                return sorted(
                    (_Entry(each.name, each.is_dir()) for each in found),
                    key=lambda entry: entry.name,
                )
        except OSError:
            return []


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _walk(root: str) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        below = os.path.relpath(folder, root)
        yield from (_below("" if below == "." else below, name) for name in sorted(names))


class StoreFiles:
    """The files below a prefix of an object store.

    Each request for a listing tells of a thousand files, so many paths are looked for in listings,
    few are asked for one by one, and a listing that turns out to be the longer way is left: no more
    than twice the requests of the cheaper way are made.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")
        self._index: NameIndex | None = None
        self._may_list = True
        self._versions: dict[str, str] = {}
        self._listed: list[str] = []
        self._asked: dict[str, str] = {}

    def get_ready(self, paths: Collection[str]) -> None:
        """Look for many exact paths in listings; what an earlier call found is forgotten."""
        self._versions, self._listed = {}, []
        is_known = self._index is not None and self._index.is_whole
        if is_known or not self._may_list or storage.has_folders(self._root):
            return
        for beginning, wanted in beginnings(set(map(_exact, paths))).items():
            if len(wanted) > _FEW:
                self._look_for(beginning, wanted)

    def get_names_ready(self, stems: Collection[str]) -> None:
        """List the whole root, unless what is known of it will do. Raises what the storage raises,
        but not where it forbids listing: then nothing fits.
        """
        if not self._may_list or (self._index and all(map(self._index.has, stems))):
            return
        try:
            self._index = NameIndex(self._below(""), MAX_LISTED, stems)
        except Exception as error:  # each storage has its own
            if not is_forbidden(error):
                raise
            self._may_list = False

    def version(self, path: str) -> str:
        if path_problem(path) is not None:
            return ""
        exact = _exact(path)
        if self._index is not None and self._index.has(stem_of(exact)):
            found = self._index.find(exact)
            return version_text(found) if found else ""
        if exact in self._versions:
            return self._versions[exact]
        is_listed = any(map(exact.startswith, self._listed))
        return "" if is_listed else self._ask(exact)

    def fitting(self, parts: tuple[str, ...], level: int) -> list[str]:
        same, alike = LEVELS[min(level, FOLDER_LEVEL)][0], LEVELS[level][0]
        folders, name = list(map(same, parts[:-1])), alike(parts[-1])
        fits = []
        for path in self.named(parts[-1]):
            *inside, last = path.split("/")
            if alike(last) == name and list(map(same, inside)) == folders:
                fits.append(path)
        return fits

    def named(self, name: str) -> list[str]:
        if self._index is None:
            self.get_names_ready([stem(name)])
        index = self._index
        return [found.path for found in index.named(stem(name))] if index else []

    def _look_for(self, beginning: str, wanted: set[str]) -> None:
        left = len(wanted)
        try:
            for number, found in enumerate(self._below(beginning)):
                if number >= PAGE_FILES * len(wanted):
                    return
                if found.path in wanted:
                    self._versions[found.path] = version_text(found)
                    left -= 1
                    if not left:
                        return
        except Exception as error:  # each path is asked for by itself then
            self._may_list = not is_forbidden(error)
            return
        self._listed.append(beginning)

    def _below(self, beginning: str) -> Iterator[FoundFile]:
        folder = f"{self._root}/"
        files = (
            storage.find_files(storage.join(self._root, "**"))
            if storage.has_folders(self._root)
            else list_files(folder + beginning)
        )
        for found in files:
            path = found.path.removeprefix(folder)
            # Nobody can name an object whose key ends like a folder's, or has an empty part.
            if path == _exact(path):
                yield found._replace(path=path)

    def _ask(self, path: str) -> str:
        if path not in self._asked:
            if len(self._asked) >= _MAX_ASKED:
                self._asked.clear()
            self._asked[path] = version_of(self._root, path)
        return self._asked[path]


def _exact(path: str) -> str:
    """Return a path as it stands in a listing."""
    return "/".join(path_parts(path))


def beginnings(paths: Collection[str]) -> dict[str, set[str]]:
    """Return what to list for paths: what all of them begin with, or all of each of few folders.

    >>> sorted(beginnings({"a/x/1", "a/x/2", "a/y/1"}))
    ['a/x/', 'a/y/1']
    """
    if not paths:
        return {}
    common = _common_beginning(paths)
    folder = common[: common.rfind("/") + 1]
    by_folder: dict[str, set[str]] = {}
    for path in paths:
        inside, slash, _ = path[len(folder) :].partition("/")
        by_folder.setdefault(inside if slash else "", set()).add(path)
        if len(by_folder) > _MAX_BEGINNINGS:
            return {common: set(paths)}
    return {_common_beginning(each): each for each in by_folder.values()}


def _common_beginning(paths: Collection[str]) -> str:
    first, last = min(paths), max(paths)
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((n for n, (a, b) in pairs if a != b), len(first))]

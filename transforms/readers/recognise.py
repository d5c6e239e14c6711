"""From a stored file to the files that it holds: what they are packed in, and their format, by
their first bytes; names only say what these leave open.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from transforms.readers.containers import (
    COMPRESSIONS,
    TAR,
    ZIP,
    Member,
    UnpackError,
    layer,
    members_of,
    open_seekable,
    open_stored,
)
from transforms.readers.contract import FileRefusedError, InputSplit
from transforms.readers.signatures import (
    LOOKED_AT_BYTES,
    Signature,
    office_format,
    signature_of,
    text_format,
)

# A file in a file in a file.
MAX_LAYERS = 4
_TEXT_ENDINGS = frozenset({".txt", ".dat", ".xls"})
# Members that lie beside a catalog in many archives.
_IGNORED = frozenset((".DS_Store", "Thumbs.db", "desktop.ini", "_SUCCESS"))


class UnknownFormatError(ValueError):
    """Neither a file's name nor its beginning says what it is.

    ending: of its name, with the dot.
    """

    def __init__(self, ending: str) -> None:
        self.ending = ending
        super().__init__(ending)


@dataclass(frozen=True, slots=True)
class Recogniser:
    """formats: ending of a name → format. given: the format that somebody named for all files."""

    formats: Mapping[str, str]
    given: str | None = None

    def files_in(self, whole: InputSplit) -> Iterator[tuple[InputSplit, tuple[str, ...]]]:
        """Yield the files that a stored file holds, with what its reader should be told of them.

        Raises UnknownFormatError, and FileRefusedError with all problems. A file that cannot be
        opened is yielded as its name says: reading it reports that.
        """
        try:
            with open_stored(whole) as stream:
                beginning = stream.read(LOOKED_AT_BYTES)
        except UnpackError as error:
            raise FileRefusedError([str(error)]) from error
        except Exception:  # whatever an object store, or what packed the file, raises
            yield replace(whole, format=self._by_name(whole.path)), ()
            return
        signature = signature_of(beginning)
        if signature.packing and len(whole.layers) >= MAX_LAYERS:
            raise FileRefusedError(["it is a file in a file in a file; unpack it"])
        if signature.packing in COMPRESSIONS:
            inner = replace(whole, layers=(*whole.layers, signature.packing))
            yield from self.files_in(inner)
        elif signature.packing:
            yield from self._archive(whole, signature.packing)
        else:
            name = self._format(whole.path, beginning, signature)
            yield replace(whole, format=name), tuple(self._notes(whole, name))

    def _archive(
        self, whole: InputSplit, archive: str
    ) -> Iterator[tuple[InputSplit, tuple[str, ...]]]:
        try:
            if archive == ZIP:
                with open_seekable(whole) as stream:
                    if name := office_format(stream):
                        yield replace(whole, format=name), tuple(self._notes(whole, name))
                        return
            if any(each.startswith((f"{ZIP}:", f"{TAR}:")) for each in whole.layers):
                raise UnpackError("it is an archive in an archive; unpack it")
            with (open_seekable if archive == ZIP else open_stored)(whole) as stream:
                members = members_of(stream, archive)
        except (UnpackError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            raise FileRefusedError([_unreadable(archive, error)]) from error
        yield from self._members(whole, archive, members)

    def _members(
        self, whole: InputSplit, archive: str, members: list[Member]
    ) -> Iterator[tuple[InputSplit, tuple[str, ...]]]:
        found: list[tuple[InputSplit, tuple[str, ...]]] = []
        left: dict[str, str] = {}
        newest = {member.name: member for member in members}
        for member in members:
            name = _safe_name(member.name)
            if PurePosixPath(name).name in _IGNORED:
                continue
            if newest[member.name] is not member:
                left[f"{name} (an older copy)"] = "there is a newer one of the same name"
                continue
            inner = replace(
                whole,
                path=f"{whole.path}/{name}",
                stored=whole.file,
                layers=(*whole.layers, layer(archive, member)),
                end=member.size_bytes,
                size_bytes=member.size_bytes,
            )
            try:
                inside = list(self.files_in(inner))
            except FileRefusedError as error:
                inside, problem = [], "; ".join(error.problems)
            except UnknownFormatError:
                inside, problem = [], "of no format that is known"
            if _is_of_macos(name):
                # Its notes on other files are nobody's business, records by that name are told.
                left.update({name: "beside a file of macOS"} if inside and inner.size_bytes else {})
            elif inside:
                found += inside
            else:
                left[name] = problem
        if not found:
            problems = [f"{name}: {problem}" for name, problem in left.items()]
            raise FileRefusedError(problems or [f"the {archive} archive holds no files"])
        if left:
            note = f"left out of {PurePosixPath(whole.path).name}: {', '.join(left)}"
            found[0] = found[0][0], (*found[0][1], note)
        yield from found

    def _format(self, path: str, beginning: bytes, signature: Signature) -> str:
        if signature.format:
            return signature.format
        expected = self.given or self.formats.get(ending_of(path))
        if expected in ("parquet", "xlsx"):
            # Its reader says what is wrong with it, unless it is a text.
            is_text = text_format(beginning, None) if beginning and 0 not in beginning else None
            return is_text or expected
        found = text_format(beginning, expected) if beginning.strip() else expected
        if self.given is not None and found != "xml":
            return self.given
        if expected is None and found in ("csv", "tsv") and ending_of(path) not in _TEXT_ENDINGS:
            found = None
        if found is None:
            raise UnknownFormatError(ending_of(path))
        return found

    def _by_name(self, path: str) -> str:
        found = self.given or self.formats.get(ending_of(path))
        if found is None:
            raise UnknownFormatError(ending_of(path))
        return found

    def _notes(self, whole: InputSplit, name: str) -> Iterator[str]:
        """Yield what is not as the file's name says."""
        ending = ending_of(whole.path)
        expected = self.formats.get(ending)
        if expected is not None and expected != name and self.given is None:
            yield f"although its name ends in {ending}"
        # An archive's own compression says nothing of its members.
        members = [place for place, each in enumerate(whole.layers) if ":" in each]
        packed = whole.layers[members[-1] + 1 :] if members else whole.layers
        named = _compressions_of(whole.path)
        for each in packed:
            if each not in named:
                yield f"compressed by {each} although its name does not say so"
        for each in named:
            if each not in packed:
                yield f"not compressed although its name ends in {COMPRESSIONS[each][0]}"


def _safe_name(member: str) -> str:
    """Return a member's name as the end of a path."""
    parts = [part for part in member.replace("\\", "/").split("/") if part != ".."]
    return "/".join(parts).lstrip("/")


def _is_of_macos(name: str) -> bool:
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith("._")


def ending_of(path: str) -> str:
    """Return the ending of a name in lower case with the dot, that before those of compressions.

    >>> ending_of("exports/A.JSONL.GZ"), ending_of("LICENSE")
    ('.jsonl', '')
    """
    name = PurePosixPath(path.lower())
    while any(name.suffix in endings for endings in COMPRESSIONS.values()):
        name = name.with_suffix("")
    return name.suffix


def _compressions_of(path: str) -> list[str]:
    suffixes = PurePosixPath(path.lower()).suffixes
    return [
        compression
        for suffix in suffixes
        for compression, endings in COMPRESSIONS.items()
        if suffix in endings
    ]


def _unreadable(archive: str, error: Exception) -> str:
    if isinstance(error, UnpackError):
        return str(error)
    test = "unzip -t" if archive == ZIP else "tar -tf"
    return f"the {archive} archive is damaged ({error}); look at it with {test}, or download again"

"""From file names and patterns to the splits that a run reads; refuses what cannot be read, all at
once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from schemas.sections.inputs import InputDescription
from schemas.texts import escaped, is_utf8
from transforms.readers.added.fill_down import FillDown
from transforms.readers.added.partitions import partitions_in
from transforms.readers.contract import FileRefusedError, InputSplit, ReadAs
from transforms.readers.evidence import marks_of_records
from transforms.readers.recognise import Recogniser, UnknownFormatError, ending_of
from transforms.readers.registry import FORMATS
from transforms.runtime import storage

SPLIT_BYTES = 64 << 20
# Nothing is said of the files.
ANYHOW = InputDescription()
_BY_EXTENSION = {
    extension: name for name, entry in FORMATS.items() for extension in entry.extensions
}
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_GLOB = re.compile(r"[*?\[]")
_MAX_NAMED = 5


class InputRefusedError(ValueError):
    """Raised with everything that is wrong with the named input files."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        listing = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(
            f"the input has {len(problems)} problem{'s' * (len(problems) > 1)}:\n{listing}"
        )


class _File(NamedTuple):
    """notes: what is to be said of the folder that it was found in."""

    path: str
    size_bytes: int
    notes: tuple[str, ...] = ()


def plan_splits(
    patterns: Sequence[str],
    *,
    input_format: str | None = None,
    split_bytes: int = SPLIT_BYTES,
    kind: str = "catalog",
    description: InputDescription = ANYHOW,
    fill_down: FillDown | None = None,
) -> list[InputSplit]:
    """Return the splits of all files that the patterns name, sorted by path, each file once.

    patterns: paths or globs (`*`, `?`, `[...]`, `**`) on any file system that Beam knows.
    input_format: of all files; None goes by their extensions.
    split_bytes: wanted size of a part of a file that can be read in parts.
    description: how the files are written, as far as it is said.
    fill_down: what rows have from those above them. How far above is not known, so such a file is
    not read in parts.

    Raises InputRefusedError with all problems. A file that exists and cannot be read is not a
    problem here: reading its split reports it, as it does for a file that vanishes later.
    """
    if split_bytes < 1:
        raise ValueError(f"split_bytes is {split_bytes}; give a positive number of bytes")
    if input_format is not None and input_format not in FORMATS:
        raise InputRefusedError(
            [f"--input-format {input_format!r} is not known; allowed are {', '.join(FORMATS)}"]
        )
    if fill_down is not None:
        split_bytes = sys.maxsize
    problems: list[str] = []
    unknown: dict[str, list[str]] = {}
    recogniser = Recogniser(_BY_EXTENSION, input_format)
    splits: list[InputSplit] = []
    for file in _distinct(file for pattern in patterns for file in _matching(pattern, problems)):
        if not is_utf8(file.path):  # no table could say where its records are from
            problems.append(f"{escaped(file.path)}: the name is not UTF-8; rename it")
            continue
        stored = InputSplit(
            file.path, "", (), 0, file.size_bytes, file.size_bytes, kind, fill_down=fill_down
        )
        try:
            for whole, notes in recogniser.files_in(stored):
                splits += _plan_file(whole, (*notes, *file.notes), split_bytes, description)
        except UnknownFormatError as error:
            unknown.setdefault(error.ending, []).append(file.path)
        except FileRefusedError as error:
            problems += [f"{file.path}: {problem}" for problem in error.problems]
    problems += _unknown_extensions(unknown)
    if problems:
        raise InputRefusedError(problems)
    return splits


def _plan_file(
    whole: InputSplit, notes: tuple[str, ...], split_bytes: int, description: InputDescription
) -> list[InputSplit]:
    whole = replace(whole, partitions=partitions_in(whole.path))
    file_format = FORMATS[whole.format]
    planned = file_format.plan(whole, split_bytes, description)
    has_more = planned and not file_format.plan_has_columns
    if has_more and (decimals := marks_of_records(file_format, planned[0])):
        planned = [
            replace(each, read_as=replace(each.read_as or ReadAs(), decimals=decimals))
            for each in planned
        ]
    if not notes:
        return planned
    return [replace(each, read_as=(each.read_as or ReadAs()).noting(notes)) for each in planned]


def _distinct(found: Iterable[_File]) -> list[_File]:
    """Each file once, sorted by path; a local file also when it is named in several ways."""
    files: dict[str, _File] = {}
    for file in found:
        key = file.path if _SCHEME.match(file.path) else str(Path(file.path).resolve())
        files[key] = min(file, files.get(key, file))
    return sorted(files.values())


def _matching(pattern: str, problems: list[str]) -> list[_File]:
    """Return the files that a pattern names; adds what is wrong with it to `problems`."""
    is_local = not _SCHEME.match(pattern)
    try:
        if not pattern or pattern.endswith("/") or (is_local and Path(pattern).is_dir()):
            return _in_folder(pattern, problems)
        found = _list_files(pattern, is_local)
        if _GLOB.search(pattern):
            found = [file for file in found if not _is_mark(file)]
        special = {file for file in found if is_local and not Path(file.path).is_file()}
    except Exception as error:  # an object store raises whatever its client raises
        problems.append(f"{pattern!r} cannot be listed: {type(error).__name__}: {error}")
        return []
    if not found:
        may_be_folder = not _GLOB.search(pattern) and not Path(pattern).suffix
        hint = f", for a directory write {pattern}/*.jsonl" if may_be_folder else ""
        problems.append(f"{pattern!r} matches no file; check the path{hint}")
    problems += [
        f"{file.path!r} is not a regular file; name a file with records" for file in sorted(special)
    ]
    return [file for file in found if file not in special]


def _in_folder(pattern: str, problems: list[str]) -> list[_File]:
    """Return the files with records in a folder and in those below it, if they are of one kind, as
    those of a table are; adds to `problems` what it holds if not.
    """
    folder = pattern.rstrip("/")
    found = _list_files(f"{folder}/**", not _SCHEME.match(pattern)) if pattern else []
    by_ending: dict[str, list[_File]] = {}
    others: list[str] = []
    for file in found:
        within = file.path[len(folder) :].strip("/")
        # Beside their files, Spark and others keep _SUCCESS, _temporary, .part-0.crc.
        is_hidden = any(map(_is_hidden, within.split("/")))
        has_records = ending_of(file.path) in _BY_EXTENSION
        if has_records and not is_hidden:
            by_ending.setdefault(ending_of(file.path), []).append(file)
        elif has_records or not is_hidden:
            others.append(within)
    beside = _and_more(sorted(others))
    if len(by_ending) == 1:
        first, *more = sorted(next(iter(by_ending.values())))
        notes = (f"left out of {folder}: {beside}",) if others else ()
        return [first._replace(notes=notes), *more]
    shown = [
        f"{folder}/**/*{ending} ({len(files):,} file{'s' * (len(files) > 1)})"
        for ending, files in sorted(by_ending.items())
    ]
    holds = f"; it holds {', '.join(shown)}: name those" if shown else ""
    hint = holds or f"; write for example {folder or '.'}/*.jsonl"
    if others:
        hint += f"{' (and' if shown else '; it holds'} {beside}{')' if shown else ''}"
    problems.append(f"{pattern!r} names a directory, not files{hint}")
    return []


def _and_more(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _is_mark(file: _File) -> bool:
    """Return whether a file is what Spark leaves beside those that it writes: an empty _SUCCESS, a
    checksum.
    """
    name = file.path.rpartition("/")[2]
    return _is_hidden(name) and (not file.size_bytes or name.endswith(".crc"))


def _is_hidden(name: str) -> bool:
    return name.startswith(("_", ".")) and "=" not in name


def _list_files(pattern: str, is_local: bool) -> list[_File]:
    # Beam's local file system lists nothing for a glob without a folder in front.
    anchored = f"./{pattern}" if is_local and not Path(pattern).is_absolute() else pattern
    # A name with brackets is a file's own name before it is a pattern.
    if storage.exists(anchored):
        found = [storage.find_file(anchored)]
    else:
        found = storage.find_files(anchored)
    return [_File(str(Path(f.path)) if is_local else f.path, f.size_bytes) for f in found]


def _unknown_extensions(files: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for extension, (first, *others) in sorted(files.items()):
        what = f"the extension {extension!r}" if extension else "no extension"
        more = f" and {len(others)} more" if others else ""
        yield (
            f"{first}{more}: {what} says nothing of the format, and neither does its beginning; "
            f"known are {', '.join(_BY_EXTENSION)} (also compressed, and in zip or tar); rename, "
            f"or set --input-format to one of {', '.join(FORMATS)}"
        )

"""From file names and patterns to the splits that a run reads; refuses what cannot be read, all at
once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from schemas.sections.inputs import InputDescription
from transforms.readers.contract import FileRefusedError, InputSplit
from transforms.readers.registry import FORMATS
from transforms.runtime import storage

SPLIT_BYTES = 64 << 20
# Nothing is said of the files.
ANYHOW = InputDescription()
_GZIP = ".gz"
_BY_EXTENSION = {
    extension: name for name, entry in FORMATS.items() for extension in entry.extensions
}
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_GLOB = re.compile(r"[*?\[]")


class InputRefusedError(ValueError):
    """Raised with everything that is wrong with the named input files."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        listing = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(
            f"the input has {len(problems)} problem{'s' * (len(problems) > 1)}:\n{listing}"
        )


class _File(NamedTuple):
    path: str
    size_bytes: int


def plan_splits(
    patterns: Sequence[str],
    *,
    input_format: str | None = None,
    split_bytes: int = SPLIT_BYTES,
    kind: str = "catalog",
    description: InputDescription = ANYHOW,
) -> list[InputSplit]:
    """Return the splits of all files that the patterns name, sorted by path, each file once.

    patterns: paths or globs (`*`, `?`, `[...]`, `**`) on any file system that Beam knows.
    input_format: of all files; None goes by their extensions.
    split_bytes: wanted size of a part of a file that can be read in parts.
    description: how the files are written, as far as it is said.

    Raises InputRefusedError with all problems. A file that exists and cannot be read is not a
    problem here: reading its split reports it, as it does for a file that vanishes later.
    """
    if split_bytes < 1:
        raise ValueError(f"split_bytes is {split_bytes}; give a positive number of bytes")
    if input_format is not None and input_format not in FORMATS:
        raise InputRefusedError(
            [f"--input-format {input_format!r} is not known; allowed are {', '.join(FORMATS)}"]
        )
    problems: list[str] = []
    files = _distinct(file for pattern in patterns for file in _matching(pattern, problems))
    unknown = {file for file in files if input_format is None and _format_of(file) is None}
    problems += _unknown_extensions(unknown)
    splits: list[InputSplit] = []
    for file in files:
        if file not in unknown:
            name = input_format or str(_format_of(file))
            gzipped = file.path.lower().endswith(_GZIP)
            whole = InputSplit(file.path, name, gzipped, 0, file.size_bytes, file.size_bytes, kind)
            try:
                splits += _plan_file(whole, split_bytes, description)
            except FileRefusedError as error:
                problems += [f"{file.path}: {problem}" for problem in error.problems]
    if problems:
        raise InputRefusedError(problems)
    return splits


def _plan_file(
    whole: InputSplit, split_bytes: int, description: InputDescription
) -> list[InputSplit]:
    entry = FORMATS[whole.format]
    if whole.gzipped and not entry.may_be_gzipped:
        raise FileRefusedError(
            [f"{whole.format} is compressed inside and not read from .gz; gunzip it"]
        )
    return entry.plan(whole, split_bytes, description)


def _extension(file: _File) -> str:
    """In lower case with the dot, that before `.gz` if there is one."""
    path = file.path.lower()
    return Path(path.removesuffix(_GZIP)).suffix


def _format_of(file: _File) -> str | None:
    return _BY_EXTENSION.get(_extension(file))


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
            folder = pattern.rstrip("/") if pattern else "."
            problems.append(
                f"{pattern!r} names a directory, not files; write for example {folder}/*.jsonl"
            )
            return []
        found = _list_files(pattern, is_local)
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


def _list_files(pattern: str, is_local: bool) -> list[_File]:
    # Beam's local file system lists nothing for a glob without a folder in front.
    anchored = f"./{pattern}" if is_local and not Path(pattern).is_absolute() else pattern
    # A name with brackets is a file's own name before it is a pattern.
    if storage.exists(anchored):
        found = [storage.find_file(anchored)]
    else:
        found = storage.find_files(anchored)
    return [_File(str(Path(f.path)) if is_local else f.path, f.size_bytes) for f in found]


def _unknown_extensions(files: Iterable[_File]) -> Iterator[str]:
    by_extension: dict[str, list[_File]] = {}
    for file in sorted(files):
        by_extension.setdefault(_extension(file), []).append(file)
    for extension, (first, *others) in by_extension.items():
        what = f"the extension {extension!r}" if extension else "no extension"
        more = f" and {len(others)} more" if others else ""
        yield (
            f"{first.path}{more}: {what} says nothing of the format; known are "
            f"{', '.join(_BY_EXTENSION)} (and .gz "
            "behind all but Parquet's); rename, or set --input-format to one of "
            f"{', '.join(FORMATS)}"
        )

"""Listing disks and object stores by names, never by patterns: a folder's name may hold brackets.

beginning of a path → FoundFile; of an object store page by page as they are asked for, a request
for every thousand, so that a caller may stop.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from transforms.runtime import storage
from transforms.runtime.storage import FoundFile

PAGE_FILES = 1000
_TRIES = 4
_FORBIDDEN, _NOT_THERE, _TIMED_OUT, _SERVER_ERROR = 403, 404, 408, 500


def list_files(beginning: str) -> Iterator[FoundFile]:
    """Yield the files of an object store whose paths begin so; stars and brackets stand for
    themselves. Equal to `storage.find_file` of each.

    beginning: at least the bucket and a slash. Raises what the storage raises where it may not be
    listed.
    """
    file_system = storage.file_system(beginning)
    if beginning.startswith("s3://"):
        yield from _of_s3(file_system, beginning)
        return
    # Every file system of Beam lists so for `match`, which would hold all of it in memory.
    for each in file_system._list(beginning):
        yield storage.found_file(each)


def files_below(folder: str) -> Iterator[FoundFile]:
    """Yield the files in a folder and in those below it; none where there is no such folder.

    Links to folders are not followed. Raises what the storage raises.
    """
    if not storage.is_local(folder):
        if not storage.has_folders(folder) or storage.exists(folder):
            yield from list_files(folder.rstrip("/") + "/")
        return
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if path.is_file():
                about = path.stat()
                yield FoundFile(str(path), about.st_size, about.st_mtime)


def files_in(folder: str, ending: str = "") -> list[FoundFile]:
    """Return the files in a folder itself whose names end so, by name; none where there is no such
    folder. Raises what the storage raises.
    """
    beginning = folder.rstrip("/") + "/"
    found = (
        each
        for each in (_entries(folder) if storage.is_local(folder) else files_below(folder))
        if each.path.endswith(ending) and "/" not in each.path.removeprefix(beginning)
    )
    return sorted(found)


def _entries(folder: str) -> Iterator[FoundFile]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                about = entry.stat()
                yield FoundFile(storage.join(folder, entry.name), about.st_size, about.st_mtime)


def folder_names(path: str) -> list[str]:
    """List the names of the folders in a folder, sorted; none where there is no such folder."""
    if storage.is_local(path):
        folder = Path(path)
        entries = folder.iterdir() if folder.is_dir() else ()
        return sorted(each.name for each in entries if each.is_dir())
    # An object store has no folders but the beginnings of names.
    beginning = path.rstrip("/") + "/"
    names = {each.path.removeprefix(beginning) for each in files_below(path)}
    return sorted({name.split("/", 1)[0] for name in names if "/" in name})


def is_forbidden(error: Exception) -> bool:
    """Tell whether a store said that it may not be listed, whatever else failed."""
    details = getattr(error, "exception_details", None) or {}
    return any(getattr(each, "code", None) == _FORBIDDEN for each in (error, *details.values()))


def _of_s3(file_system: Any, beginning: str) -> Iterator[FoundFile]:
    """Yield by pages of our own: Beam's remembers every name, and waits for ten minutes where there
    are no credentials.
    """
    from apache_beam.io.aws.clients.s3.messages import ListRequest
    from apache_beam.io.aws.s3io import S3IO, parse_s3_path

    s3 = S3IO(options=file_system._options)
    bucket, prefix = parse_s3_path(beginning, object_optional=True)
    request = ListRequest(bucket, prefix)
    while True:
        page = _page(s3.client, request)
        for item in page.items if page else ():
            # A question for one object is answered in whole seconds, a listing by some stores not.
            modified = math.floor(s3._updated_to_seconds(item.last_modified))
            yield FoundFile(f"s3://{bucket}/{item.key}", item.size, float(modified))
        if page is None or not page.next_token:
            return
        request = ListRequest(bucket, prefix, page.next_token)


def _page(client: Any, request: Any) -> Any:
    """Return a page, None for one without files; the client below has tried again already where
    the network failed.
    """
    from apache_beam.io.aws.clients.s3.messages import S3ClientError

    for left in reversed(range(_TRIES)):
        try:
            return client.list(request)
        except S3ClientError as error:
            if error.code == _NOT_THERE:
                return None
            is_passing = error.code == _TIMED_OUT or (error.code or 0) >= _SERVER_ERROR
            if not is_passing or not left:
                raise
    return None

"""Checks of the folders, stores and hosts that options name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from transforms.images.remote.hosts import Bucket, parse_source
from transforms.runtime import storage


def unwritable(place: str) -> str | None:
    """Return why a local folder cannot be created or written, or None."""
    if not storage.is_local(place):
        return None
    existing = next(
        path for path in (Path(place), *Path(place).absolute().parents) if path.exists()
    )
    if not existing.is_dir():
        return f"cannot be created: {existing} is a file"
    return (
        None
        if os.access(existing, os.W_OK | os.X_OK)
        else f"cannot be written: {existing} does not allow it"
    )


def root_problems(images_root: str) -> Iterator[str]:
    """Yield what is wrong with the folder or prefix of pictures."""
    if not storage.is_local(images_root):
        yield from _store_problems("--images-root", images_root)
    elif images_root and not Path(images_root).is_dir():
        yield (
            f"--images-root {images_root!r} is not a folder; name the one that image paths "
            "are relative to"
        )


def fetch_problems(sources: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with the hosts and buckets that pictures may be fetched from."""
    hosts = 0
    for text in sources:
        try:
            source = parse_source(text)
        except ValueError as error:
            yield f"--fetch-images: {error}"
            continue
        if isinstance(source, Bucket):
            yield from _store_problems("--fetch-images", source.url)
        else:
            hosts += 1
    if hosts and find_spec("aiohttp") is None:
        yield "--fetch-images needs aiohttp; pip install 'catalog-enrich[fetch]'"


def _store_problems(flag: str, url: str) -> Iterator[str]:
    scheme = url.partition(":")[0]
    install = f"pip install 'catalog-enrich[{'s3' if scheme == 's3' else 'gcp'}]'"
    if scheme not in ("s3", "gs"):
        install = "install what Beam needs for that storage"
    try:
        storage.require_file_system(url)
    except ValueError as error:
        yield f"{flag} {url!r}: {error}; {install}"
        return
    if scheme == "s3" and find_spec("boto3") is None:
        yield f"{flag} {url!r} needs boto3; {install}"

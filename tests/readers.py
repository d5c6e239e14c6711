"""Readers of an output, as others write them: by the pointer or by the link, and whether what they read is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path


def named(output: Path) -> Path | None:
    """The snapshot that current.json names; None where there is no pointer. Raises ValueError, KeyError."""
    try:
        text = (output / "current.json").read_text()
    except FileNotFoundError:
        return None
    return output / str(json.loads(text)["snapshot"])


def linked(output: Path) -> Path | None:
    """The snapshot that the link names; None where there is no link."""
    try:
        return output / (output / "current").readlink()
    except FileNotFoundError:
        return None


def problems_of(snapshot: Path) -> Iterator[str]:
    """What is wrong with a snapshot that readers are sent to: every file is read."""
    try:
        manifest = json.loads((snapshot / "manifest.json").read_text())
        if not (manifest["published"] and manifest["files"]):
            yield f"{snapshot.name} was not to be published"
        for file in manifest["files"]:
            digest = hashlib.sha256((snapshot / file["path"]).read_bytes()).hexdigest()
            if digest != file["digest"]:
                yield f"{snapshot.name}/{file['path']} is not what the manifest says"
    except (OSError, ValueError, KeyError) as error:
        yield f"{snapshot.name}: {type(error).__name__}: {error}"

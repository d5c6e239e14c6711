"""Folders of a run that workers on other machines have to have as well."""

from __future__ import annotations

import socket
from pathlib import Path

from transforms.runtime.storage import is_local


def require_seen(folder: str) -> None:
    """Raise FileNotFoundError where this machine lacks a folder that the launcher has made.

    A worker would otherwise make it again, on its own disk, where nobody looks for it.
    """
    if is_local(folder) and not Path(folder).is_dir():
        raise FileNotFoundError(
            f"the worker on {socket.gethostname()} does not see {folder}, which the launcher of "
            "this run has made; --output and --work-dir have to name a bucket (s3://, gs://) or a "
            "folder that all machines share under the same path"
        )

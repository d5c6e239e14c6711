"""Whether an object store answers at all, and a worker sees a folder: reported within seconds.

What asks a store for real tries for minutes, and says little about why.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from transforms.runtime import storage

# Addresses of pages and pictures are read by other clients, with limits of their own.
_NO_STORES = frozenset({"http", "https", "file", "data"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a store may take to answer, in seconds: below half a minute in all.

    connect_secs, answer_secs, attempts: of S3, whose client has limits of its own; last_secs: of
    others, which are left after it.
    """

    connect_secs: float = 5
    answer_secs: float = 8
    attempts: int = 2
    last_secs: float = 25


PATIENCE = Patience()


class UnreachableError(OSError):
    """An object store does not answer; the message names its address and says what to look at."""


def check_stores(paths: Iterable[str], patience: Patience = PATIENCE) -> None:
    """Raise UnreachableError for the first store of these paths that does not answer.

    Any answer will do, a refusal too: what it means is said by what needs the store. Local paths,
    and stores whose file system is not installed, are not looked at.
    """
    for store in sorted({each for each in map(_store_of, paths) if each}):
        try:
            storage.require_file_system(store)
        except ValueError:
            continue
        if store.startswith("s3://"):
            _ask_s3(store, patience)
        else:
            _ask(store, patience.last_secs)


def _store_of(path: str) -> str:
    """Return scheme and bucket of a path, empty where it names no object store.

    >>> _store_of("s3://bucket/out/*.jsonl"), _store_of("out"), _store_of("https://shop.example")
    ('s3://bucket', '', '')
    """
    scheme, found, rest = path.partition("://")
    bucket = rest.split("/", 1)[0]
    if not found or not scheme.isalnum() or scheme.lower() in _NO_STORES or not bucket:
        return ""
    return f"{scheme}://{bucket}"


def _ask_s3(store: str, patience: Patience) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    client = _s3_client(store, patience)
    try:
        client.head_bucket(Bucket=store.removeprefix("s3://"))
    except ClientError:
        pass
    except BotoCoreError as error:
        raise _unreachable(store, client.meta.endpoint_url, error) from error


def _s3_client(store: str, patience: Patience) -> Any:
    """Return a client as Beam's, that does not wait for long."""
    from apache_beam.io.aws.s3io import S3IO
    from botocore.config import Config

    patient = S3IO(options=storage.file_system(store)._options).client.client
    hasty = Config(
        connect_timeout=patience.connect_secs,
        read_timeout=patience.answer_secs,
        retries={"total_max_attempts": patience.attempts, "mode": "standard"},
    )
    said = sorted(each for each in os.environ.items() if each[0].startswith("AWS_"))
    return _session(os.getpid(), *said).client(
        "s3",
        region_name=patient.meta.region_name,
        endpoint_url=patient.meta.endpoint_url,
        config=patient.meta.config.merge(hasty),
    )


@functools.lru_cache(maxsize=4)
def _session(*_: Any) -> Any:
    """Return a session of boto3, which reads what it knows of all services once; for a process and
    an environment.
    """
    import boto3

    return boto3.session.Session()


def _ask(store: str, last_secs: float) -> None:
    """Ask a store whose client knows no limits; one that is silent is left with its thread."""
    answers: SimpleQueue[Exception | None] = SimpleQueue()

    def ask() -> None:
        try:
            storage.exists(f"{store}/current.json")
            answers.put(None)
        except Exception as error:  # each object store has its own exceptions
            answers.put(error)

    threading.Thread(target=ask, name="reach", daemon=True).start()
    try:
        error = answers.get(timeout=last_secs)
    except Empty:
        raise _unreachable(store, store, TimeoutError("no answer")) from None
    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | PermissionError):
        raise _unreachable(store, store, error) from error


def _unreachable(store: str, address: str, error: Exception) -> UnreachableError:
    said = str(error).strip().splitlines()
    return UnreachableError(
        f"the object store {store} does not answer at {address} ({type(error).__name__}: "
        f"{said[0] if said else ''}); look at its address (--s3_endpoint_url, AWS_ENDPOINT_URL), "
        "the network, and the credentials"
    )


def require_seen(folder: str) -> None:
    """Raise FileNotFoundError where this machine lacks a folder that the launcher has made.

    A worker would otherwise make it again, on its own disk, where nobody looks for it.
    """
    if storage.is_local(folder) and not Path(folder).is_dir():
        raise FileNotFoundError(
            f"the worker on {socket.gethostname()} does not see {folder}, which the launcher of "
            "this run has made; --output and --work-dir have to name a bucket (s3://, gs://) or a "
            "folder that all machines share under the same path"
        )

"""Whether an object store answers at all: reported within seconds, with its address.

What asks a store for real tries for minutes, and says little about why.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any

from transforms.runtime import storage

# Of S3, whose client can be told how long to wait; others are left after LAST_SECS.
CONNECT_SECS, ANSWER_SECS, ATTEMPTS = 5, 8, 2
LAST_SECS = 25.0
# Addresses of pages and pictures are read by other clients, with limits of their own.
_NO_STORES = frozenset({"http", "https", "file", "data"})


class UnreachableError(OSError):
    """An object store does not answer; the message names its address and says what to look at."""


def check_stores(paths: Iterable[str]) -> None:
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
            _ask_s3(store)
        else:
            _ask(store)


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


def _ask_s3(store: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    client = _s3_client(store)
    try:
        client.head_bucket(Bucket=store.removeprefix("s3://"))
    except ClientError:
        pass
    except BotoCoreError as error:
        raise _unreachable(store, client.meta.endpoint_url, error) from error


def _s3_client(store: str) -> Any:
    """Return a client as Beam's, that does not wait for long."""
    from apache_beam.io.aws.s3io import S3IO
    from botocore.config import Config

    patient = S3IO(options=storage.file_system(store)._options).client.client
    hasty = Config(
        connect_timeout=CONNECT_SECS,
        read_timeout=ANSWER_SECS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
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


def _ask(store: str) -> None:
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
        error = answers.get(timeout=LAST_SECS)
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

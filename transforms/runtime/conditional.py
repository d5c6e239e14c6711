"""Replacing a file only while it is still the one that was read: what decides between two writers.

On S3 the store itself refuses the second writer (If-Match, If-None-Match). Elsewhere the file is
compared just before it is replaced: on a disk the kernel's lock keeps others off, and other object
stores are left with a moment in which both may write.
"""

from __future__ import annotations

import hashlib
from typing import Any

from transforms.runtime import storage

# What S3 answers to the second writer: it came too late, or both came at once.
_TOO_LATE = frozenset({409, 412})
# A server that speaks S3 and knows no conditions.
_NOT_KNOWN = 501
_MISSING = 404


class ChangedError(Exception):
    """Somebody else has replaced the file since it was looked at."""


def version_of(path: str) -> str:
    """Return what tells this content of a file from every other, empty where there is no file.

    Raises what the storage raises where it cannot be asked.
    """
    if path.startswith("s3://"):
        return _s3_version(path)
    if not storage.exists(path):
        return ""
    return hashlib.sha256(storage.read_bytes(path)).hexdigest()


def replace_if(path: str, data: bytes, version: str, unfinished: str = "") -> str:
    """Write or replace a file as `storage.write_whole` does, if its version is still this one;
    returns the version that it has now.

    Raises ChangedError where it is not. Nothing is asked of the storage once the file is replaced,
    since whoever called could not tell such a failure from one to replace it.
    """
    if path.startswith("s3://"):
        written = _s3_replaced(path, data, version)
        if written:
            return written
    if version_of(path) != version:
        raise ChangedError(path)
    storage.write_whole(path, data, unfinished)
    return hashlib.sha256(data).hexdigest()


def _s3(path: str) -> tuple[Any, dict[str, str]]:
    """Return boto3's client as Beam has set it up, and the object as its requests name it."""
    from apache_beam.io.aws.s3io import S3IO, parse_s3_path

    bucket, key = parse_s3_path(path)
    file_system = storage.file_system(path)
    return S3IO(options=file_system._options).client.client, {"Bucket": bucket, "Key": key}


def _s3_version(path: str) -> str:
    from botocore.exceptions import ClientError

    client, named = _s3(path)
    try:
        return str(client.head_object(**named)["ETag"])
    except ClientError as error:
        if _status(error) == _MISSING:
            return ""
        raise


def _s3_replaced(path: str, data: bytes, version: str) -> str:
    """Replace the object; returns its version, empty where the server knows no conditions."""
    from botocore.exceptions import ClientError

    client, named = _s3(path)
    condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
    try:
        return str(client.put_object(**named, Body=data, **condition)["ETag"])
    except ClientError as error:
        status = _status(error)
        if status in _TOO_LATE or (status == _MISSING and version):
            # The client asks again where no answer came: the first time may have been heard.
            written = _version_holding(client, named, data)
            if written:
                return written
            raise ChangedError(path) from error
        if status == _NOT_KNOWN:
            return ""
        raise


def _version_holding(client: Any, named: dict[str, str], data: bytes) -> str:
    """Return the version of an object that holds just these bytes, empty where it does not."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = client.get_object(**named)
        return str(found["ETag"]) if found["Body"].read() == data else ""
    except (BotoCoreError, ClientError):
        return ""


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))

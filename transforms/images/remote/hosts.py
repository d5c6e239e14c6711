"""The hosts and buckets that pictures may be fetched from: `--fetch-images HOST...`.

text → Host | Bucket | ValueError; (hosts, URL) → the host that allows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult

from transforms.images.remote.addresses import Network, carried

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))
PORTS = {"http": 80, "https": 443}
_ENTRY = re.compile(
    r"(?P<name>\[[0-9a-f:.]+\]|(?:\*\.)?[\w-]+(?:\.[\w-]+)*)(?::(?P<port>\d{1,5}))?", re.IGNORECASE
)
_WRITE = "write one such as cdn.shop.example, *.shop.example, 127.0.0.1:8080 or s3://bucket"
# How programs write the schemes of object stores.
STORES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs"}
_BUCKET = re.compile(r"(?P<scheme>\w+)://(?P<name>[\w.-]{3,222})(?:/(?P<folder>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Host:
    """A host that may be asked. port: None for those of http and https. named: its addresses that
    may be asked although they are not public.
    """

    name: str
    port: int | None = None
    named: tuple[Network, ...] = ()

    def allows(self, url: SplitResult) -> bool:
        """Tell whether an address is of this host and port; ValueError for a port out of range."""
        port, name = url.port or PORTS.get(url.scheme), ascii_name(url.hostname or "")
        if self.port != port and (self.port is not None or url.port not in (None, 80, 443)):
            return False
        if self.name.startswith("*."):
            return name.endswith(self.name[1:])
        return name == self.name


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, or a folder of one, whose objects may be read. scheme: s3 or gs."""

    scheme: str
    name: str
    folder: str = ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.name}"

    def allows(self, found: StoredObject) -> bool:
        """Tell whether an object lies in this bucket, and below this folder."""
        is_here = (self.scheme, self.name) == (found.scheme, found.bucket)
        return is_here and (not self.folder or found.key.startswith(f"{self.folder}/"))


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that a reference names."""

    scheme: str
    bucket: str
    key: str

    @property
    def root(self) -> str:
        return f"{self.scheme}://{self.bucket}"


def ascii_name(host: str) -> str:
    """Return a host's name as it is asked for; empty for one that cannot be.

    >>> ascii_name("Müller.example.")
    'xn--mller-kva.example'
    """
    name = host.rstrip(".").lower()
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return ""


def parse_source(text: str) -> Host | Bucket:
    """Return what the option allows: a host, or with `s3://` or `gs://` a bucket or a folder of
    one.
    """
    return _parse_bucket(text.strip()) if "://" in text else parse_host(text)


def parse_host(text: str) -> Host:
    """Return a host as the option gives it: a name, `*.name` for all below it, or an address, each
    with or without a port. An address, and `localhost`, may be private: it was named.

    >>> parse_host("127.0.0.1:8080").named
    (IPv4Network('127.0.0.1/32'),)
    """
    found = _ENTRY.fullmatch(text.strip())
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        raise ValueError(f"{text!r} is no host; {_WRITE}, without https:// and path")
    name = found["name"].strip("[]").lower()
    named: tuple[Network, ...] = _LOOPBACK if name == "localhost" else ()
    # Else a name, or a number that only operating systems take for an address.
    with suppress(ValueError):
        named = (ip_network(carried(ip_address(name))),)
    if not named and not name.isascii():
        star, name = ("*.", name[2:]) if name.startswith("*.") else ("", name)
        name = star + (ascii_name(name) or name)
    return Host(name, int(found["port"]) if found["port"] else None, named)


def _parse_bucket(text: str) -> Bucket:
    found = _BUCKET.fullmatch(text)
    folder = (found["folder"] or "").strip("/") if found else ""
    if found is None or found["scheme"] not in STORES or "*" in folder or "?" in folder:
        raise ValueError(
            f"{text!r} is no host or bucket; {_WRITE}, hosts without https:// and path"
        )
    return Bucket(STORES[found["scheme"]], found["name"], folder)


def host_of(hosts: Iterable[Host], url: SplitResult) -> Host | None:
    """Return the host that allows an address, None if no one does."""
    return next((host for host in hosts if host.allows(url)), None)


def is_stored(reference: str) -> bool:
    """Tell whether a reference names an object of a store: `s3://bucket/key`, `gs://bucket/key`."""
    scheme, mark, _ = reference.partition("://")
    return bool(mark) and scheme.lower() in STORES


def stored_object(reference: str) -> StoredObject:
    """Return the object that a reference names; ValueError where it names none.

    >>> stored_object("s3a://shop/a/1.jpg")
    StoredObject(scheme='s3', bucket='shop', key='a/1.jpg')
    """
    scheme, _, rest = reference.partition("://")
    bucket, _, key = rest.partition("/")
    found = _BUCKET.fullmatch(f"{scheme.lower()}://{bucket}")
    if found is None or not key or any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError("is no bucket and key; write it as s3://bucket/folder/name.jpg")
    return StoredObject(STORES[scheme.lower()], bucket, key)

"""What is known of addresses that were asked for pictures, kept for later runs.

address ↔ Kept, a file for each in the folder of kept pictures.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from transforms.runtime import storage

# Answers of a disk come at once; those of an object store are waited for side by side.
READERS = 16
_MAX_KNOWN = 200_000
# Where they lie, below the folder of kept pictures.
ADDRESSES = "addresses"


class Kept(msgspec.Struct, frozen=True):
    """What is known of an address.

    run: that asked last. digest: reference of its content, empty for none. etag, modified: what
    asks whether it has changed; of an object in a store etag is its version. final: hash of the
    address without its query that answered in the end. note: why the content may be old.

    The address itself is not kept: it may hold a signature.
    """

    run: str
    digest: str = ""
    etag: str = ""
    modified: str = ""
    reason: str = ""
    message: str = ""
    note: str = ""
    final: str = ""


class KnownAddresses:
    """Reads and writes what is known, and remembers some of it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: dict[str, Kept] = {}

    def of(self, address: str) -> Kept:
        """Return what is known of an address; of one that nobody asked for, an empty Kept."""
        known = self._known.get(address)
        if known is None:
            known = self._read(address)
            self._remember(address, known)
        return known

    def seen(self, address: str) -> Kept | None:
        """Return what was last read or kept here of an address, None for nothing."""
        return self._known.get(address)

    def of_all(self, addresses: Iterable[str]) -> dict[str, Kept]:
        """Return the same for many."""
        wanted = list(addresses)
        if not storage.is_local(self._folder):
            unknown = [each for each in wanted if each not in self._known]
            with ThreadPoolExecutor(READERS, "known-addresses") as threads:
                for address, kept in zip(unknown, threads.map(self._read, unknown), strict=True):
                    self._remember(address, kept)
        return {address: self.of(address) for address in wanted}

    def put(self, address: str, kept: Kept) -> None:
        """Keep what was found out. A power cut may cost it: then the address is asked again."""
        self._remember(address, kept)
        path = self._path(address)
        half = f"{path}.{uuid.uuid4().hex}.part"
        storage.write_whole(path, msgspec.json.encode(kept), half, durable=False)

    def _remember(self, address: str, kept: Kept) -> None:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[address] = kept

    def _read(self, address: str) -> Kept:
        try:
            return msgspec.json.decode(storage.read_bytes(self._path(address)), type=Kept)
        except Exception:
            # Not there, each storage says so in its own way, or damaged: it is asked for again.
            return Kept("")

    def _path(self, address: str) -> str:
        name = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
        return storage.join(self._folder, ADDRESSES, name[:2], f"{name}.json")

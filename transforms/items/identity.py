"""Identity of an item: its fingerprint, and the digest of its content."""

from __future__ import annotations

from schemas.elements import Item, Record
from schemas.hashing import digest


def content_digest(record: Record) -> str:
    """SHA-256, hexadecimal, of what the record says: not of where it stood or what was flagged."""
    content = [record.item_id, record.values, record.given, record.image_refs, record.event_ts_us]
    return digest(content, sort_keys=True)


def item_fingerprint(item: Item) -> str:
    """SHA-256 of all that an item is made of: the bytes of its rows and the content of its
    pictures.
    """
    pictures = [
        (image.path, image.features.digest if image.features else image.reason)
        for image in item.images
    ]
    record = item.record
    rows = [[raw.key.hex() for raw in record.rows]] if record.rows else []
    rows += [[key.hex() for key in record.inherited]] if record.inherited else []
    return digest([record.raw.key.hex(), pictures, *rows])

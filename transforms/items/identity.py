"""Identity of an item: its fingerprint, the digest of its content, and the record that is
chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.elements import Item, Record, Reject
from schemas.hashing import digest
from transforms.normalise.records import STAGE


def content_digest(record: Record) -> str:
    """SHA-256, hexadecimal, of what the record says: not of where it stood or what was flagged."""
    content = [record.item_id, record.values, record.given, record.image_refs, record.event_ts_us]
    return digest(content, sort_keys=True)


def item_fingerprint(item: Item) -> str:
    """SHA-256 of all that an item is made of: the record's bytes and the content of its
    pictures.
    """
    pictures = [
        (image.path, image.features.digest if image.features else image.reason)
        for image in item.images
    ]
    return digest([item.record.raw.key.hex(), pictures])


def choose_record(records: Sequence[Record]) -> tuple[Record, list[Reject]]:
    """Choose which of several records with one id is kept; the others are rejects. Their order does
    not matter.

    The latest event time wins, then the most values, then the smallest digests of content and
    bytes.
    """
    if len(records) == 1:
        return records[0], []
    kept, *others = sorted(records, key=_preference)
    # No file or line in the message: the same records in other files give the same row.
    message = (
        f"another record with id {kept.item_id!r} was kept; make ids unique or merge the records"
    )
    return kept, [
        Reject(other.raw, "duplicate-id", STAGE, message, other.item_id) for other in others
    ]


def _preference(record: Record) -> tuple[int, int, int, str, str]:
    known = record.event_ts_us
    age = (1, 0) if known is None else (0, -known)
    return (*age, -len(record.values), content_digest(record), record.raw.digest)

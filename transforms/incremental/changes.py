"""Comparison of an earlier snapshot's records with today's catalog: which of its rows still hold.

Pure and columnar: a table of RECORDS with buckets, how often its keys were seen, and the records
that were re-read → the rows that are dropped.

Rows of one item id (rows that are merged, duplicates, rows of image tables) and of one group belong
together: if one of them changes, all are read again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.elements import DELETED
from transforms.readers.known_keys import Counts, Keys, as_keys, places_of

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class PreviousRecords:
    """The records of an earlier snapshot, and which of them are read again, changed or not.

    records: columns of RECORDS, and `bucket`; again: bool (rows,).
    keep_deleted: rows of items that had left the catalog before stay until a record of theirs comes
    back.
    left: those that were to be read again and are not, because their item is no longer as it was;
    see `compare_selected`.
    """

    records: pa.Table
    keep_deleted: bool = False
    again: Mask = field(init=False)
    left: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.again = np.zeros(self.records.num_rows, np.bool_)
        self.left = self.again.copy()
        self._deleted = (
            pc.equal(self.records["fate"], DELETED).to_numpy(zero_copy_only=False).astype(np.bool_)
        )
        keys = as_keys(self.records["raw_key"].to_pylist())
        if "group" not in self.records.column_names:
            nulls = pa.nulls(self.records.num_rows, pa.string())
            self.records = self.records.append_column("group", nulls)
        self._unique, self._place, self._count = np.unique(
            keys, return_inverse=True, return_counts=True
        )

    def reread(self, rows: Mask) -> None:
        """Have rows read again, and with them all of the same key, item or group."""
        rows = self.again | rows
        rows |= np.isin(self._place, self._place[rows])
        rows |= self._of_same("item_id", rows)
        in_group = self._of_same("group", rows)
        if (in_group & ~rows).any():
            rows |= in_group
            rows |= self._of_same("item_id", rows)
        self.again = rows | np.isin(self._place, self._place[rows])

    def _of_same(self, column: str, rows: Mask) -> Mask:
        return _is_in(self.records[column], _known(self.records.filter(pa.array(rows))[column]))

    def reread_items(self, item_ids: Collection[str]) -> None:
        """Have all rows of these items read again."""
        self.reread(_is_in(self.records["item_id"], pa.array(list(item_ids), pa.string())))

    def reread_divided_items(self) -> None:
        """Have items read again that a replay made without their rows of image tables: nothing
        keeps those.
        """
        fates, ids = self.records["fate"], self.records["item_id"]
        left = ids.filter(pc.equal(fates, "item-quarantined")).combine_chunks().drop_null()
        self.reread(
            pc.equal(fates, "item").to_numpy(zero_copy_only=False).astype(np.bool_)
            & _is_in(ids, left)
        )

    @property
    def known(self) -> Keys:
        """Sorted keys of what need not be read again."""
        return self._unique[self._known_places]

    @property
    def _known_places(self) -> Counts:
        # A record that comes back is read, whatever its bytes.
        return np.setdiff1d(np.arange(len(self._unique)), self._place[self.again | self._deleted])

    def compare(self, seen: Counts, reread: pa.Table) -> ChangeSet | None:
        """Decide what stays of the snapshot once the catalog was read.

        None: more had to be read than was (see `again`); then the catalog is read once more.

        seen: how often each key of `known` was met; reread: item_id and raw_key of the other
        records.
        """
        times = np.zeros(len(self._unique), np.int64)
        times[self._known_places] = seen
        gone = times[self._place] == 0
        miscounted = ~gone & (times[self._place] != self._count[self._place])
        stays = np.zeros_like(gone)
        if self.keep_deleted:
            # Rows of an image table alone bring no item back.
            back = (
                reread.filter(pc.equal(reread["input"], "catalog"))["item_id"]
                .combine_chunks()
                .drop_null()
            )
            stays = self._deleted & ~_is_in(self.records["item_id"], back)
        dropped = (gone | miscounted) & ~stays
        gone_rows = self.records.filter(pa.array(dropped))
        shares = np.zeros_like(dropped)
        for column in ("item_id", "group"):
            moved = pa.concat_arrays([_known(reread[column]), _known(gone_rows[column])])
            shares |= _is_in(self.records[column], moved)
        affected = ~dropped & ~stays & shares
        if affected.any() or miscounted.any():
            self.reread(affected | miscounted)
            return None
        return ChangeSet(self.records, dropped, reread, stays)

    @property
    def wanted(self) -> Keys:
        """Sorted keys of what has to be read again."""
        return np.unique(self._unique[self._place[self.again]])

    def compare_selected(self, reread: pa.Table) -> ChangeSet | None:
        """Decide what stays if only some records were re-read, whatever else the catalog holds
        today.

        An item is made of all its records or of none. None: too much was read; then what is
        to be is read again.
        """
        places = places_of(as_keys(reread["raw_key"].to_pylist()), self._unique)
        times = np.bincount(places, minlength=len(self._unique))[self._place]
        is_whole = self.again & (times == self._count[self._place])
        # Rows of image tables that came with a quarantined item are kept nowhere, and not missed.
        rest = ~is_whole & ~pc.equal(self.records["fate"], "item-quarantined").to_numpy(
            zero_copy_only=False
        )
        parted = _known(self.records["item_id"].filter(pa.array(rest)))
        left = (self.again & rest) | _is_in(self.records["item_id"], parted)
        left |= self._of_same("group", rest)
        left |= np.isin(self._place, places[_is_in(reread["item_id"], parted)])
        left &= self.again
        self.left |= left
        self.again &= ~left
        return (
            None if times[left].any() else ChangeSet(self.records, self.again & (times > 0), reread)
        )


@dataclass(frozen=True)
class ChangeSet:
    """dropped: rows of `records` that are gone or rebuilt; reread: see `all_reread`.

    stays: rows of deleted items that are kept; None: none has to be told apart.
    """

    records: pa.Table
    dropped: Mask
    reread: pa.Table
    stays: Mask | None = None

    @property
    def drops(self) -> pa.Table:
        """bucket, item_id and raw_key of what is dropped; without an id where the item itself
        stays.
        """
        drops = self.records.filter(pa.array(self.dropped)).select(["bucket", "item_id", "raw_key"])
        if self.stays is None or not self.stays.any():
            return drops
        staying = self.records["item_id"].filter(pa.array(self.stays)).combine_chunks()
        ids = pc.if_else(
            pc.is_in(drops["item_id"], value_set=staying),
            pa.scalar(None, pa.string()),
            drops["item_id"],
        )
        return drops.set_column(1, "item_id", ids)

    def counts(self) -> dict[str, int]:
        """Count items that are new, changed, rebuilt though their record did not change, unchanged,
        and deleted.
        """
        was_item = pc.equal(self.records["fate"], "item").to_numpy(zero_copy_only=False)
        kept = self.records.filter(pa.array(was_item & ~self.dropped))
        before = self.records.filter(pa.array(was_item & self.dropped))
        read = self.reread.filter(pc.equal(self.reread["input"], "catalog"))
        had = _is_in(read["item_id"], before["item_id"].combine_chunks())
        # Of several records with one id, one that was not there before makes the item a changed
        # one.
        known = self.records["raw_key"].filter(pa.array(self.dropped)).combine_chunks()
        other = read.filter(pa.array(had & ~_is_in(read["raw_key"], known)))
        changed = _is_in(read["item_id"], other["item_id"].combine_chunks().drop_null())
        return {
            "new": _distinct(read.filter(pa.array(~had))),
            "changed": _distinct(other),
            "made_again": _distinct(read.filter(pa.array(had & ~changed))),
            "unchanged": kept.num_rows,
            "deleted": self.gone.num_rows,
        }

    @property
    def gone(self) -> pa.Table:
        """bucket, item_id and raw_key of the records of items that nothing is left of in the
        catalog.
        """
        was_item = pc.equal(self.records["fate"], "item").to_numpy(zero_copy_only=False)
        before = self.records.filter(pa.array(was_item & self.dropped)).select(
            self.drops.column_names
        )
        read = self.reread.filter(pc.equal(self.reread["input"], "catalog"))
        found = _is_in(before["item_id"], read["item_id"].combine_chunks().drop_null())
        return before.filter(pa.array(~found))


def damaged(records: pa.Table, buckets: Collection[int]) -> Mask:
    """Rows of the buckets whose files cannot be used."""
    return _is_in(records["bucket"], pa.array(sorted(buckets), pa.int32()))


def _known(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks().drop_null()


def _distinct(table: pa.Table) -> int:
    return len(pc.unique(table["item_id"].combine_chunks().drop_null()))


def _is_in(column: Any, values: Any) -> Mask:
    mask: Mask = pc.is_in(column, value_set=values).to_numpy(zero_copy_only=False).astype(np.bool_)
    return mask

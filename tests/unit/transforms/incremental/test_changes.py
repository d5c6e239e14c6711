"""What stays of a snapshot: whole items or none, whatever became of the catalog, against a slow
reference.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import KEY_BYTES, RawRecord, Reject
from transforms.incremental.changes import ChangeSet, PreviousRecords, damaged
from transforms.readers.known_keys import REREAD, as_keys, places_of
from transforms.tables.build import RunInfo, quarantine_table
from transforms.tables.merge import joined

# (item id, number of its bytes): equal bytes are of one item. None: no id was found in these bytes.
Rec = tuple[str | None, int]
recs = st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 2)) | st.tuples(
    st.none(), st.integers(0, 1)
)
catalogs = st.lists(recs, max_size=10)


def key(record: Rec) -> bytes:
    return f"{record[0] or '-'}{record[1]}".encode().ljust(KEY_BYTES, b"\0")


def past_of(
    records: Sequence[Rec], fates: Sequence[str] = (), *, keep_deleted: bool = False
) -> PreviousRecords:
    """A past in which the first record of an item is the item, and further ones are in quarantine."""
    made, seen = [], set[str | None]([None])
    for record in records:
        made.append("quarantine" if record[0] in seen else "item")
        seen.add(record[0])
    columns: dict[str, Any] = {
        "item_id": pa.array([record[0] for record in records], pa.string()),
        "raw_key": pa.array([key(record) for record in records], pa.binary(KEY_BYTES)),
        "input": pa.array(["catalog"] * len(records), pa.string()),
        "fate": pa.array(list(fates) or made, pa.string()),
        "retry": pa.array([False] * len(records), pa.bool_()),
        "bucket": pa.array([0] * len(records), pa.int32()),
    }
    return PreviousRecords(pa.table(columns), keep_deleted)


def reread(records: Sequence[Rec]) -> pa.Table:
    rows = [
        {"item_id": record[0], "raw_key": key(record), "input": "catalog"} for record in records
    ]
    return pa.Table.from_pylist(rows, REREAD)


def mask(flags: Sequence[bool]) -> Any:
    return np.array(flags, np.bool_)


def scan(past: PreviousRecords, today: Sequence[Rec]) -> tuple[ChangeSet | None, list[Rec]]:
    """One reading of today's catalog: the verdict, and what was looked into."""
    places = places_of(as_keys(map(key, today)), past.known)
    read = [record for record, place in zip(today, places, strict=True) if place < 0]
    seen = np.bincount(places[places >= 0], minlength=len(past.known)).astype(np.int64)
    return past.compare(seen, reread(read)), read


def records_of(catalog: Sequence[Rec], item_id: str | None) -> Counter[Rec]:
    return Counter(record for record in catalog if record[0] == item_id)


@given(catalogs, catalogs, st.sets(st.integers(0, 9)))
def test_an_item_stays_whole_or_is_made_of_all_its_records(
    old: list[Rec], today: list[Rec], retried: set[int]
) -> None:
    """After two readings at most: what stays and what was looked into are today's catalog, and no
    item is in both.
    """
    past = past_of(old)
    past.reread(mask([n in retried for n in range(len(old))]))
    wanted = [record for record, again in zip(old, past.again, strict=True) if again]
    verdict, read = scan(past, today)
    if verdict is None:
        verdict, read = scan(past, today)
    assert verdict is not None
    kept = [
        record for record, is_dropped in zip(old, verdict.dropped, strict=True) if not is_dropped
    ]
    assert Counter(kept) + Counter(read) == Counter(today)
    assert not {record[0] for record in kept} & {record[0] for record in read} - {None}
    for item_id in "abcd":
        unchanged = records_of(old, item_id) == records_of(today, item_id)
        is_wanted = any(record[0] == item_id for record in wanted)
        if records_of(old, item_id):
            assert bool(records_of(kept, item_id)) == (unchanged and not is_wanted), (
                "nothing is rebuilt for nothing"
            )


@given(catalogs, catalogs, st.sets(st.integers(0, 9)))
def test_the_counts_of_items_add_up(old: list[Rec], today: list[Rec], retried: set[int]) -> None:
    """New, changed, made again and unchanged are today's items, each once; deleted are those of
    before without them.
    """
    past = past_of(old)
    past.reread(mask([n in retried for n in range(len(old))]))
    verdict, _ = scan(past, today)
    verdict = verdict or scan(past, today)[0]
    assert verdict is not None
    counts = verdict.counts()
    ids, before = ({record[0] for record in catalog} - {None} for catalog in (today, old))
    assert counts["deleted"] == len(before - ids)
    assert counts["new"] == len(ids - before)
    assert counts["new"] + counts["changed"] + counts["made_again"] + counts["unchanged"] == len(
        ids
    )
    assert counts["changed"] == sum(
        bool(records_of(today, i).keys() - records_of(old, i).keys()) for i in ids & before
    )


@given(
    st.booleans(),
    catalogs,
    st.lists(st.sampled_from(["w", "x", "y", "z"]), unique=True),
    catalogs,
    st.data(),
)
def test_deleted_items_stay_until_a_record_comes(
    keep: bool, old: list[Rec], deleted: list[str], today: list[Rec], data: st.DataObject
) -> None:
    """Rows of deleted items stay, and move nothing, if that is wanted and no record of theirs is
    there; else they go.
    """
    back = [
        (item_id, data.draw(st.integers(0, 1))) for item_id in deleted if data.draw(st.booleans())
    ]
    fates = past_of(old).records["fate"].to_pylist() + ["deleted"] * len(deleted)
    rows = [*old, *((item_id, 0) for item_id in deleted)]
    past = past_of(rows, fates, keep_deleted=keep)
    verdict, read = scan(past, [*today, *back])
    verdict, read = (verdict, read) if verdict is not None else scan(past, [*today, *back])
    assert verdict is not None
    dropped = [bool(each) for each in verdict.dropped[len(old) :]]
    assert dropped == [not keep or item_id in dict(back) for item_id in deleted]
    assert set(back) <= set(read), "what comes back is read, whatever its bytes"
    plain, _ = scan(past_of(old), today)
    counts = verdict.counts()
    assert counts["deleted"] == len({r[0] for r in old} - {r[0] for r in today} - {None})
    if plain is not None:
        assert counts == {**plain.counts(), "new": plain.counts()["new"] + len(back)}


@given(catalogs, catalogs, st.sets(st.sampled_from("abcd")))
def test_a_part_is_made_anew_whole_or_not_at_all(
    old: list[Rec], today: list[Rec], chosen: set[str]
) -> None:
    """Of the chosen items those whose records are all there, as often as before, are rebuilt;
    others stay whole, and are told.
    """
    past = past_of(old)
    past.reread_items(chosen)
    told, verdict, read = past.again.copy(), None, list[Rec]()
    for _ in range(2):
        wanted = {each.tobytes() for each in past.wanted}
        read = [record for record in today if key(record) in wanted]
        verdict = past.compare_selected(reread(read))
        if verdict is not None:
            break
    assert verdict is not None
    dropped = Counter(
        record for record, is_dropped in zip(old, verdict.dropped, strict=True) if is_dropped
    )
    assert dropped == Counter(read)
    still = [record for record in today if record in old]  # new records are the next run's
    expected = {
        i for i in chosen if records_of(old, i) and records_of(old, i) == records_of(still, i)
    }
    assert {record[0] for record in dropped} == expected
    assert sum(told) - sum(past.left) == dropped.total()


def test_an_id_that_is_taken_is_left() -> None:
    """A record without an id that gets the id of an item which stays is not rebuilt."""
    past = past_of([("a", 0), (None, 0), (None, 1)])
    past.reread(mask([False, True, True]))
    rows = [{"item_id": "a", "raw_key": key((None, 0)), "input": "catalog"}]
    rows.append({"item_id": "new", "raw_key": key((None, 1)), "input": "catalog"})
    assert past.compare_selected(pa.Table.from_pylist(rows, REREAD)) is None
    verdict = past.compare_selected(pa.Table.from_pylist(rows[1:], REREAD))
    assert verdict is not None
    assert verdict.dropped.tolist() == [False, False, True]
    assert past.left.tolist() == [False, True, False]


def test_an_item_that_came_back_without_its_rows_is_looked_into() -> None:
    """After a replay an item may lack its rows of image tables: it and they are read again, others
    are not.
    """
    fates = ["item", "item-quarantined", "item", "quarantine", "item-quarantined"]
    past = past_of([("a", 0), ("a", 1), ("b", 0), ("c", 0), ("c", 1)], fates)
    past.reread_divided_items()
    assert past.again.tolist() == [True, True, False, False, False]


def test_rows_that_went_with_an_item_are_not_missed() -> None:
    """Rows of image tables whose item was set aside are kept nowhere; the item's record is read
    anew without them.
    """
    past = past_of([("a", 0), ("a", 1)], ["quarantine", "item-quarantined"])
    past.reread(mask([True, False]))
    assert past.again.all()
    verdict = past.compare_selected(reread([("a", 0)]))
    assert verdict is not None
    assert verdict.dropped.tolist() == [True, False]
    assert not past.left.any()


@given(catalogs, st.sets(st.integers(0, 9)))
def test_what_hangs_together_is_looked_into_together(old: list[Rec], chosen: set[int]) -> None:
    """reread takes in all rows of the same bytes or the same item as a closure that is worked
    out slowly.
    """
    past = past_of(old)
    past.reread(mask([n in chosen for n in range(len(old))]))
    expected = {record for n, record in enumerate(old) if n in chosen}
    while (
        more := {r for r in old for e in expected if r == e or (r[0] is not None and r[0] == e[0])}
        - expected
    ):
        expected |= more
    assert past.again.tolist() == [record in expected for record in old]
    assert {each.tobytes() for each in past.known} == {
        key(record) for record in old if record not in expected
    }
    assert {each.tobytes() for each in past.wanted} == {key(record) for record in expected}


def test_damaged_buckets_are_found_by_number() -> None:
    """Rows of the named buckets, and no others, are marked."""
    table = pa.table({"bucket": pa.array([0, 1, 2, 1], pa.int32())})
    assert damaged(table, {1}).tolist() == [False, True, False, True]
    assert not damaged(table, ()).any()


rejects = st.builds(
    lambda data, form, header, kind, reason, field, item_id, message, place: Reject(
        RawRecord(data, form, f"f{place % 2}", place, place % 3, header, kind=kind),
        reason,
        "normalise",
        message,
        item_id,
        field,
    ),
    st.sampled_from([b"{}", b"[]", b""]),
    st.sampled_from(["jsonl", "csv"]),
    st.sampled_from([b"", b"a,b"]),
    st.sampled_from(["catalog", "image-table"]),
    st.sampled_from(["missing-id", "duplicate-id"]),
    st.sampled_from([None, "sku"]),
    st.sampled_from([None, "", "a", "b", "é", "\U0001f600", "Z"]),
    st.sampled_from(["m", "n"]),
    st.integers(0, 12),
)


@given(st.lists(rejects, max_size=10), st.data())
def test_rows_that_stay_and_rows_that_come_are_in_one_runs_order(
    found: list[Reject], data: st.DataObject
) -> None:
    """However rejects are parted into kept and fresh ones, joined they are the table that one run
    would have written.
    """
    at = data.draw(st.integers(0, len(found)))
    run = RunInfo("run", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})
    kept, fresh = quarantine_table(found[:at], run), quarantine_table(found[at:], run)
    assert joined("quarantine", kept, fresh).equals(
        quarantine_table(found, run), check_metadata=True
    )

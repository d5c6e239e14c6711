"""What a bucket takes of what was read: all of it, or the smallest items that fit together."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import LONG_HEADER_BYTES, ImageRow, RawRecord, Record, Reject
from transforms.runtime.bounds.admission import Source, admit, grouped, share_of, weight_of

IDS = st.sampled_from([f"sku-{number}" for number in range(6)])
SIZES = st.integers(0, 40_000)
# Of files with none, a short one and long ones.
HEADERS = (b"", b"sku,name", b"a," * 5_000, b"b," * 20_000)


def raw(size: int, number: int) -> RawRecord:
    header = HEADERS[(number + size) % len(HEADERS)]
    data = random.Random(number).randbytes(size)
    return RawRecord(data, "csv", f"{number}.csv", number, header=header)


def with_headers(elements: Iterable[Record | ImageRow | Reject]) -> int:
    """What elements weigh, each long header once."""
    every = list(elements)
    headers = {row.header for each in every for row in rows_of(each)}
    long = sum(len(each) for each in headers if len(each) >= LONG_HEADER_BYTES)
    return sum(map(weight_of, every)) + long


def rows_of(element: Record | ImageRow | Reject) -> list[RawRecord]:
    return [element.raw, *(() if isinstance(element, ImageRow) else element.rows)]


@st.composite
def buckets(draw: st.DrawFn) -> Source:
    """Records with further rows and pictures, rows of image tables, rejects."""
    records, rows, rejects = [], [], []
    for number, (item_id, size) in enumerate(draw(st.lists(st.tuples(IDS, SIZES), max_size=9))):
        more = tuple(raw(each, 100 + each) for each in draw(st.lists(SIZES, max_size=2)))
        pictures = tuple(map(str, range(draw(st.integers(0, 3)))))
        records.append(Record(item_id, {}, {}, pictures, (), raw(size, number), rows=more))
    for number, (item_id, size) in enumerate(draw(st.lists(st.tuples(IDS, SIZES), max_size=5))):
        rows.append(ImageRow(item_id, "a.png", raw(size, 1_000 + number)))
    for number, size in enumerate(draw(st.lists(SIZES, max_size=5))):
        rejects.append(Reject(raw(size, 2_000 + number), "missing-id", "normalise", "none"))
    return Source(lambda: records, lambda: rows, lambda: rejects)


def keys_of(source: Source) -> Counter[bytes]:
    """The keys of all rows that were read."""
    found = [each.raw for each in (*source.records(), *source.image_rows(), *source.rejects())]
    found += [row for record in source.records() for row in record.rows]
    return Counter(each.key for each in found)


@given(buckets(), st.integers(1, 400_000), st.randoms())
def test_a_bucket_holds_what_fits_and_accounts_for_the_rest(
    source: Source, most: int, chance: random.Random
) -> None:
    """Each row is in the bucket or among its rejects, once and under its key; what is kept fits;
    what is set aside is whole items, none smaller than one that stays; and the order in which it
    is read changes nothing.
    """
    admitted = admit(source, most)
    kept = [*admitted.records, *admitted.image_rows]
    rejected = [each for reject in admitted.rejects for each in reject.each]
    now = [each.raw for each in (*kept, *rejected)]
    now += [row for record in admitted.records for row in record.rows]
    assert Counter(each.key for each in now) == keys_of(source)

    whole = with_headers([*source.records(), *source.image_rows(), *source.rejects()])
    assert admitted.is_whole == (whole <= most)
    if admitted.is_whole:
        assert admitted.records == list(source.records())
        assert admitted.rejects == list(source.rejects())
        return
    assert with_headers(kept) <= most / 2
    long = {row.raw.header for row in rejected if len(row.raw.header) >= LONG_HEADER_BYTES}
    assert sum(len(each.raw.data) for each in rejected) + sum(map(len, long)) <= most / 2
    by_item: dict[str, list[Record | ImageRow]] = {}
    for each in (*source.records(), *source.image_rows()):
        by_item.setdefault(each.item_id, []).append(each)
    weights = {item_id: with_headers(each) for item_id, each in by_item.items()}
    stay = {each.item_id for each in kept}
    aside = {each.item_id for each in rejected if each.reason == "bucket-too-large"}
    assert stay.isdisjoint(aside)
    assert max((weights[each] for each in stay), default=0) <= min(
        (weights[each] for each in aside if each is not None), default=most
    )

    shuffled = [list(each) for each in (source.records(), source.image_rows(), source.rejects())]
    for each in shuffled:
        chance.shuffle(each)
    again = admit(Source(*(lambda given=given: given for given in shuffled)), most)  # type: ignore[misc]
    assert Counter(map(repr, again.records)) == Counter(map(repr, admitted.records))
    assert Counter(map(repr, again.rejects)) == Counter(map(repr, admitted.rejects))


def test_what_does_not_fit_is_chosen_once() -> None:
    """Of a bucket that several stages put together it is found out once what fits; each has the
    same, for two readings instead of four.
    """
    records = [Record(f"{n % 7}", {}, {}, (), (), raw(1_000 * (n % 7), n)) for n in range(50)]
    reads = []

    def read() -> list[Record]:
        reads.append(1)
        return records

    source = Source(read, key=("a bucket", 1))
    first = admit(source, 100_000)
    counts = [len(reads)]
    assert admit(source, 100_000) == first
    counts.append(len(reads) - counts[0])
    assert counts == [4, 2]
    assert admit(replace(source, key=None), 100_000) == first


def test_where_a_record_stands_does_not_decide() -> None:
    """The same records in files of other names weigh as much."""
    record = Record("a", {}, {}, (), (), raw(100, 1))
    moved = replace(record, raw=replace(record.raw, file="far/away/" * 50, position=10**9))
    assert weight_of(record) == weight_of(moved)


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=30), st.integers(0, 20_000))
def test_a_share_is_the_most_that_all_can_have(sizes: list[int], most: int) -> None:
    """What each keeps at most fits together, and one byte more would not."""
    share = share_of(np.array(sizes), most)
    assert sum(min(each, share) for each in sizes) <= most
    if share < max(sizes):
        assert sum(min(each, share + 1) for each in sizes) > most


def test_a_long_header_counts_once_and_is_held_once() -> None:
    """A bucket takes all rows of a file whose header alone is a third of what it may hold, and they
    share one object though each was read with its own.
    """
    own = [
        Record(f"{n}", {}, {}, (), (), replace(raw(9, n), header=bytes(bytearray(100_000))))
        for n in range(50)
    ]
    assert len({id(each.raw.header) for each in own}) == 50
    admitted = admit(Source(lambda: own), 300_000)
    assert admitted.is_whole
    assert len({id(each.raw.header) for each in admitted.records}) == 1


def grouped_rows() -> list[Record]:
    """Rows of three groups, of 2, 3 and 40."""
    sizes = {"small": 2, "middle": 3, "huge": 40}
    return [
        Record(f"{group}-{n}", {}, {}, (), (), raw(1_000, n), group=group)
        for group, count in sizes.items()
        for n in range(count)
    ]


@given(st.randoms())
def test_groups_that_fit_are_taken_whole(chance: random.Random) -> None:
    """Of groups of rows that share a bucket the smallest that fit together are held; each row of the
    others is set aside with a reason, whatever the order in which they are read.
    """
    rows = grouped_rows()
    chance.shuffle(rows)
    groups, refused = grouped(lambda: rows, 120_000)
    assert {group: len(each) for group, each in groups.items()} == {"small": 2, "middle": 3}
    rejects = list(refused)
    assert {(each.reason, each.group) for each in rejects} == {("bucket-too-large", "huge")}
    assert len(rejects) == 40


def test_groups_that_all_fit_are_all_taken() -> None:
    """Where there is room no row is set aside."""
    groups, refused = grouped(grouped_rows, 1 << 30)
    assert sum(map(len, groups.values())) == 45
    assert list(refused) == []


def test_a_record_without_its_header_is_known_as_cut() -> None:
    """What lost its header has its key and fewer bytes than it had, so that nothing reads it."""
    whole = RawRecord(b"a,b\n", "csv", "in.csv", 2, header=b"sku,name\n")
    bare = whole.without_header()
    assert (bare.header, bare.key, bare.true_size_bytes) == (b"", whole.key, 4)
    assert len(bare.data) < bare.true_size_bytes
    assert bare.without_header().key == whole.key


def test_what_was_cut_is_known_by_its_key() -> None:
    """A record whose bytes were cut later is told apart from the same bytes as a record."""
    whole = raw(1_000, 7)
    cut = whole.cut(10)
    assert (len(cut.data), cut.true_size_bytes, cut.key) == (10, 1_000, whole.key)
    assert whole.cut(1_000) is whole
    assert cut.cut(5).key == whole.key

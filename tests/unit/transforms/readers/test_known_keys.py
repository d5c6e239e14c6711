"""Known records: found by key as a dictionary finds them, counted by split, let through or kept
back.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.elements import KEY_BYTES, RawRecord, Reject, key_maker
from transforms.readers import Unread
from transforms.readers.known_keys import (
    KnownFile,
    add_up_seen,
    all_reread,
    as_keys,
    places_of,
)

# Few, and with zero bytes at both ends, which fixed-width texts would lose.
keys = st.sampled_from(
    [
        bytes([first]) + bytes(KEY_BYTES - 2) + bytes([last])
        for first in (0, 1, 255)
        for last in (0, 7)
    ]
)
key_lists = st.lists(keys | st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES), max_size=12)


def unread(key: bytes) -> Unread:
    def look(raw: RawRecord) -> Reject:
        return Reject(raw, "missing-id", "normalise", "")

    return Unread(key, bytes, look, RawRecord(key, "jsonl", "f", 1))


@given(key_lists, key_lists)
def test_places_are_those_of_a_dictionary(asked: list[bytes], known: list[bytes]) -> None:
    """For any keys, places_of says what a dictionary from key to rank says."""
    sorted_keys = np.unique(as_keys(known))
    oracle = {key.tobytes(): at for at, key in enumerate(sorted_keys)}
    assert places_of(as_keys(asked), sorted_keys).tolist() == [oracle.get(key, -1) for key in asked]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(key_lists, st.lists(key_lists, max_size=3))
def test_what_splits_saw_adds_up(
    tmp_path: Path, known: list[bytes], splits: list[list[bytes]]
) -> None:
    """Each split lets the unknown through in order and counts the known; the counts of all splits
    add up.
    """
    sorted_keys = np.unique(as_keys(known))
    file = KnownFile.write(sorted_keys, str(tmp_path))
    saved = []
    for split in splits:
        key_filter = file.key_filter()
        chosen = [
            *key_filter.choose([unread(key) for key in split[:3]]),
            *key_filter.choose([unread(key) for key in split[3:]]),
        ]
        assert [each.key for each in chosen] == [key for key in split if key not in set(known)]
        saved.append(key_filter.save())
    met = Counter(key for split in splits for key in split)
    expected = [met[key.tobytes()] for key in sorted_keys]
    assert add_up_seen(saved, len(sorted_keys)).tolist() == expected


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(key_lists, key_lists, key_lists)
def test_only_the_wanted_are_let_through(
    tmp_path: Path, known: list[bytes], wanted: list[bytes], met: list[bytes]
) -> None:
    """With wanted keys nothing else is let through, known or not."""
    file = KnownFile.write(np.unique(as_keys(known)), str(tmp_path), np.unique(as_keys(wanted)))
    key_filter = file.key_filter()
    assert [each.key for each in key_filter.choose([unread(key) for key in met])] == [
        key for key in met if key in wanted
    ]
    assert [key_filter.wants(key) for key in met] == [key in wanted for key in met]


def test_what_was_looked_into_comes_back(tmp_path: Path) -> None:
    """Item id, key and input of all looked-into records come back from the files of all splits;
    none is fine too.
    """
    file = KnownFile.write(as_keys([]), str(tmp_path))
    raws = [
        RawRecord(b"{}", "jsonl", "f", 1),
        RawRecord(b"a,b", "csv", "f", 2, header=b"x,y", kind="image-table"),
    ]
    saved = []
    for item_id, raw, group in zip(("a", None), raws, ("g", ""), strict=True):
        key_filter = file.key_filter()
        key_filter.note(item_id, raw, group)
        saved.append(key_filter.save())
    found = all_reread([*saved, file.key_filter().save()]).to_pylist()
    assert found == [
        {"item_id": "a", "raw_key": raws[0].key, "input": "catalog", "group": "g"},
        {"item_id": None, "raw_key": raws[1].key, "input": "image-table", "group": None},
    ]
    assert all_reread([]).num_rows == 0


raw_parts = st.tuples(
    st.binary(max_size=3),
    st.sampled_from(["jsonl", "csv"]),
    st.sampled_from([b"", b"a", b"a\n"]),
    st.sampled_from(["catalog", "image-table"]),
)


@given(raw_parts, raw_parts)
def test_keys_are_equal_where_reading_is(
    one: tuple[bytes, str, bytes, str], other: tuple[bytes, str, bytes, str]
) -> None:
    """Two records have one key just when bytes, format, header and kind are equal, wherever they
    stood.
    """
    made = [
        RawRecord(data, form, f"file{n}", n, n, header, kind=kind)
        for n, (data, form, header, kind) in enumerate((one, other))
    ]
    assert (made[0].key == made[1].key) == (one == other)
    data, form, header, kind = one
    assert key_maker(kind, form, header)(data) == made[0].key
    assert len(made[0].key) == KEY_BYTES


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_keys_survive_their_file(tmp_path: Path, count: int) -> None:
    """Keys come back from their file as they were, none and trailing zero bytes too."""
    made = np.unique(as_keys(n.to_bytes(KEY_BYTES, "little") for n in range(count)))
    key_filter = KnownFile.write(made, str(tmp_path)).key_filter()
    assert key_filter.known.tobytes() == made.tobytes()
    assert len(key_filter.known) == count

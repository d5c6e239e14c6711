"""Digests and hashes have the values that earlier snapshots, folds and samples were made with."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from schemas.hashing import digest, stable_hash, stable_share


def test_digests_are_those_of_earlier_snapshots() -> None:
    """A digest that changes makes every kept answer and every earlier snapshot unknown."""
    content = {"b": [1, None, "ä"], "a": 0.5}
    assert digest(content) == "94f4a1080f8294731744e72f569265c016a1a7c86d1e631cbdb81af5fcfa2067"
    assert (
        digest(content, sort_keys=True)
        == "ad0b5fe37d2050a3361db635d2212fcf5abedad5461e4cd61387351ca9ffac74"
    )


def test_the_order_of_keys_counts_unless_asked_otherwise() -> None:
    """The order of a schema's properties shapes an answer, that of an option's names does not."""
    one, other = {"b": 1, "a": 2}, {"a": 2, "b": 1}
    assert digest(one) != digest(other)
    assert digest(one, sort_keys=True) == digest(other, sort_keys=True)


def test_what_json_cannot_say_is_refused_or_replaced() -> None:
    """A value without a JSON form is an error, except where the caller says what stands for it."""

    class Odd:
        def __str__(self) -> str:
            return "odd"

    with pytest.raises(TypeError):
        digest([Odd()])
    assert digest([Odd()], default=str) == digest(["odd"])


def test_a_dataclass_counts_by_its_fields() -> None:
    """Configurations are digested as they are, without a conversion of their own."""

    @dataclass(frozen=True)
    class Limits:
        rows: int

    assert digest(Limits(3)) == digest({"rows": 3})


@pytest.mark.parametrize(
    ("key", "size_bytes", "purpose", "expected"),
    [
        ("sku-1", 8, "", 14819516963497669862),
        ("sku-1", 8, "fold", 17934371376777215296),
        ("7\nsku-1\ncolor", 8, "", 4860658803386263707),
        (b"bl\xc3\xa5", 4, "", 4283760681),
        (
            "mug.jpg",
            64,
            "",
            13148884311344768854989788563015032891455842949671943524293339764462333372991437619334927878497589920773896278650780955448351677659856282199718701605946266,
        ),
    ],
)
def test_hashes_are_those_of_earlier_runs(
    key: str | bytes, size_bytes: int, purpose: str, expected: int
) -> None:
    """Buckets, folds and samples of an earlier run are those of a later one."""
    assert stable_hash(key, size_bytes=size_bytes, purpose=purpose) == expected


def test_shares_are_those_of_earlier_runs() -> None:
    """The sample that probes learn from is the same in every run."""
    assert stable_share("sku-1", purpose="sample") == 0.32613048354316654


def test_purposes_draw_independently() -> None:
    """Of what is in one fold, about as much is in a sample as of everything."""
    keys = [f"sku-{number}" for number in range(4_000)]
    in_fold = [key for key in keys if stable_hash(key, purpose="fold") % 4 == 0]
    sampled = [key for key in in_fold if stable_share(key, purpose="sample") < 0.25]
    assert 0.2 < len(sampled) / len(in_fold) < 0.3

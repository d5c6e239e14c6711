"""Whole runs against a server that misbehaves in every way of tests/misbehaviour, among honest answers and under load.

`make test` asks about each behaviour once; `make test-servers` about CATALOG_ENRICH_HOSTILE_ITEMS (2,000), prints what
each behaviour cost, and asks as many of which a tenth misbehaves at random, 128 at a time.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.misbehaviour import OUTCOMES, USED
from tests.misbehaviour.load import (
    Watched,
    behaviour_of,
    catalog,
    mixed,
    seen_by,
    served,
    watch,
)
from tests.misbehaviour.usage import HONEST_USAGES, USAGES
from tests.support import RUN_COLUMNS, Run, Shop, flags, read_rows

LONG = int(os.environ.get("CATALOG_ENRICH_HOSTILE_ITEMS", "0"))
ITEMS, EACH = (LONG, 5) if LONG else (180, 1)
INFLIGHT = 64 if LONG else 32
# Enough for any honest answer on a busy machine, and less than an answer takes that drips.
TIMEOUT_SECS = "8" if LONG else "6"
# A server that breaks a connection may break one that an honest answer was to come through.
RETRIES = "1"
# Of the mixed load.
MIXED_INFLIGHT, MIXED_SHARE, MOST_CALLS_AN_ITEM = 128, 0.1, 1.15
# Whose unusable answers have a text, which is kept in quarantine.
SAID_SOMETHING = {"blank", "length", "prose", "off-schema", "refusal", "content-filter"}
# Beside what is read, buckets and answers of 8 MiB that are under way.
MORE_MB = 150


def options(url: str, inflight: int = INFLIGHT) -> list[str]:
    endpoint = ["--describe-backend", "openai", "--endpoint", url, "--describe-model", "tiny"]
    limits = ["--request-timeout-secs", TIMEOUT_SECS, "--max-retries", RETRIES, "--busy-secs", "0"]
    limits += ["--give-up-secs", "600"]
    return [*endpoint, *limits, "--max-inflight", str(inflight), "--no-logprobs", "--no-probes"]


def items_of(run: Run) -> dict[str, dict[str, Any]]:
    return {row["item_id"]: row for row in run.rows("items", RUN_COLUMNS)}


def accounted(run: Run, rows: dict[str, dict[str, Any]], items: int) -> None:
    """Every item is there, with the reason that its behaviour has to come to and no other; the
    account has the same numbers.
    """
    assert len(rows) == items
    expected: Counter[str] = Counter()
    for row in rows.values():
        name, found = behaviour_of(row), flags(row)
        allowed = OUTCOMES[name].split()
        if OUTCOMES[name] == USED:
            assert found == set(), f"{name}: {row['flags']}"
            assert row["color__provenance"]["model"] == "tiny", name
        else:
            assert len(found) == 1, f"{name}: {found}"
            assert found <= set(allowed), f"{name}: {row['flags']}"
            assert row["color"] is None
            expected.update(found)
    counts = run.manifest["counts"]
    described = counts["described"]
    assert described["failed_items"] == expected
    assert (counts["records_in"], counts["unaccounted"]) == (items, 0)
    raw = [row for row in run.rows("quarantine") if row["input"] == "model-answer"]
    kept = Counter(behaviour_of(rows[row["item_id"]]) for row in raw)
    asked = Counter(behaviour_of(row) for row in rows.values())
    assert kept == {name: asked[name] for name in SAID_SOMETHING if asked[name]}
    assert all({row["reason"]} == flags(rows[row["item_id"]]) for row in raw)
    assert described["lost_attempts"] > 0 < described["lost_tokens"]
    tokens = sum(described[f"{kind}_tokens"] for kind in ("prompt", "completion", "lost"))
    assert 0 < described["estimated_tokens"] < tokens


def ledger_says_who_counted(run: Run, rows: dict[str, dict[str, Any]]) -> None:
    """Each answer that was used is kept, and says whether its tokens are its server's count."""
    kept = {row["fingerprint"]: row for row in read_rows(run.output / "answers")}
    for row in rows.values():
        name = behaviour_of(row)
        if OUTCOMES[name] != USED:
            continue
        answer = kept[row["color__provenance"]["fingerprint"]]
        silent = name in USAGES and not name.startswith(("usage-all-p", "usage-pictures"))
        assert answer["counted"] == ("estimated" if silent or name == "ok-plain" else "reported")
    assert set(HONEST_USAGES) <= {behaviour_of(row) for row in rows.values()}


def both_ways(
    shop: Shop, path: Path, inflight: int
) -> tuple[Run, dict[str, dict[str, Any]], Watched, dict[str, int]]:
    """The run against a hostile server, the rows of one against an honest server, and what was seen of the first and
    of its server.
    """
    with served(honest=True) as url:
        honest = shop.run(path, options=options(url, inflight), output="honest")
    with served(honest=False) as url:
        arguments = [*shop.arguments([path]), *options(url, inflight), "--no-report"]
        folder = shop.folder / "hostile"
        seen = watch([*arguments, "--output", str(folder)], url)
        hostile = Run(seen.code, folder, seen.output, "")
        requests = seen_by(url)
    assert (honest.code, hostile.code) == (0, 0), honest.out + hostile.out
    return hostile, items_of(honest), seen, requests


def all_used(rows: dict[str, dict[str, Any]], right: dict[str, dict[str, Any]]) -> None:
    """Items that were answered have the values that an honest server gives."""
    for item_id, row in rows.items():
        if OUTCOMES[behaviour_of(row)] == USED:
            assert row == right[item_id], behaviour_of(row)


@pytest.mark.timeout(900 if LONG else 240)
def test_every_honest_answer_is_used_and_everything_else_is_named(shop: Shop) -> None:
    """Among all the ways in which a server can misbehave, items that were answered have the values of
    a run against an honest server, every other one its reason, and the run ends with no more
    memory than it began to ask with.
    """
    shop.template += "gate: {max_describe_failure_rate: 1}\n"
    path = shop.file("in.jsonl", catalog(ITEMS, EACH))
    hostile, right, seen, requests = both_ways(shop, path, INFLIGHT)
    rows = items_of(hostile)
    asked = Counter(behaviour_of(row) for row in rows.values())
    if LONG:
        report(seen, requests, asked, rows)
    accounted(hostile, rows, ITEMS)
    ledger_says_who_counted(hostile, rows)
    all_used(rows, right)
    # A question and its lean form, each sent twice at most.
    assert {name: n for name, n in requests.items() if n > 4 * asked[name]} == {}
    assert seen.peak(0.5, 1) <= seen.peak(0, 0.5) + MORE_MB


@pytest.mark.skipif(not LONG, reason="make test-servers")
@pytest.mark.timeout(900)
def test_a_tenth_that_misbehaves_costs_itself(shop: Shop) -> None:
    """With 128 requests under way and every tenth item met by a behaviour drawn at random, each honest answer is used,
    a call in seven more is made at most, and the account is closed.
    """
    shop.template += "gate: {max_describe_failure_rate: 1}\n"
    path = shop.file("in.jsonl", mixed(LONG, MIXED_SHARE))
    hostile, right, seen, requests = both_ways(shop, path, MIXED_INFLIGHT)
    rows = items_of(hostile)
    calls = sum(requests.values())
    report(seen, requests, Counter(behaviour_of(row) for row in rows.values()), rows)
    print(f"{calls / len(rows):.3f} calls an item")
    accounted(hostile, rows, LONG)
    all_used(rows, right)
    assert calls <= MOST_CALLS_AN_ITEM * len(rows)


def report(
    seen: Watched, requests: dict[str, int], asked: Counter[str], rows: dict[str, dict[str, Any]]
) -> None:
    """Print what each behaviour cost and came to, and memory over time."""
    kept = Counter(behaviour_of(row) for row in rows.values() if row["color"] is not None)
    for name in sorted(asked):
        each = f"{requests[name] / asked[name]:.2f} requests an item"
        print(f"{name:28} {asked[name]:5} items {kept[name]:5} values  {each}  {OUTCOMES[name]}")
    for at in range(0, len(seen.samples), max(1, len(seen.samples) // 20)):
        secs, mb, count = seen.samples[at]
        print(f"{secs:7.1f} s {mb:7.0f} MB {count:6} requests")
    peaks = [round(seen.peak(begin / 4, (begin + 1) / 4)) for begin in range(4)]
    print(f"{seen.secs:.0f} s, {sum(requests.values())} requests, peak MB by quarters {peaks}")
    print(f"{sum(kept.values())} values of {len(rows)} items")

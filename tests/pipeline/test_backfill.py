"""backfill and replay: what was chosen is rebuilt, nothing else is touched, and what it costs is
told first.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.snapshots.locks import output_lock
from schemas.tables.specs import TABLES
from tests.chat_server import ChatServer
from tests.support import Run, SharedRun, Shop, reasons

ON = ("--no-probes", "--refresh-share", "1")
COUNT = 6


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as made:
        yield made


def records(shop: Shop, count: int = COUNT, **more: Any) -> list[dict[str, Any]]:
    """Records that state no colour, each with a picture of its own."""
    return [
        {
            "sku": f"s{n}",
            "name": f"Thing {n}",
            "photos": [shop.picture(f"{n}.png", f"rgb({n * 9}, 9, 9)")],
            **more,
        }
        for n in range(count)
    ]


def call(shop: Shop, *arguments: str, output: str = "out") -> Run:
    """`catalog-enrich` with these arguments and the shop's output behind the command's name."""
    out, err = io.StringIO(), io.StringIO()
    command, *rest = arguments
    folder = shop.folder / output
    with redirect_stdout(out), redirect_stderr(err):
        code = main([command, str(folder), *rest])
    return Run(code, folder, out.getvalue(), err.getvalue())


def openai(url: str, model: str = "tiny") -> tuple[str, ...]:
    return ("--describe-backend", "openai", "--endpoint", url, "--describe-model", model)


def by_id(run: Run, table: str = "items") -> dict[str, dict[str, Any]]:
    return {row["item_id"]: row for row in run.rows(table)}


def touched(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> set[str]:
    """Ids whose rows are not the same, times and all."""
    return {
        item_id
        for item_id in before.keys() | after.keys()
        if before.get(item_id) != after.get(item_id)
    }


def everything(run: Run) -> dict[str, str]:
    """Relative path → digest of all below the output, answers and pointer too."""
    files = [path for path in sorted(run.output.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(run.output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def closes(run: Run) -> bool:
    """Whether the account adds up and agrees with the tables."""
    counts = run.manifest["counts"]
    in_quarantine = sum(row["input"] == "catalog" for row in run.rows("quarantine"))
    return bool(
        counts["unaccounted"] == counts["unaccounted_image_rows"] == 0
        and counts["records_in"]
        == counts["items"] + counts["rows_merged"] + counts["records_quarantined"]
        and (counts["items"], counts["records_quarantined"])
        == (len(run.rows("items")), in_quarantine)
    )


def asked_for(bodies: list[dict[str, Any]]) -> set[str]:
    """Of what requests asked, the names before the first dot."""
    schemas = [body["response_format"]["json_schema"]["schema"] for body in bodies]
    return {key.split(".")[0] for schema in schemas for key in schema["properties"]}


# Which items


CHOICES: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "a condition": (("--where", "item_id IN ('s1', 's4') AND color IS NULL"), {"s1", "s4"}),
    "provenance": (("--where", "weight__provenance.reason IS NULL"), {"s5"}),
    "ids": (("--ids", "IDS"), {"s0", "s2"}),
    "a reason of a value": (("--reason", "value-not-in-list"), {"s3"}),
    "a flag of a picture": (("--reason", "image-missing", "embed-failed"), {"s2"}),
    "all conditions": (
        ("--ids", "IDS", "--where", "item_id > 's1'", "--reason", "image-missing"),
        {"s2"},
    ),
    "nothing": (("--where", "title = 'no such'"), set()),
}


@pytest.fixture(scope="module")
def varied_once(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    shop = Shop(tmp_path_factory.mktemp("varied"))
    made = records(shop)
    (shop.images / "2.png").unlink()
    made[3]["color"], made[5]["weight"] = "Purple", "3 kg"
    (shop.folder / "ids.txt").write_text("s0\n\n s2 \nghost\n")
    run = shop.run(shop.file("in.jsonl", [*made, {"name": "nobody"}]), options=ON)
    return SharedRun.of(shop, run)


@pytest.fixture
def varied(varied_once: SharedRun) -> tuple[Shop, Run]:
    """A published catalog in which items differ in what is missing."""
    return varied_once.restored()


@pytest.mark.parametrize("choice", CHOICES)
def test_conditions_choose_items_and_nothing_else_is_touched(
    varied: tuple[Shop, Run], choice: str
) -> None:
    """What is chosen is rebuilt; all other rows of all tables stay as they are, byte for byte."""
    shop, first = varied
    arguments, chosen = CHOICES[choice]
    arguments = tuple(str(shop.folder / "ids.txt") if each == "IDS" else each for each in arguments)
    before = {table: first.rows(table) for table in TABLES}
    items, held = by_id(first), everything(first)
    run = call(shop, "backfill", *arguments)
    assert run.code == 0, run.err
    assert f"items rebuilt: {len(chosen)} of {COUNT}" in run.out
    assert touched(items, by_id(run)) == chosen, "rebuilt rows have the run's time"
    for table in TABLES:
        others = [row for row in before[table] if row["item_id"] not in chosen]
        assert [row for row in run.rows(table) if row["item_id"] not in chosen] == others
    assert closes(run)
    assert held.items() - {("current.json", held["current.json"])} <= everything(run).items()
    if chosen:
        assert run.manifest["command"] == "backfill"
        assert run.manifest["records"]["made_again"] == len(chosen)
        assert run.manifest["records"]["unchanged"] == COUNT - len(chosen)


def test_a_dry_run_tells_and_changes_nothing(varied: tuple[Shop, Run]) -> None:
    """--dry-run says how many items, calls, tokens and what they cost by the last run's mean; no
    file changes.
    """
    shop, first = varied
    held = everything(first)
    run = call(
        shop,
        "backfill",
        "--where",
        "item_id < 's3'",
        "--dry-run",
        "--prices",
        "prompt=1000000",
        "completion=0",
    )
    assert run.code == 0, run.err
    assert "items rebuilt: 3 of 6" in run.out
    assert "model calls: 3 at most" in run.out
    described = first.manifest["counts"]["described"]
    tokens = described["prompt_tokens"] / described["calls"] * 3
    assert f"{tokens:,.0f} of prompts" in run.out
    assert f"cost by --prices: {tokens:,.2f}" in run.out
    assert everything(run) == held


def test_records_that_changed_are_left_to_the_next_run(shop: Shop) -> None:
    """A chosen record that the catalog no longer holds as it was is left alone and counted; the
    next run takes it up.
    """
    made = records(shop)
    first = shop.run(shop.file("in.jsonl", made), options=ON)
    before = by_id(first)
    made[1]["name"] = "Another thing"
    shop.file("in.jsonl", [*made, {"sku": "s9", "name": "New"}])
    run = call(shop, "backfill", "--where", "item_id < 's3'")
    assert run.code == 0, run.out + run.err
    assert "1 records were not rebuilt" in run.err
    assert touched(before, by_id(run)) == {"s0", "s2"}
    assert closes(run)
    after = shop.run(shop.folder / "in.jsonl", options=ON)
    assert by_id(after)["s1"]["title"] == "Another thing"
    assert len(after.rows("items")) == COUNT + 1


# What find_delta makes of the other ways to change a part is in tests/unit/pipelines/run/test_scan.py.
@pytest.mark.parametrize("change", ["winner changed", "image row new"])
def test_an_item_of_which_a_part_changed_is_left_to_the_next_run(shop: Shop, change: str) -> None:
    """Where only some of an item's records are as they were, all of it is left as it is, and
    nothing is lost.
    """
    made = records(shop, 4)
    twin = {"sku": "s1", "name": "Twin"}
    table = shop.file("rows.csv", "sku,photo\ns1,0.png\n")
    options = (*ON, "--image-table", str(table))
    first = shop.run(shop.file("in.jsonl", [*made, twin]), options=options)
    before = by_id(first)
    if change == "winner changed":
        made[1]["name"] = "Another thing"
    else:
        shop.file("rows.csv", "sku,photo\ns1,0.png\ns1,3.png\n")
    shop.file("in.jsonl", [*made, twin])
    run = call(shop, "backfill", "--where", "item_id IN ('s1', 's2')")
    assert run.code == 0, run.out + run.err
    assert closes(run)
    assert touched(before, by_id(run)) - {"s1"} == {"s2"}
    assert by_id(run)["s1"]["title"] == before["s1"]["title"]
    after = shop.run(shop.folder / "in.jsonl", options=options)
    anew = shop.run(shop.folder / "in.jsonl", options=options, output="anew")
    assert {i: row["title"] for i, row in by_id(after).items()} == {
        i: row["title"] for i, row in by_id(anew).items()
    }
    assert reasons(after) == reasons(anew)


# What is refused


REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing chosen": ((), "--where, --ids or --reason"),
    "half a condition": (("--where", "color IS"), "color IS"),
    "no such column": (("--where", "colour IS NULL"), "colour"),
    "several statements": (("--where", "true); CREATE TABLE t (i INT); SELECT (1"), "--where"),
    "a statement that gives nothing": (("--where", "true); CREATE TABLE t (i INT); --"), "--where"),
    "a file": (
        ("--where", "item_id IN (SELECT column0 FROM read_csv('/etc/passwd', sep=':'))"),
        "disabled",
    ),
    "a file by name": (
        ("--where", "item_id IN (SELECT column0 FROM '/etc/passwd.csv')"),
        "--where",
    ),
    "a text file": (
        ("--where", "(SELECT content FROM read_text('/etc/passwd')) <> ''"),
        "disabled",
    ),
    "the network": (
        ("--where", "item_id IN (SELECT a FROM read_csv('http://127.0.0.1:1/x.csv'))"),
        "disabled",
    ),
    "writing": (("--where", "true); COPY items TO '{folder}/leak.csv'; SELECT ('x'"), "--where"),
    "unlocking": (("--where", "true); SET enable_external_access = true; SELECT ('x'"), "--where"),
    "attaching": (("--where", "true); ATTACH '{folder}/leak.db'; SELECT ('x'"), "--where"),
    "a variable of this program": (
        ("--where", "item_id IN (SELECT item_id FROM table)"),
        "--where",
    ),
    "an attribute": (("--ids", "IDS", "--attributes", "colour"), "colour"),
    "a reason": (("--reason", "no-such-reason"), "no-such-reason"),
    "ids that are not there": (("--ids", "{folder}/none.txt"), "none.txt"),
    "an option": (("--wher", "true"), "did you mean --where"),
}


def test_what_makes_no_sense_is_refused_before_any_work(varied: tuple[Shop, Run]) -> None:
    """Wrong conditions, names and files end with exit code 2 and a message that names them; nothing
    is read or written.
    """
    shop, first = varied
    held = everything(first)
    for fault, (arguments, named) in REFUSED.items():
        filled = [
            str(shop.folder / "ids.txt") if a == "IDS" else a.format(folder=shop.folder)
            for a in arguments
        ]
        run = call(shop, "backfill", *filled)
        assert (fault, run.code) == (fault, 2), run.err
        assert named in run.err, (fault, run.err)
        assert "Traceback" not in run.err, fault
        assert "root:" not in run.err, fault
    assert everything(first) == held
    assert not list(shop.folder.glob("leak*"))


def test_without_a_snapshot_there_is_nothing_to_fill(shop: Shop) -> None:
    """An output without a published snapshot ends both commands with exit code 2 and says how to
    begin.
    """
    for command in (("backfill", "--where", "true"), ("replay", "--reason", "missing-id")):
        run = call(shop, *command)
        assert run.code == 2
        assert "catalog-enrich run" in run.err


def test_other_columns_are_refused(varied: tuple[Shop, Run]) -> None:
    """A template with another attribute needs a whole run; the message names the columns and says
    so.
    """
    shop, _ = varied
    path = shop.folder / "template.yaml"
    path.write_text(
        shop.template + "  - {name: size, type: string, from: size, description: Its size.}\n"
    )
    for command in (("backfill", "--where", "true"), ("replay", "--reason", "missing-id")):
        run = call(shop, *command)
        assert run.code == 2
        assert "size" in run.err
        assert "catalog-enrich run" in run.err


def test_a_lost_pointer_is_no_first_run(varied: tuple[Shop, Run]) -> None:
    """Where snapshots lie and nothing says which readers see, that is what is said, with what mends
    it; nobody is sent to a first run.
    """
    shop, run = varied
    (run.output / "current.json").unlink()
    for command in (("backfill", "--where", "true"), ("replay", "--reason", "missing-id")):
        refused = call(shop, *command)
        assert refused.code == 3
        assert f"{run.output}/current.json is missing; `catalog-enrich rollback" in refused.err


def test_a_damaged_snapshot_is_no_place_to_fill(varied: tuple[Shop, Run]) -> None:
    """Where files of the snapshot are damaged, both commands say so and change nothing; a run mends
    it first.
    """
    shop, first = varied
    for table in ("items", "quarantine"):
        file = max((first.snapshot / table).glob("*.parquet"), key=lambda path: path.stat().st_size)
        data, whole = bytearray(file.read_bytes()), file.read_bytes()
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        held = everything(first)
        for command in (
            ("backfill", "--where", "item_id = 's1'"),
            ("replay", "--reason", "missing-id"),
        ):
            run = call(shop, *command)
            assert run.code in (2, 3), (table, command, run.out)
            assert f"{table}/{file.name}" in run.err
            assert "Traceback" not in run.err
            assert everything(first) == held
        file.write_bytes(whole)


# What is rebuilt


def test_named_attributes_are_the_only_ones_asked_for(shop: Shop, server: ChatServer) -> None:
    """--attributes asks a language model for these again, of the chosen items; what else it said
    stays.
    """
    first = shop.run(shop.file("in.jsonl", records(shop)), options=(*ON, *openai(server.url)))
    before, asked = by_id(first), len(server.requests)
    run = call(shop, "backfill", "--where", "item_id IN ('s1', 's2')", "--attributes", "color")
    assert run.code == 0, run.err
    assert asked_for(server.requests[asked:]) == {"color"}
    assert len(server.requests) - asked == 2
    after = by_id(run)
    assert touched(before, after) == {"s1", "s2"}
    for item_id in ("s1", "s2"):
        for name in ("weight", "image_description"):
            assert after[item_id][f"{name}__provenance"] == before[item_id][f"{name}__provenance"]
        fingerprints = {row[item_id]["color__provenance"]["fingerprint"] for row in (before, after)}
        assert len(fingerprints) == 2, "of another question"


def test_without_the_stage_no_model_is_asked(shop: Shop, server: ChatServer) -> None:
    """--stages embed asks no model and keeps what it said; the next command asks the model as
    before.
    """
    first = shop.run(shop.file("in.jsonl", records(shop)), options=(*ON, *openai(server.url)))
    before, asked = by_id(first), server.calls
    run = call(shop, "backfill", "--where", "item_id < 's3'", "--stages", "embed")
    assert run.code == 0, run.err
    assert server.calls == asked
    after = by_id(run)
    assert touched(before, after) == {"s0", "s1", "s2"}
    for item_id, row in after.items():
        assert {**row, "created_ts": 0} == {**before[item_id], "created_ts": 0}
    again = call(
        shop, "backfill", "--where", "item_id = 's1'", "--attributes", "color", "--ask-again"
    )
    assert again.code == 0, again.err
    assert server.calls == asked + 1
    assert len(touched(after, by_id(again))) == 1


def test_without_the_stage_vectors_are_kept(shop: Shop, server: ChatServer) -> None:
    """--stages describe leaves all text vectors as they are, also of items whose text is another
    now.
    """
    first = shop.run(shop.file("in.jsonl", records(shop)), options=(*ON, *openai(server.url)))
    vectors, texts = (
        by_id(first, "embeddings/text"),
        {i: row["text_enriched"] for i, row in by_id(first).items()},
    )
    options = ("--attributes", "image_description", "color", *openai(server.url, "newer"))
    kept = call(shop, "backfill", "--ids", ids(shop, "s1", "s2"), "--stages", "describe", *options)
    assert kept.code == 0, kept.err
    assert by_id(kept, "embeddings/text") == vectors
    assert {row["image_description__provenance"]["model"] for row in by_id(kept).values()} == {
        "tiny",
        "newer",
    }
    made = call(shop, "backfill", "--ids", ids(shop, "s1", "s2"), "--stages", "embed")
    assert made.code == 0, made.err
    moved = {i for i, row in by_id(made).items() if row["text_enriched"] != texts[i]}
    assert touched(vectors, by_id(made, "embeddings/text")) == moved


def ids(shop: Shop, *item_ids: str) -> str:
    path = shop.folder / "chosen.txt"
    path.write_text("\n".join(item_ids))
    return str(path)


def test_kept_vectors_go_with_their_items(shop: Shop) -> None:
    """--stages describe leaves no vector behind of an item that is set aside meanwhile."""
    made = records(shop)
    made[1]["weight"] = "heavy"
    first = shop.run(shop.file("in.jsonl", made), options=ON)
    assert len(first.rows("embeddings/text")) == COUNT
    strict = shop.template.replace("from: weight,", "from: weight, on_invalid: quarantine,")
    (shop.folder / "template.yaml").write_text(strict + "gate: {max_quarantine_rate: 1}\n")
    run = call(shop, "backfill", "--where", "item_id = 's1'", "--stages", "describe")
    assert run.code == 0, run.out + run.err
    assert by_id(run, "embeddings/text").keys() == by_id(run).keys()
    assert closes(run)


def test_the_same_question_is_paid_again_on_demand(shop: Shop, server: ChatServer) -> None:
    """Without --ask-again a kept answer is used; with it the chosen items' answers are forgotten
    and paid for again.
    """
    first = shop.run(shop.file("in.jsonl", records(shop)), options=(*ON, *openai(server.url)))
    asked = server.calls
    names = ("--attributes", "color", "weight", "image_description")
    kept = call(shop, "backfill", "--where", "item_id < 's2'", *names)
    assert (kept.code, server.calls) == (0, asked), kept.err
    with output_lock(str(first.output), "another", "run"):
        refused = call(shop, "backfill", "--where", "item_id < 's2'", *names, "--ask-again")
    assert (refused.code, server.calls) == (1, asked)
    paid = call(shop, "backfill", "--where", "item_id < 's2'", *names)
    assert (paid.code, server.calls) == (0, asked), "a command that is refused forgets nothing"
    again = call(shop, "backfill", "--where", "item_id < 's2'", *names, "--ask-again")
    assert (again.code, server.calls) == (0, asked + 2), again.err
    assert "cached answers discarded: 2" in again.err
    assert {i: row["color"] for i, row in by_id(again).items()} == {
        i: row["color"] for i, row in by_id(first).items()
    }


def test_conditions_are_not_remembered(shop: Shop, server: ChatServer) -> None:
    """A command takes over how models are called, and nothing of what an earlier backfill was given
    to choose or do.
    """
    first = shop.run(shop.file("in.jsonl", records(shop)), options=(*ON, *openai(server.url)))
    one = call(
        shop, "backfill", "--where", "item_id = 's1'", "--attributes", "color", "--ask-again"
    )
    assert one.code == 0, one.err
    before, asked = by_id(one), server.calls
    other = call(shop, "backfill", "--ids", ids(shop, "s2", "s3"))
    assert other.code == 0, other.err
    assert touched(before, by_id(other)) == {"s2", "s3"}
    assert server.calls == asked
    assert "discarded" not in other.err
    nothing = call(shop, "backfill")
    assert nothing.code == 2, nothing.out
    assert first.code == 0


def test_a_budget_is_gone_on_with(shop: Shop, server: ChatServer) -> None:
    """A backfill for reason budget asks what a budget left open, as far as its own goes; the rest
    is said as before.
    """
    path = shop.file("in.jsonl", records(shop))
    shop.run(path, options=(*ON, *openai(server.url), "--max-model-calls", "2"))
    run = call(shop, "backfill", "--reason", "budget", "--max-model-calls", "3")
    assert run.code == 0, run.err
    assert "items rebuilt: 4 of 6" in run.out
    assert server.calls == 5
    left = [
        row for row in run.rows("items") if "budget" in {flag["reason"] for flag in row["flags"]}
    ]
    assert len(left) == 1
    assert call(shop, "backfill", "--reason", "budget").code == 0
    assert server.calls == 6


# Replay


STRICT = "  - {name: code, type: string, from: code, required: true, max_length: 4, description: The shop's code.}\n"


def strict_shop(shop: Shop) -> Run:
    """A published catalog of which three records are in quarantine: two for want of a code, one
    without an id.
    """
    shop.template += STRICT + "gate: {max_quarantine_rate: 1}\n"
    made = records(shop, code="c1")
    del made[1]["code"]
    made[2] |= {"code": None, "art": "c2"}
    table = shop.file("rows.csv", "sku,photo\ns2,0.png\ns3,0.png\n")
    options = (*ON, "--image-table", str(table))
    return shop.run(
        shop.file("in.jsonl", [*made, {"name": "nobody", "code": "c3"}]), options=options
    )


def test_a_replay_lets_through_what_passes_now(shop: Shop) -> None:
    """After a mended template, records that pass leave the quarantine; others stay with their
    reason; nothing is lost.
    """
    first = strict_shop(shop)
    assert reasons(first) == {"missing-id": 1, "required-missing": 2}
    before, aside = by_id(first), {row["raw_digest"]: row for row in first.rows("quarantine")}
    (shop.folder / "template.yaml").write_text(
        shop.template.replace("from: code,", "from: [code, art],")
    )
    (shop.folder / "in.jsonl").unlink()
    shop.file("in.jsonl", [{"sku": "other", "name": "not looked at"}])
    run = call(shop, "replay", "--reason", "required-missing")
    assert run.code == 0, run.out + run.err
    assert "records read again: 2" in run.out
    assert reasons(run) == {"missing-id": 1, "required-missing": 1}
    assert touched(before, by_id(run)) == {"s2"}
    assert by_id(run)["s2"]["code"] == "c2"
    (nobody,) = [row for row in run.rows("quarantine") if row["reason"] == "missing-id"]
    assert nobody == aside[nobody["raw_digest"]]
    assert closes(run)
    assert run.manifest["command"] == "replay"
    assert run.manifest["counts"]["image_rows_in"] == 2


def test_a_replay_that_mends_nothing_leaves_all_as_it_was(shop: Shop) -> None:
    """Records that still do not pass stay in quarantine with their reason and their bytes."""
    first = strict_shop(shop)
    wanted = ("item_id", "reason", "raw", "message", "source_file", "source_position")
    before = [tuple(row[name] for name in wanted) for row in first.rows("quarantine")]
    run = call(shop, "replay", "--reason", "required-missing", "missing-id")
    assert run.code == 0, run.out + run.err
    assert [tuple(row[name] for name in wanted) for row in run.rows("quarantine")] == before
    assert touched(by_id(first), by_id(run)) == set()
    assert closes(run)


@pytest.mark.parametrize(
    "reason", ["duplicate-id", "image-table-row-invalid", "image-table-orphan"]
)
def test_a_replay_of_what_hangs_together_with_an_item_loses_nothing(
    shop: Shop, reason: str
) -> None:
    """Duplicates and rows of image tables stay in quarantine, and the items that they belong to
    stay items.
    """
    made = records(shop, 4)
    shop.template = shop.template.replace("id: sku\n", "id: sku\n  duplicates: keep-fullest\n", 1)
    table = shop.file("rows.csv", "sku,photo\ns1,0.png\ns1,\nghost,0.png\n")
    options = (*ON, "--image-table", str(table))
    first = shop.run(shop.file("in.jsonl", [*made, {"sku": "s1", "name": "Twin"}]), options=options)
    assert first.code == 0, first.err
    assert reasons(first) == {
        "duplicate-id": 1,
        "image-table-orphan": 1,
        "image-table-row-invalid": 1,
    }
    titles = {i: row["title"] for i, row in by_id(first).items()}
    run = call(shop, "replay", "--reason", reason)
    assert run.code == 0, run.out + run.err
    assert reasons(run) == reasons(first)
    assert {i: row["title"] for i, row in by_id(run).items()} == titles
    assert by_id(run)["s1"]["image_count"] == 2
    assert closes(run)


def test_a_replayed_record_does_not_take_the_place_of_an_item(shop: Shop) -> None:
    """A record whose id a mended template finds, and which is an item's already, waits for a whole
    run to choose.
    """
    lost = {"name": "Lost", "ean": "s1"}
    first = shop.run(
        shop.file("in.jsonl", [*records(shop, 4), lost, {"name": "Found", "ean": "s8"}]), options=ON
    )
    assert reasons(first) == {"missing-id": 2}
    (shop.folder / "template.yaml").write_text(
        shop.template.replace("  id: sku\n", "  id: [sku, ean]\n")
    )
    run = call(shop, "replay", "--reason", "missing-id")
    assert run.code == 0, run.out + run.err
    assert "1 records were not rebuilt" in run.err
    assert {i: row["title"] for i, row in by_id(run).items()} == {
        **{f"s{n}": f"Thing {n}" for n in range(4)},
        "s8": "Found",
    }
    assert reasons(run) == {"missing-id": 1}
    assert closes(run)


def test_a_replay_tells_first(shop: Shop) -> None:
    """--dry-run counts the records by reason and changes nothing; unknown reasons are refused."""
    first = strict_shop(shop)
    held = everything(first)
    run = call(shop, "replay", "--reason", "required-missing", "malformed-json", "--dry-run")
    assert run.code == 0, run.err
    assert "records read again: 2" in run.out
    assert "malformed-json: 0" in run.out
    refused = call(shop, "replay", "--reason", "no-such-reason")
    assert refused.code == 2
    assert "no-such-reason" in refused.err
    assert call(shop, "replay").code == 2
    assert everything(first) == held


def test_the_next_run_goes_on_from_a_replay(shop: Shop) -> None:
    """After a replay the scheduled run finds nothing new in the same catalog, and the same tables
    as a run from nothing.
    """
    strict_shop(shop)
    mended = shop.template.replace("from: code,", "from: [code, art],")
    (shop.folder / "template.yaml").write_text(mended)
    assert call(shop, "replay", "--reason", "required-missing").code == 0
    shop.template = mended
    options = (*ON, "--image-table", str(shop.folder / "rows.csv"))
    after = shop.run(shop.folder / "in.jsonl", options=options)
    anew = shop.run(shop.folder / "in.jsonl", options=options, output="anew")
    assert after.manifest["made_anew_because"] == ["template changed"], (
        "most rows were made by another template"
    )
    for row in (by_id(after), by_id(anew)):
        assert row["s2"]["image_count"] == 2
    assert {i: r["images"] for i, r in by_id(after).items()} == {
        i: r["images"] for i, r in by_id(anew).items()
    }
    assert (
        json.loads(Path(after.output / "current.json").read_text())["run_id"]
        == after.manifest["run_id"]
    )

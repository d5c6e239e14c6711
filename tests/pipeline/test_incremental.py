"""Runs that go on from the published snapshot: the same tables for less work, nothing paid twice,
damage seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.snapshots.snapshot import UnusableSnapshotError, read_published
from schemas.tables.specs import TABLES
from tests.chat_server import ChatServer
from tests.support import PLACE_COLUMNS, RUN_COLUMNS, Run, SharedRun, Shop, read_rows

# Everything stays incremental, however much changed, and nothing is learnt of rows that the next run has other ones of.
ON = ("--refresh-share", "1", "--no-probes")
COLORS = ("red", "blue", "green", "black")


def tables(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Every table in the order of its files, without times, run ids and places in the input."""
    return {table: run.rows(table, RUN_COLUMNS | PLACE_COLUMNS) for table in TABLES}


def by_id(run: Run, table: str = "items") -> dict[str, dict[str, Any]]:
    return {row["item_id"]: row for row in run.rows(table)}


def moved(run: Run) -> dict[str, int]:
    """How many items are new, changed, made again, unchanged, deleted."""
    counts: dict[str, int] = run.manifest["records"]
    return counts


def calls(run: Run) -> int:
    called: int = run.manifest["counts"]["described"]["calls"]
    return called


def snapshots(run: Run) -> list[str]:
    return sorted(path.name for path in (run.output / "snapshots").iterdir())


def digests(folder: Path) -> dict[str, str]:
    """Relative path → SHA-256 of every file below a folder."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Relative path → inode and time of modification of every data file below a folder."""
    return {
        str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns)
        for p in folder.rglob("*.parquet")
    }


def records(shop: Shop, count: int = 8, **more: Any) -> list[dict[str, Any]]:
    """Records that state no colour, each with a picture of its own."""
    return [
        {
            "sku": f"s{n:02}",
            "name": f"Thing {n}",
            "photos": [shop.picture(f"{n:02}.png", f"rgb({n * 9}, 9, 9)")],
            "changed": f"2026-01-{n + 1:02}T00:00:00Z",
            **more,
        }
        for n in range(count)
    ]


class Catalog:
    """A catalog that changes at random: lines in several files, pictures, a table of further
    pictures.
    """

    def __init__(self, shop: Shop, seed: int) -> None:
        self._shop, self._random, self._made = shop, random.Random(seed), 0
        self.lines: list[str] = []
        self.rows: list[str] = []
        for name in ("a.png", "b.png", "c.png", "d.png", "e.png"):
            shop.picture(name, self._random.choice(COLORS))
        for _ in range(14):
            self.add()
        for edit in (
            self.add_image_row,
            self.duplicate,
            self.duplicate_id,
            self.malform,
            self.remove_picture,
        ):
            edit()

    def step(self, edits: int) -> list[str]:
        """Some edits, by name."""
        names = [self._random.choice(EDITS) for _ in range(edits)]
        for name in names:
            getattr(self, name)()
        return names

    def write(self) -> tuple[list[Path], tuple[str, ...]]:
        """The catalog's files and the options that name its table, cut into files again."""
        parts = self._random.randint(1, 3)
        for old in self._shop.folder.glob("part*"):
            old.unlink()
        names = [f"part{n}.jsonl{self._random.choice(['', '.gz'])}" for n in range(parts)]
        files = [
            self._shop.file(name, "".join(self.lines[n::parts])) for n, name in enumerate(names)
        ]
        table = self._shop.file("rows.csv", "sku,photo\n" + "".join(self.rows))
        return files, ("--image-table", str(table))

    def add(self) -> None:
        self._made += 1
        self._insert(self._record(f"s{self._made:02}"))

    def change(self) -> None:
        at = self._random.randrange(len(self.lines))
        self.lines[at] = self._line(self._record(self._id_of(at)))

    def delete(self) -> None:
        if len(self.lines) > 6:
            self.lines.pop(self._random.randrange(len(self.lines)))

    def reorder(self) -> None:
        self._random.shuffle(self.lines)

    def duplicate(self) -> None:
        self.lines.append(self._random.choice(self.lines))

    def duplicate_id(self) -> None:
        self._insert(self._record(self._id_of(self._random.randrange(len(self.lines)))))

    def malform(self) -> None:
        self.lines.append(
            self._random.choice(
                ['{"sku": "s01", \n', "[1, 2]\n", '{"name": "nobody"}\n', '{"sku": []}\n']
            )
        )

    def add_image_row(self) -> None:
        item = self._random.choice([f"s{self._random.randint(1, self._made + 1):02}", "ghost", ""])
        self.rows.append(f"{item},{self._picture()}\n")

    def repeat_image_row(self) -> None:
        self.rows += self.rows[:1]

    def remove_image_row(self) -> None:
        if self.rows:
            self.rows.pop(self._random.randrange(len(self.rows)))

    def replace_picture(self) -> None:
        name, color = self._random.choice("abcde"), self._random.choice(COLORS)
        self._shop.picture(f"{name}.png", color, (self._random.randint(8, 64), 32))

    def break_picture(self) -> None:
        (self._shop.images / f"{self._random.choice('abcde')}.png").write_bytes(
            b"\x89PNG\r\n\x1a\nnope"
        )

    def remove_picture(self) -> None:
        (self._shop.images / f"{self._random.choice('abcde')}.png").unlink(missing_ok=True)

    def _picture(self) -> str:
        return f"{self._random.choice('abcde')}.png"

    def _id_of(self, at: int) -> str:
        try:
            return str(json.loads(self.lines[at])["sku"])
        except (ValueError, KeyError, TypeError):
            return f"s{self._random.randint(1, self._made):02}"

    def _record(self, sku: str) -> dict[str, Any]:
        pick = self._random.choice
        return {
            "sku": sku,
            # Titles of one kind: that items share pictures or texts is of no interest then, which only whole runs look for.
            "name": f"Enamel camping mug {self._random.randint(0, 99)} {pick(['red', 'navy', 'plain'])}",
            "text": pick([None, f"Number {sku}. Weighs 3 kg &amp; more."]),
            "color": pick([None, None, "Green", "Purple"]),
            "weight": pick([None, "200 g", -1]),
            "photos": [self._picture() for _ in range(pick([0, 1, 1, 2]))],
            # Of rows with one id the newest counts, whatever their places.
            "changed": f"2026-01-01T00:00:{self._random.random():09.6f}Z",
        }

    def _insert(self, record: dict[str, Any]) -> None:
        self.lines.insert(self._random.randint(0, len(self.lines)), self._line(record))

    @staticmethod
    def _line(record: dict[str, Any]) -> str:
        return json.dumps(record) + "\n"


EDITS = (
    "add",
    "change",
    "delete",
    "reorder",
    "duplicate",
    "duplicate_id",
    "malform",
    "add_image_row",
    "repeat_image_row",
    "remove_image_row",
    "replace_picture",
    "break_picture",
    "remove_picture",
)


def comparable_counts(run: Run) -> dict[str, Any]:
    """The manifest's account, without what was asked of a model in this very run."""
    return {name: value for name, value in run.manifest["counts"].items() if name != "described"}


def check_rows(run: Run) -> list[tuple[Any, ...]]:
    """What the gate's checks counted."""
    wanted = ("column", "check", "passed", "values", "unexpected")
    return [tuple(check[name] for name in wanted) for check in run.manifest["checks"]]


@pytest.mark.parametrize(
    "seed", [int(seed) for seed in os.environ.get("CATALOG_ENRICH_SEEDS", "1 2").split()]
)
def test_going_on_gives_what_starting_anew_gives(shop: Shop, seed: int) -> None:
    """LAW: after any edits, tables, account and checks of a run that goes on equal those of a run
    on an empty output.
    """
    catalog = Catalog(shop, seed)
    files, options = catalog.write()
    first = shop.run(*files, options=(*ON, *options))
    assert first.code == 0, first.err
    for step in range(3):
        edits = catalog.step(step + 1)
        files, options = catalog.write()
        on = shop.run(*files, options=(*ON, *options))
        anew = shop.run(*files, options=(*ON, *options), output=f"anew{step}")
        assert (on.code, anew.code) == (0, 0), (edits, on.out, on.err)
        assert tables(on) == tables(anew), edits
        assert comparable_counts(on) == comparable_counts(anew), edits
        assert check_rows(on) == check_rows(anew), edits
        counts, how = on.manifest["counts"], on.manifest["records"]
        assert counts["records_in"] == sum(
            counts[each] for each in ("items", "rows_merged", "records_quarantined")
        ), edits
        assert counts["unaccounted"] == counts["unaccounted_image_rows"] == 0
        if how is not None:  # else nothing has changed since the first run
            assert (
                how["new"] + how["changed"] + how["made_again"] + how["unchanged"]
                == counts["items"]
            ), edits


def test_nothing_changed_makes_nothing(shop: Shop) -> None:
    """The same records, also in another order and other files: no new snapshot, no call, no file
    touched, exit 0.
    """
    made = records(shop)
    made.append({**made[3], "name": "Twin", "changed": "2026-02-01T00:00:00Z"})
    first = shop.run(shop.file("in.jsonl", [*made, made[2]]), options=ON)
    assert calls(first) == 8
    pointer, before = (first.output / "current.json").read_bytes(), stamps(first.output)
    again = shop.run(shop.folder / "in.jsonl", options=ON)
    shuffled = [*made[::-2], made[2], *made[-2::-2]]
    parts = [shop.file("one.jsonl.gz", shuffled[::2]), shop.file("two.jsonl", shuffled[1::2])]
    elsewhere = shop.run(*parts, options=ON)
    for run in (again, elsewhere):
        assert run.code == 0, run.err
        assert snapshots(run) == snapshots(first)
        assert stamps(run.output) == before
        assert (run.output / "current.json").read_bytes() == pointer
        assert not (run.output / "_work").exists()
        assert run.err == ""
        assert "nothing" in run.out.lower()


def test_runs_in_quick_succession_are_told_apart(shop: Shop) -> None:
    """The rows that a second run produces carry a later time, even within the same second."""
    made = [{"sku": "s0", "name": "Thing"}, {"sku": "s1", "name": "Other"}]
    rows = shop.run(shop.file("in.jsonl", made)).rows("items")
    before = {row["item_id"]: row for row in rows}
    made[0]["name"] = "Another thing"
    rows = shop.run(shop.file("in.jsonl", made)).rows("items")
    after = {row["item_id"]: row for row in rows}
    assert after["s0"]["created_ts"] > before["s0"]["created_ts"]
    assert after["s1"]["created_ts"] == before["s1"]["created_ts"]
    assert any(row["created_ts"].microsecond for row in after.values()), "no whole seconds"


def test_untouched_files_are_shared(shop: Shop) -> None:
    """A change touches the files of its bucket only; the others are the same files on the disk."""
    made = records(shop, 12)
    first = shop.run(shop.file("in.jsonl", made), options=ON)
    before, held = stamps(first.snapshot), digests(first.snapshot)
    old = first.snapshot
    made[0]["name"] = "Another thing"
    second = shop.run(shop.file("in.jsonl", made), options=ON)
    assert moved(second) == {"new": 0, "changed": 1, "made_again": 0, "unchanged": 11, "deleted": 0}
    after = stamps(second.snapshot)
    touched = {path.rsplit("/", 1)[-1] for path in after if after[path] != before.get(path)}
    assert len(touched) == 1
    assert second.manifest["buckets_written"] == 1
    assert digests(old) == held


def test_unchanged_rows_keep_their_time(shop: Shop) -> None:
    """Rows that stay keep created_ts; rebuilt they get the run's; event_ts is the source's either
    way.
    """
    made = records(shop)
    first = shop.run(shop.file("in.jsonl", made), options=ON)
    before = by_id(first)
    made[5]["name"] = "Another thing"
    second = shop.run(shop.file("in.jsonl", made), options=ON)
    after = by_id(second)
    assert {i for i in after if after[i]["created_ts"] != before[i]["created_ts"]} == {"s05"}
    assert {i: row["event_ts"] for i, row in after.items()} == {
        i: row["event_ts"] for i, row in before.items()
    }
    assert {i: row for i, row in after.items() if i != "s05"} == {
        i: row for i, row in before.items() if i != "s05"
    }


def deleted(run: Run) -> dict[str, Any]:
    """When each item that has no record any more was found to have none."""
    return {
        item_id: row["deleted_ts"]
        for item_id, row in by_id(run).items()
        if row["deleted_ts"] is not None
    }


def test_deleted_items_stay_where_that_is_wanted(shop: Shop) -> None:
    """With --keep-deleted they keep row, vectors and first date, over whole runs too, until a
    record comes or the wish goes.
    """
    made = records(shop)
    on = (*ON, "--keep-deleted")
    first = shop.run(shop.file("in.jsonl", made), options=on)
    vectors = ("embeddings/text", "embeddings/image")
    before, had = by_id(first), [by_id(first, kind).keys() for kind in vectors]
    some = shop.run(shop.file("in.jsonl", [*made[:1], *made[3:]]), options=on)
    since = deleted(some)
    assert set(since) == {"s01", "s02"}
    counts = some.manifest["counts"]
    assert (
        counts["records_in"],
        counts["items"],
        counts["items_deleted"],
        counts["unaccounted"],
    ) == (6, 6, 2, 0)
    assert sum(sum(by_source.values()) for by_source in counts["values"].values()) % 6 == 0, (
        "coverage is of live items"
    )
    assert {**by_id(some)["s01"], "deleted_ts": None} == before["s01"]
    assert [by_id(some, kind).keys() for kind in vectors] == had
    assert {row["item_id"] for row in some.rows("records") if row["fate"] == "deleted"} == {
        "s01",
        "s02",
    }

    again = shop.run(shop.file("in.jsonl", [*made[:1], *made[3:]]), options=on)
    assert again.manifest["run_id"] == some.manifest["run_id"], "nothing has changed"
    less = shop.run(shop.file("in.jsonl", [*made[:1], *made[4:]]), options=on)
    assert {item: when for item, when in deleted(less).items() if item != "s03"} == since
    whole = shop.run(
        shop.file("in.jsonl", [*made[:1], *made[5:]]), options=(*on, "--full", "--buckets", "3")
    )
    assert set(deleted(whole)) == {"s01", "s02", "s03", "s04"}
    assert {item: deleted(whole)[item] for item in since} == since
    assert whole.manifest["records"] is None

    back = shop.run(shop.file("in.jsonl", [*made[:2], *made[5:]]), options=(*on, "--buckets", "3"))
    assert (moved(back)["new"], moved(back)["deleted"], set(deleted(back))) == (
        1,
        0,
        {"s02", "s03", "s04"},
    )
    assert len(back.rows("items")) == 8
    gone = shop.run(shop.folder / "in.jsonl", options=(*ON, "--buckets", "3"))
    assert deleted(gone) == {}
    assert len(gone.rows("items")) == len(by_id(gone)) == gone.manifest["counts"]["items"]


def test_rows_of_image_tables_move_no_deleted_item(shop: Shop) -> None:
    """A picture's row that stays, changes or goes after the item's record has left is an orphan,
    and the item stays.
    """
    made = records(shop, 4)
    on = (*ON, "--keep-deleted", "--image-table", str(shop.folder / "rows.csv"))
    rows = "sku,photo\ns01,00.png\n"
    shop.file("rows.csv", rows)
    shop.run(shop.file("in.jsonl", made), options=on)
    path = shop.file("in.jsonl", [made[0], *made[2:]])
    for content, options in (
        ("sku,photo\ns01,02.png\n", on),
        ("sku,photo\n", on),
        (rows, (*on, "--full")),
    ):
        shop.file("rows.csv", content)
        run = shop.run(path, options=options)
        assert (run.code, set(deleted(run)), len(run.rows("items"))) == (0, {"s01"}, 4), content
        assert {row["item_id"] for row in run.rows("embeddings/text")} == set(by_id(run))
        assert run.manifest["counts"]["image_rows_quarantined"].get(
            "image-table-orphan", 0
        ) == content.count("s01")


def test_deleted_items_stay_after_another_template(shop: Shop) -> None:
    """What fits is taken over: not what has another type now; and a value off today's list refuses
    nothing.
    """
    made = records(shop, color="Red", weight="2 kg")
    on = (*ON, "--keep-deleted")
    shop.run(shop.file("in.jsonl", made), options=on)
    template = shop.template.replace("values: [Red, ", "values: [").replace(
        "type: number, unit: g, min: 0, max: 100000", "type: string"
    )
    after = replace(shop, template=template).run(
        shop.file("in.jsonl", [{**each, "color": "Blue"} for each in made[1:]]), options=on
    )
    row = by_id(after)["s00"]
    assert row["deleted_ts"] is not None
    assert (row["title"], row["color"], row["weight"], row["weight__provenance"]) == (
        "Thing 0",
        "Red",
        None,
        None,
    )
    assert by_id(after)["s01"]["weight"] == "2 kg"
    assert after.manifest["published"]


def test_a_whole_run_keeps_the_time_of_rows_that_are_the_same(shop: Shop) -> None:
    """created_ts says since when a row is known as it is, however often it was made; what differs
    has the run's.
    """
    made = records(shop)
    before = by_id(shop.run(shop.file("in.jsonl", made), options=ON))
    made[5] = {**made[5], "name": "Another thing"}
    whole = shop.run(shop.file("in.jsonl", made), options=(*ON, "--full"))
    after = by_id(whole)
    assert {item: row["created_ts"] for item, row in after.items() if item != "s05"} == {
        item: row["created_ts"] for item, row in before.items() if item != "s05"
    }
    assert after["s05"]["created_ts"] > before["s05"]["created_ts"]
    more = replace(shop, template=shop.template.replace("name: tags", "name: labels"))
    anew = by_id(more.run(shop.file("in.jsonl", made), options=ON))
    assert all(row["created_ts"] > after[item]["created_ts"] for item, row in anew.items()), (
        "columns have changed"
    )


def described(run: Run) -> tuple[int, int]:
    """Pictures that a run described, and those that it knew."""
    made = run.manifest["stages"]["prepare"]
    return made["pictures"] - made.get("reused", 0), made.get("reused", 0)


def seen(run: Run) -> dict[str, list[dict[str, Any]]]:
    """What each item's pictures are said to show, without when their files changed."""
    return {
        i: [{**image, "version": ""} for image in row["images"]] for i, row in by_id(run).items()
    }


def test_pictures_and_texts_are_encoded_once_over_runs(shop: Shop) -> None:
    """A whole run, or one after a change of the template, takes pictures' features and vectors of
    texts from before.
    """
    made = records(shop)
    first = shop.run(shop.file("in.jsonl", made), options=ON)
    assert described(first) == (8, 0)
    before, vectors = seen(first), by_id(first, "embeddings/image")
    shop.picture("00.png", "rgb(1, 2, 3)")
    shop.picture("00.png", "rgb(0, 9, 9)")
    whole = shop.run(shop.file("in.jsonl", made), options=(*ON, "--full", "--buckets", "3"))
    assert described(whole) == (0, 8)
    assert (seen(whole), by_id(whole, "embeddings/image")) == (before, vectors)
    assert whole.manifest["stages"]["embed"]["reused"] == 0, (
        "texts are looked for in their own bucket"
    )
    texts = by_id(whole, "embeddings/text")
    again = shop.run(shop.file("in.jsonl", made), options=(*ON, "--full"))
    assert again.manifest["buckets"] == 3, "the number of buckets stays while it is not asked for"
    assert again.manifest["stages"]["embed"]["reused"] == 8
    assert by_id(again, "embeddings/text") == texts
    other = replace(shop, template=shop.template.replace("What it weighs.", "How heavy it is."))
    shop.picture("01.png", "rgb(200, 2, 3)")
    assert described(other.run(shop.file("in.jsonl", made), options=ON)) == (1, 7)
    stricter = (*ON, "--max-image-pixels", "1000")
    refused = shop.run(shop.file("in.jsonl", made), options=stricter)
    assert {image["reason"] for row in refused.rows("items") for image in row["images"]} == {
        "image-too-many-pixels"
    }


def test_too_much_change_makes_everything_anew(shop: Shop) -> None:
    """Past --refresh-share everything is rebuilt, and the manifest says why; changes add up over
    runs.
    """
    made = records(shop, 10)
    options = ("--no-probes", "--refresh-share", "0.2")
    shop.run(shop.file("in.jsonl", made), options=options)
    made[0]["name"], made[1]["name"] = "one", "two"
    second = shop.run(shop.file("in.jsonl", made), options=options)
    assert (second.manifest["since_full"], second.manifest["made_anew_because"]) == (2, [])
    made[2]["name"] = "three"
    third = shop.run(shop.file("in.jsonl", made), options=options)
    assert third.manifest["records"] is None
    assert "--refresh-share" in third.manifest["made_anew_because"][0]
    assert third.manifest["since_full"] == 0
    # Damage may be why: all records of a bucket are read again.
    damaged = sorted((third.snapshot / "items").iterdir())
    for path in damaged:
        path.write_bytes(b"PAR1")
    fourth = shop.run(shop.file("in.jsonl", made), options=options)
    assert "--refresh-share" in fourth.manifest["made_anew_because"][0]
    assert all(f"{path} holds other bytes" in fourth.err for path in damaged)


# What a language model is asked


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as made:
        yield made


def endpoint(url: str, model: str = "tiny") -> tuple[str, ...]:
    return (*ON, "--describe-backend", "openai", "--endpoint", url, "--describe-model", model)


def asked_for(bodies: Sequence[dict[str, Any]]) -> set[str]:
    """Of what requests asked, the names before the first dot."""
    schemas = [body["response_format"]["json_schema"]["schema"] for body in bodies]
    return {key.split(".")[0] for schema in schemas for key in schema["properties"]}


def test_changed_records_are_paid_for(shop: Shop) -> None:
    """k changed records are k calls; a column that no question holds is none; a deleted one is
    none.
    """
    made = records(shop, stock=1)
    first = shop.run(shop.file("in.jsonl", made), options=ON)
    assert calls(first) == 8
    made[1]["name"], made[4]["name"] = "Another", "Other"
    assert calls(shop.run(shop.file("in.jsonl", made), options=ON)) == 2
    for record in made[:4]:
        record["stock"] = 2
    irrelevant = shop.run(shop.file("in.jsonl", made), options=ON)
    assert (moved(irrelevant)["changed"], calls(irrelevant)) == (4, 0)
    deleted = shop.run(shop.file("in.jsonl", made[1:]), options=ON)
    assert (moved(deleted)["deleted"], calls(deleted)) == (1, 0)


def test_a_new_attribute_is_the_only_one_asked_for(shop: Shop, server: ChatServer) -> None:
    """One attribute more in the template: only it is asked for, of each item; all other values stay
    as they were said.
    """
    path = shop.file("in.jsonl", records(shop, 6))
    first = shop.run(path, options=endpoint(server.url))
    assert asked_for(server.requests) >= {"color", "weight", "image"}
    shop.template += "  - {name: pattern, type: enum, values: [Striped, Plain], fill: true, description: Its pattern.}\n"
    before = len(server.requests)
    second = shop.run(path, options=endpoint(server.url))
    assert second.manifest["made_anew_because"] == ["template changed"]
    assert len(server.requests) - before == 6
    assert asked_for(server.requests[before:]) == {"pattern"}
    old, new = by_id(first), by_id(second)
    for item_id, row in new.items():
        assert row["pattern__provenance"]["method"] == "mllm:tiny"
        for name in ("color", "weight", "image_description"):
            assert row[name] == old[item_id][name]
            assert row[f"{name}__provenance"] == old[item_id][f"{name}__provenance"]


def test_another_prompt_asks_everything_again(shop: Shop) -> None:
    """An answer counts for the version of the prompt that it was given to."""
    path = shop.file("in.jsonl", records(shop, 4))
    first = shop.run(path, options=(*ON, "--describe-prompt", "1"))
    second = shop.run(path, options=(*ON, "--describe-prompt", "2"))
    assert (calls(first), calls(second)) == (4, 4)
    assert second.manifest["made_anew_because"] == ["language model changed"]


@pytest.mark.parametrize("keeps", [True, False])
def test_old_values_stand_until_there_are_better_ones(
    shop: Shop, server: ChatServer, keeps: bool
) -> None:
    """After a change of model, --keep-old keeps what the old one said where the new one does not
    know; else it goes.
    """
    path = shop.file("in.jsonl", records(shop, 6))
    first = shop.run(path, options=endpoint(server.url))
    old = {
        i: (row["color"], row["color__provenance"])
        for i, row in by_id(first).items()
        if row["color"] is not None
    }
    assert old
    second = shop.run(path, options=(*ON, "--keep-old") if keeps else ON)
    new = by_id(second)
    assert calls(second) == 6
    for item_id, said in old.items():
        now = new[item_id]["color"], new[item_id]["color__provenance"]
        assert now == said if keeps else now[0] is None
        assert new[item_id]["image_description"].startswith("Fake description")


def test_a_budget_is_gone_on_with(shop: Shop, server: ChatServer) -> None:
    """What a budget left open is asked in the next run, nothing else is, and then there is nothing
    more to do.
    """
    path = shop.file("in.jsonl", records(shop, 6))
    first = shop.run(path, options=(*endpoint(server.url), "--max-model-calls", "2"))
    left = {
        i
        for i, row in by_id(first).items()
        if "budget" in {flag["reason"] for flag in row["flags"]}
    }
    assert (server.calls, len(left)) == (2, 4)
    before = by_id(first)
    second = shop.run(path, options=endpoint(server.url))
    assert (server.calls, moved(second)["made_again"], moved(second)["unchanged"]) == (6, 4, 2)
    after = by_id(second)
    assert {i for i in after if after[i] != before[i]} == left
    third = shop.run(path, options=endpoint(server.url))
    assert (server.calls, snapshots(third)) == (6, snapshots(second))


def test_a_budget_is_gone_on_with_while_old_values_stand(shop: Shop, server: ChatServer) -> None:
    """A new model that a budget stops half-way goes on in the next run, also where an old value
    stands meanwhile.
    """
    path = shop.file("in.jsonl", records(shop, 6))
    shop.run(path, options=endpoint(server.url))
    newer = (*endpoint(server.url, "newer"), "--keep-old")
    half = shop.run(path, options=(*newer, "--max-model-calls", "2"))
    assert server.calls == 8
    assert all(row["image_description"] for row in half.rows("items"))
    whole = shop.run(path, options=newer)
    assert server.calls == 12
    said = {row["image_description__provenance"]["model"] for row in whole.rows("items")}
    said |= {row["color__provenance"]["model"] for row in whole.rows("items")}
    assert said == {"newer"}


def test_a_failure_is_tried_again(shop: Shop, server: ChatServer) -> None:
    """Items that a server failed on are asked again by the next run, as the reasons' own advice
    says, and no others.
    """
    shop.template += "gate: {max_describe_failure_rate: 1}\n"
    made = records(shop, 4)
    made[1]["name"] = "Thing [server: 500 500 ok]"
    path = shop.file("in.jsonl", made)
    options = (*endpoint(server.url), "--max-retries", "1")
    first = shop.run(path, options=options)
    assert by_id(first)["s01"]["color__provenance"]["reason"] == "model-error"
    asked = server.calls
    second = shop.run(path, options=options)
    assert server.calls == asked + 1
    assert by_id(second)["s01"]["color__provenance"]["reason"] != "model-error"


# Faults


def data_file(run: Run, table: str) -> Path:
    """The largest file of a table: one that holds rows."""
    return max((run.snapshot / table).glob("*.parquet"), key=lambda path: path.stat().st_size)


def flip(path: Path) -> None:
    """Change one byte in the middle of a file and leave its times as they were; links to it are
    left alone.
    """
    data, status = bytearray(path.read_bytes()), path.stat()
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture(scope="module")
def sound_once(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    shop = Shop(tmp_path_factory.mktemp("sound"))
    made = records(shop)
    return SharedRun.of(
        shop, shop.run(shop.file("in.jsonl", [*made, {**made[1], "name": "Twin"}]), options=ON)
    )


@pytest.fixture
def sound(sound_once: SharedRun) -> tuple[Shop, Run]:
    """A published catalog, `in.jsonl`, to be damaged."""
    return sound_once.restored()


# What find_delta makes of damage to every table is in tests/unit/pipelines/run/test_scan.py.
DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "items deleted": ("items", Path.unlink),
    "vectors flipped": ("embeddings/text", flip),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_anew(sound: tuple[Shop, Run], damage: str) -> None:
    """A data file that is gone or changed is named, its bucket rebuilt, and the damage left as it
    is to be looked at.
    """
    shop, first = sound
    expected, old = tables(first), first.snapshot
    table, inflict = DAMAGE[damage]
    file = data_file(first, table)
    inflict(file)
    held = digests(old)
    second = shop.run(shop.folder / "in.jsonl", options=ON)
    assert second.code == 0, second.err
    assert second.snapshot != old
    assert f"{table}/{file.name}" in second.err
    assert "are rebuilt" in second.err
    assert tables(second) == expected
    assert digests(old) == held
    assert calls(second) == 0


def test_a_damaged_file_does_not_stop_a_new_model(sound: tuple[Shop, Run]) -> None:
    """Where everything is rebuilt, what a damaged file said is asked again, and the rest is
    carried over.
    """
    shop, first = sound
    expected = tables(first)["items"]
    flip(data_file(first, "items"))
    second = shop.run(shop.folder / "in.jsonl", options=(*ON, "--full"))
    assert second.code == 0, second.err
    assert tables(second)["items"] == expected


LEARNT = 200


def learnt_catalog(shop: Shop) -> list[dict[str, Any]]:
    shades = ("scarlet", "azure", "moss")
    colors = ("Red", "Blue", "Green")
    return [
        {
            "sku": f"s{n:03}",
            "name": f"{shades[n % 3]} thing {n % 17}",
            "color": colors[n % 3] if n % 5 else None,
        }
        for n in range(LEARNT)
    ]


LEARNING = ("--max-labelled", "100")


@pytest.fixture(scope="module")
def learnt_once(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """A run that trained probes; in `anew`, one of a changed catalog that started from nothing."""
    shop = Shop(tmp_path_factory.mktemp("learnt"))
    made = learnt_catalog(shop)
    first = shop.run(shop.file("in.jsonl", made), options=LEARNING)
    made[0]["name"] = "scarlet something else"
    shop.run(shop.file("changed.jsonl", made), options=LEARNING, output="anew")
    return SharedRun.of(shop, first)


@pytest.mark.parametrize("inflict", [Path.unlink, flip])
def test_a_damaged_probe_does_not_stop_runs(
    learnt_once: SharedRun, inflict: Callable[[Path], None]
) -> None:
    """A probe of the last snapshot that is gone or changed is trained again, or named; the run
    is published.
    """
    shop, first = learnt_once.restored()
    (probe, *_) = sorted((first.snapshot / "probes").iterdir())
    inflict(probe)
    second = shop.run(shop.folder / "changed.jsonl", options=LEARNING)
    assert second.code == 0, second.err
    assert probe.name in second.err
    anew = read_rows(max((shop.folder / "anew" / "snapshots").iterdir()) / "items")
    assert [row["color"] for row in second.rows("items")] == [row["color"] for row in anew]


def broken_json(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


UNREADABLE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "manifest cut": ("manifest.json", broken_json),
    "manifest gone": ("manifest.json", Path.unlink),
    "manifest is another": ("manifest.json", lambda path: path.write_text("{}")),
    "manifest is a list": ("manifest.json", lambda path: path.write_text("[]")),
    "pointer cut": ("../../current.json", broken_json),
    "pointer is another": ("../../current.json", lambda path: path.write_text('{"run_id": "x"}')),
    "pointer leads nowhere": (
        "../../current.json",
        lambda path: path.write_text('{"snapshot": "snapshots/gone"}'),
    ),
}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_a_snapshot_that_cannot_be_read_is_not_used(sound: tuple[Shop, Run], fault: str) -> None:
    """Without a sound manifest or pointer no run continues, and the message says what is wrong."""
    _, first = sound
    name, inflict = UNREADABLE[fault]
    inflict(first.snapshot / name)
    with pytest.raises(UnusableSnapshotError, match=r"cannot be used|can continue from"):
        read_published(str(first.output))


@pytest.mark.parametrize("name", ["buckets.json", "probes/color.safetensors"])
def test_items_that_are_kept_outlive_what_lies_beside_them(
    learnt_once: SharedRun, name: str
) -> None:
    """Where a file beside the tables is damaged everything is rebuilt from the same snapshot: items
    whose records are gone stay, no call is paid for again, and the run says why.
    """
    shop, _ = learnt_once.restored()
    keep = [*LEARNING, "--keep-deleted"]
    made = (shop.folder / "changed.jsonl").read_text().splitlines(keepends=True)
    fewer = shop.file("fewer.jsonl", "".join(made[1:]))
    second = shop.run(fewer, options=keep)
    gone = {row["item_id"] for row in second.rows("items") if row["deleted_ts"]}
    assert gone
    before = second.manifest["run_id"]
    broken_json(second.snapshot / name)
    third = shop.run(fewer, options=keep)
    assert third.code == 0, third.err
    assert f"{name} " in third.err
    assert third.manifest["based_on"] == before
    assert {row["item_id"] for row in third.rows("items") if row["deleted_ts"]} == gone
    assert calls(third) == 0


@pytest.mark.parametrize("fault", ["manifest cut", "pointer cut"])
def test_items_that_are_kept_are_not_lost_with_their_snapshot(
    sound: tuple[Shop, Run], fault: str
) -> None:
    """Items without records lie in the snapshot alone: where it cannot be read, a run that keeps
    them makes nothing, and says what to do.
    """
    shop, first = sound
    name, inflict = UNREADABLE[fault]
    inflict(first.snapshot / name)
    held = digests(first.output / "snapshots")
    run = shop.run(shop.folder / "in.jsonl", options=[*ON, "--keep-deleted"])
    assert run.code == 3
    assert "rollback OUTPUT --to RUN_ID" in run.err
    assert len(run.err.splitlines()) == 1
    assert digests(first.output / "snapshots") == held


@pytest.mark.parametrize("fault", ["manifest cut", "pointer leads nowhere"])
def test_a_snapshot_that_cannot_be_read_costs_a_whole_run(
    sound: tuple[Shop, Run], fault: str
) -> None:
    """Without a sound manifest, list of buckets or pointer everything is rebuilt; a warning says
    why.
    """
    shop, first = sound
    expected, old = tables(first), first.snapshot
    name, inflict = UNREADABLE[fault]
    inflict(old / name)
    held = digests(old)
    second = shop.run(shop.folder / "in.jsonl", options=ON)
    assert second.code == 0, second.err
    assert "everything is rebuilt" in second.err
    assert "Traceback" not in second.err
    assert second.snapshot != old
    assert tables(second) == expected
    assert digests(old) == held
    assert calls(second) == 0, "answers are kept beside the snapshots"


def test_an_output_that_cannot_be_written_is_named(shop: Shop) -> None:
    """An output without write permission ends with exit code 2 before any work; the snapshot stays
    as it is.
    """
    path = shop.file("in.jsonl", records(shop, 4))
    first = shop.run(path, options=ON)
    held = digests(first.output)
    first.output.chmod(0o555)
    try:
        second = shop.run_as_user(shop.file("in.jsonl", records(shop, 5)), options=ON)
    finally:
        first.output.chmod(0o755)
    assert second.code == 2
    assert "does not allow it" in second.err
    assert digests(first.output) == held


def test_a_clock_that_went_back_is_told(shop: Shop) -> None:
    """A run that begins before the last one warns of the clock; its tables are right and it is
    current afterwards.
    """
    made = records(shop, 4)
    first = shop.run(shop.file("in.jsonl", made), options=ON)
    path = first.snapshot / "manifest.json"
    path.write_text(json.dumps({**first.manifest, "started": "2999-01-01T00:00:00Z"}))
    made[0]["name"] = "Another thing"
    second = shop.run(shop.file("in.jsonl", made), options=ON)
    assert second.code == 0, second.err
    assert "clock" in second.err
    assert moved(second)["changed"] == 1
    assert tables(second) == tables(shop.run(shop.folder / "in.jsonl", options=ON, output="anew"))
    assert (
        json.loads((second.output / "current.json").read_text())["run_id"]
        == second.manifest["run_id"]
    )

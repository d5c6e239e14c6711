"""Rows of groups over runs: order, changes, deletions, accounts."""

from __future__ import annotations

import io
import json
import random
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from pipelines.cli import main
from schemas.loading import load_template
from tests.support import RUN_COLUMNS, TEMPLATE, Run, Shop, reasons

ONE_ITEM = TEMPLATE.replace("  id: sku\n", "  id: product\n  group: product\n")
VARIANTS = TEMPLATE.replace("  id: sku\n", "  id: sku\n  group: product\n")


def catalog(shop: Shop) -> list[dict[str, Any]]:
    """Five products with three variants each, of which the first says what the product is, and a
    row with a picture only.
    """
    rows: list[dict[str, Any]] = []
    for number in range(5):
        shop.picture(f"{number}.png", f"rgb({number * 40}, 9, 9)")
        product = {"product": f"p{number}"}
        rows.append({**product, "sku": f"p{number}-a", "name": f"Thing {number}", "weight": "1 kg"})
        rows.append({**product, "sku": f"p{number}-b", "color": "Red"})
        rows.append({**product, "photos": [f"{number}.png"]})
        rows.append({**product, "sku": f"p{number}-c", "weight": "3 kg"})
    return rows


def tables(run: Run) -> dict[str, list[str]]:
    return {
        table: sorted(repr(row) for row in run.rows(table, RUN_COLUMNS))
        for table in ("items", "records", "quarantine", "embeddings/text", "embeddings/image")
    }


def by_id(run: Run) -> dict[str, dict[str, Any]]:
    return {row["item_id"]: row for row in run.rows("items", {"run_id"})}


def closes(run: Run) -> bool:
    counts = run.manifest["counts"]
    return bool(
        counts["unaccounted"] == 0
        and counts["records_in"]
        == counts["items"] + counts["rows_merged"] + counts["records_quarantined"]
        and len(run.rows("records")) == counts["records_in"]
    )


@pytest.mark.parametrize(("template", "items"), [(ONE_ITEM, 5), (VARIANTS, 15)])
def test_going_on_with_groups_gives_what_starting_anew_gives(
    shop: Shop, template: str, items: int
) -> None:
    """LAW: whatever rows change, come and go, a run that goes on gives what one from nothing gives, and
    makes only the items of the groups concerned; unchanged rows make nothing.
    """
    shop.template = template
    rows, chance, on = catalog(shop), random.Random(4), ("--refresh-share", "1")
    first = shop.run(shop.file("in.jsonl", rows), options=on)
    assert first.code == 0, first.err
    assert (len(first.rows("items")), closes(first)) == (items, True)
    parts = [shop.file("a.jsonl", rows[:7]), shop.file("b.jsonl", rows[7:])]
    again = shop.run(*parts, options=on)
    assert "nothing" in again.out.lower(), again.out
    edits = {
        "the first row": lambda: rows[0].update(name="Another thing"),
        "a later row": lambda: rows[5].update(color="Blue"),
        "a row more": lambda: rows.insert(12, {"product": "p2", "sku": "p2-d", "color": "Green"}),
        "the first row gone": lambda: rows.pop(0),
        "a picture gone": lambda: rows.remove({"product": "p3", "photos": ["3.png"]}),
    }
    for name, edit in edits.items():
        before = by_id(again)
        edit()
        path = shop.file("in.jsonl", rows)
        again = shop.run(path, options=on)
        anew = shop.run(path, options=on, output=f"anew {name}")
        assert (again.code, anew.code) == (0, 0), (name, again.err, anew.err)
        assert tables(again) == tables(anew), name
        assert closes(again), name
        assert again.manifest["made_anew_because"] == [], name
        after = by_id(again)
        moved = {key for key in after if after[key] != before.get(key)}
        assert 0 < len(moved) <= items // 5 + 1, name
    chance.shuffle(rows)
    files = [shop.file(f"part{n}.jsonl", rows[n::3]) for n in range(3)]
    assert closes(shop.run(*files, options=on, output="shuffled"))


def test_an_item_in_quarantine_takes_its_rows_along_and_back(shop: Shop) -> None:
    """All rows of an item that a check refuses are set aside, also those that have their key from
    the row above; a replay brings all back, from what the quarantine keeps, and no other item is
    made.
    """
    filled = ONE_ITEM.replace("  group: product\n", "  group: product\n  fill_down: product\n")
    shop.template = filled.replace("from: name,", "from: name, required: true,")
    rows = [
        {"sku": "x", "color": "Blue"},  # no row above it has a key
        *catalog(shop),
        {"product": "q", "weight": "2 kg", "label": "Bare"},
        {"color": "Red"},
        {"product": "", "tags": ["sale"]},
    ]
    path = shop.file("in.jsonl", rows)
    first = shop.run(path, options=("--refresh-share", "1"))
    assert first.code == 0, first.err
    assert reasons(first) == {"no-row-above": 1, "required-missing": 3}
    assert closes(first)
    before = by_id(first)
    mended = shop.template.replace("from: name,", "from: [name, label],")
    (shop.folder / "template.yaml").write_text(mended)
    path.unlink()
    shop.file("in.jsonl", [{"product": "other", "name": "not looked at"}])
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["replay", str(first.output), "--reason", "required-missing", "no-row-above"])
    assert code == 0, out.getvalue() + err.getvalue()
    replayed = Run(code, first.output, out.getvalue(), err.getvalue())
    assert reasons(replayed) == {"no-row-above": 1}
    assert closes(replayed)
    after = by_id(replayed)
    assert {key for key in after if after[key] != before.get(key)} == {"q"}
    item = after["q"]
    assert [item[name] for name in ("title", "color", "weight", "tags")] == [
        "Bare",
        "Red",
        2000.0,
        ["sale"],
    ]


def test_rows_that_have_their_key_from_above_follow_it(shop: Shop) -> None:
    """A key that changes takes the rows below it along, in a run that goes on as in one from nothing;
    unchanged rows make nothing, and evidence says what stands in a row above.
    """
    shop.template = ONE_ITEM.replace(
        "  group: product\n", "  group: product\n  fill_down: [product, tags]\n"
    )
    lines = ["product,name,color,weight,tags", "a,Mug,,,sale", ",,Red,,", ",,,2 kg,", "b,Jug,,,"]
    lines += [",,Red,,", "c,Pot,Blue,1 kg,new"]
    on = ("--refresh-share", "1")
    first = shop.run(shop.file("in.csv", "\n".join(lines)), options=on)
    assert first.code == 0, first.err
    assert [by_id(first)[key]["color"] for key in "abc"] == ["Red", "Red", "Blue"]
    assert [by_id(first)[key]["tags"] for key in "abc"] == [["sale"], None, ["new"]]
    evidence = by_id(first)["a"]["tags__provenance"]["evidence"]["field"]
    assert "tags (row above)" in evidence
    before = by_id(first)
    assert "nothing" in shop.run(shop.folder / "in.csv", options=on).out.lower()
    lines[1] = "d,Mug,,,sale"
    again = shop.run(shop.file("in.csv", "\n".join(lines)), options=on)
    anew = shop.run(shop.folder / "in.csv", options=on, output="anew")
    assert (again.code, anew.code) == (0, 0), again.err + anew.err
    assert tables(again) == tables(anew)
    assert sorted(by_id(again)) == ["b", "c", "d"]
    assert [by_id(again)[key] for key in "bc"] == [before[key] for key in "bc"]
    assert closes(again)


def test_what_an_earlier_version_set_aside_is_merged_once(shop: Shop) -> None:
    """Of a snapshot with duplicates in quarantine only their items are rebuilt, then nothing."""
    kept = shop.template
    shop.template = kept.replace("id: sku\n", "id: sku\n  duplicates: keep-fullest\n", 1)
    rows = [{"sku": f"s{n}", "name": f"Thing {n}"} for n in range(4)]
    path = shop.file("in.jsonl", [*rows, {"sku": "s1", "color": "Red"}])
    first = shop.run(path)
    assert reasons(first) == {"duplicate-id": 1}
    # What the earlier version wrote: the same records under a template without the key.
    shop.template = kept
    shop.arguments([])
    manifest = first.snapshot / "manifest.json"
    written = json.loads(manifest.read_text())
    written["shape"]["template"] = load_template(str(shop.folder / "template.yaml")).hash
    manifest.write_text(json.dumps(written))
    before = by_id(first)
    second = shop.run(path)
    assert second.code == 0, second.err
    assert second.manifest["made_anew_because"] == []
    after = by_id(second)
    assert {key for key in after if after[key] != before[key]} == {"s1"}
    assert (after["s1"]["title"], after["s1"]["color"]) == ("Thing 1", "Red")
    assert (reasons(second), closes(second)) == ({}, True)
    assert "nothing" in shop.run(path).out.lower()


def printed(*arguments: str) -> str:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*arguments])
    assert code == 0, out.getvalue() + err.getvalue()
    return out.getvalue()


def test_the_rows_of_an_item_are_found_in_the_input(shop: Shop) -> None:
    """`inspect` and `diff` list the rows that an item is made of, with file and line in the input
    as it is now, those that another row is named by, and say of those that are not found why.
    """
    shop.template = VARIANTS
    head = "product,sku,name,color"
    first = shop.file("a.csv", f"{head}\np1,p1-a,Mug,\np1,p1-b,,Red\n")
    second = shop.file(
        "b.jsonl", [{"product": "p1", "sku": "p1-b", "weight": "2 kg"}, {"sku": "x"}]
    )
    assert shop.run(first, second, options=("--refresh-share", "1")).code == 0
    out = str(shop.folder / "out")
    told = printed("inspect", "p1-b", "--output", out)
    rows = told[told.index("Rows") :].splitlines()[1:4]
    wanted = [
        f"(other): {first}, line 2",
        f"(merged): {first}, line 3",
        f"(item): {second}, line 1",
    ]
    assert [row.split(" ", 4)[-1] for row in rows] == wanted, told
    # The evidence calls the row of the title what the list does.
    evidence = json.loads(printed("inspect", "p1-b", "--output", out, "--json"))
    title = next(each for each in evidence["values"] if each["attribute"] == "title")
    (other,) = (row for row in evidence["rows"]["rows"] if row["fate"] == "other")
    assert f"row {other['name']}" in title["evidence"]["field"]
    assert "p1,p1-a,Mug" in other["raw"]
    assert "Rows" not in printed("inspect", "x", "--output", out)
    assert "Rows" not in printed("inspect", "p1-b", "--output", out, "--no-rows")
    # Lines move without a change of what they say.
    shop.file("a.csv", f"{head}\nnew,n1,Pot,\np1,p1-a,Mug,\np1,p1-b,,Blue\n")
    assert f"(other): {first}, line 3" in printed("inspect", "p1-b", "--output", out)
    assert "(merged): not in the input any more" in printed("inspect", "p1-b", "--output", out)
    assert shop.run(first, second, options=("--refresh-share", "1")).code == 0
    told = printed("diff", "previous", "current", "--output", out)
    assert "color of p1-b: 'Red' -> 'Blue'" in told
    rows = told[told.index("rows of p1-b:") :].splitlines()[1:4]
    assert [row.split(": ")[-1] for row in rows] == [
        f"{first}, line 3",
        f"{first}, line 4",
        f"{second}, line 1",
    ]
    assert json.loads(printed("diff", "previous", "current", "--output", out, "--json"))["rows"]
    first.unlink()
    gone = printed("inspect", "p1-b", "--output", out)
    assert "files and lines are not shown" in gone
    assert "(merged)" in gone

"""Tables of vectors that come to a finished catalog, change, or go: nothing else is made or written."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import Any

import pytest

from pipelines.cli import main
from tests.support import RUN_COLUMNS, Run, SharedRun, Shop, flags
from transforms.vectors.contract import CONTRACTS

RECORDS = [
    {"sku": "a", "name": "Mug", "text": "A red mug.", "photos": ["1.png", "2.png"], "tags": "eco"},
    {"sku": "b", "name": "Lamp", "text": "A blue lamp.", "photos": ["2.png"], "weight": "1.2 kg"},
    {"sku": "c", "name": "Chair", "text": "It has four legs.", "color": "navy"},
    {"sku": "d", "text": "Nobody knows its name."},
]
TITLES = "{name: titles, of: text, parts: [title], encoder: fake, model: small, dimension: 8}"
LOOKS = "{name: looks, of: image, encoder: fake, model: eyes, dimension: 16}"
FACTS = (
    "{name: facts, of: text, parts: [weight, image_colors, color, tags, title], encoder: fake, "
    "long_texts: pool}"
)
BOTH = TITLES, LOOKS
SEVERAL = ("--buckets", "3", "--refresh-share", "1", "--no-probes")


def run_of(shop: Shop, *spaces: str, options: tuple[str, ...] = (), output: str = "out") -> Run:
    """A run with these spaces besides the two that every catalog has."""
    template = f"{shop.template}\nvectors: [{', '.join(spaces)}]\n" if spaces else shop.template
    run = Shop(shop.folder, template).run(
        shop.folder / "in.jsonl", options=(*SEVERAL, *options), output=output
    )
    assert run.code == 0, run.err + run.out
    return run


def vectors(run: Run, space: str) -> dict[str, list[float]]:
    column = f"{space.replace('-', '_')}_vector"
    return {row["item_id"]: row[column] for row in run.rows(f"embeddings/{space}")}


def all_vectors(run: Run) -> dict[str, dict[str, list[float]]]:
    folders = [each for each in (run.snapshot / "embeddings").iterdir() if each.is_dir()]
    return {folder.name: vectors(run, folder.name) for folder in folders}


def held(run: Run) -> list[Any]:
    """What readers find of a snapshot, whichever run made it when."""
    manifest = run.manifest
    return [
        run.rows("items", RUN_COLUMNS),
        run.rows("records"),
        all_vectors(run),
        json.loads((run.snapshot / CONTRACTS).read_bytes()),
        {**manifest["counts"], "encoded": None, "described": None},
        [(each["path"], each["rows"]) for each in manifest["files"]],
    ]


def vectors_held(run: Run) -> list[Any]:
    """The same without what a run that continues does not find out: how items compare."""
    counts = run.manifest["counts"]
    return [*held(run)[2:4], {name: counts[name] for name in ("items", "rows", "vectors_failed")}]


def encoded(run: Run) -> tuple[int, int]:
    """Texts and pictures that encoders were given."""
    stages: dict[str, Any] = run.manifest["stages"]
    texts, pictures = (stages.get(each, {}).get("encoded", 0) for each in ("embed", "prepare"))
    return texts, pictures


def files(run: Run) -> dict[str, tuple[int, int, bytes]]:
    """Table and name of every data file → which file it is on the disk, and what it holds."""
    found = {}
    for path in run.snapshot.rglob("*.parquet"):
        about = path.stat()
        name = path.relative_to(run.snapshot).as_posix()
        found[name] = about.st_ino, about.st_mtime_ns, path.read_bytes()
    return found


def others(found: dict[str, Any], space: str) -> dict[str, Any]:
    """Files of all tables but that of a space."""
    return {
        path: each for path, each in found.items() if not path.startswith(f"embeddings/{space}/")
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """A catalog of three buckets with two spaces of its own."""
    shop = Shop(tmp_path_factory.mktemp("later") / "shop")
    shop.folder.mkdir()
    for name, color in (("1.png", "red"), ("2.png", "blue")):
        shop.picture(name, color)
    shop.file("in.jsonl", RECORDS)
    return SharedRun.of(shop, run_of(shop, *BOTH))


# What changes: the spaces then, the one that it is about, texts and pictures to be encoded.
CHANGES: dict[str, tuple[tuple[str, ...], str, tuple[int, int]]] = {
    "text added": ((*BOTH, FACTS), "facts", (3, 0)),
    "pictures added": (
        (*BOTH, "{name: more, of: image, encoder: fake, model: glasses}"),
        "more",
        (0, 2),
    ),
    "encoder": ((TITLES, LOOKS.replace("eyes", "glasses")), "looks", (0, 2)),
    "revision": ((TITLES.replace("small", "small, revision: v2"), LOOKS), "titles", (3, 0)),
    "prompt": ((TITLES.replace("small", "small, prompt: 'passage: '"), LOOKS), "titles", (3, 0)),
    "parts": ((TITLES.replace("[title]", "[title, about]"), LOOKS), "titles", (4, 0)),
    "text": (
        (*BOTH, "{name: text, of: text, encoder: fake, model: small, dimension: 8}"),
        "text",
        (4, 0),
    ),
    "text removed": ((LOOKS,), "titles", (0, 0)),
    "pictures removed": ((TITLES,), "looks", (0, 0)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_files_of_other_tables_are_those_of_before(both: SharedRun, change: str) -> None:
    """Whatever is added, changed or taken away in one space, the files of all other tables are the
    same files, and only its encoder is asked, once for each distinct text and picture.
    """
    shop, first = both.restored()
    before, vectors_before = files(first), all_vectors(first)
    spaces, name, asked = CHANGES[change]
    run = run_of(shop, *spaces)
    now, manifest = files(run), run.manifest
    assert others(now, name) == others(before, name)
    assert encoded(run) == asked
    assert (name in all_vectors(run)) == ("removed" not in change)
    assert all_vectors(run).get(name) != vectors_before.get(name)
    assert (manifest["made_anew_because"], len(manifest["vectors_anew_because"])) == ([], 1)
    assert manifest["records"]["unchanged"] == len(RECORDS)
    written = {path.rpartition("/")[2] for path in now if path.startswith(f"embeddings/{name}/")}
    assert manifest["buckets_written"] == len(written)
    assert all(check["passed"] for check in manifest["checks"])


@pytest.mark.parametrize("change", ["text added", "encoder", "pictures removed"])
def test_what_is_made_later_is_what_one_run_makes(both: SharedRun, change: str) -> None:
    """Rows, contracts, counts and files are those of a run that makes everything at once, and the
    run after it finds nothing to do.
    """
    shop, _ = both.restored()
    spaces, _, _ = CHANGES[change]
    later = run_of(shop, *spaces)
    run_id, made = later.manifest["run_id"], held(later)
    assert run_of(shop, *spaces).manifest["run_id"] == run_id
    assert held(run_of(shop, *spaces, output="at-once")) == made


def test_a_catalog_that_changed_too_is_what_one_run_makes(both: SharedRun) -> None:
    """Items that are new, changed and gone, and spaces that come, go and change: all at once."""
    shop, _ = both.restored()
    changed = {**RECORDS[1], "name": "Torch"}
    shop.file("in.jsonl", [RECORDS[0], changed, RECORDS[3], {"sku": "e", "name": "Pot"}])
    spaces = (FACTS, LOOKS.replace("eyes", "glasses"))
    later = run_of(shop, *spaces)
    moved = {name: number for name, number in later.manifest["records"].items() if number}
    assert moved == {"new": 1, "changed": 1, "unchanged": 2, "deleted": 1}
    assert len(later.manifest["vectors_anew_because"]) == 3
    made = vectors_held(later)
    assert vectors_held(run_of(shop, *spaces, output="at-once")) == made


def test_a_vector_that_cannot_be_made_is_flagged_and_tried_again(both: SharedRun) -> None:
    """Only the bucket of an item whose vector failed has its items written again, with the flag;
    the next run makes it, and the flag goes, as it does with its space.
    """
    shop, first = both.restored()
    before = files(first)
    failing = shop.file(
        "script.yaml", "- {match: Chair, model: text-encoder, failure: embed-failed}\n"
    )
    run = run_of(shop, *BOTH, FACTS, options=("--fake-script", str(failing)))
    assert {row["item_id"]: flags(row) for row in run.rows("items")}["c"] == {"embed-failed"}
    assert vectors(run, "facts").keys() == {"a", "b"}
    assert run.manifest["counts"]["vectors_failed"] == {"facts": 1}
    moved = {path for path, file in others(files(run), "facts").items() if file != before[path]}
    (items,) = {path for path in moved if path.startswith("items/")}
    assert moved == {items, items.replace("items/", "records/")}
    assert [row["item_id"] for row in run.rows("records") if row["retry"]] == ["c"]
    without = held(run_of(shop, *BOTH, output="without"))
    mended = run_of(shop, *BOTH, FACTS)
    assert mended.manifest["records"]["made_again"] == 1
    assert "embed-failed" not in mended.manifest["counts"]["flags"]
    assert vectors(mended, "facts").keys() == {"a", "b", "c"}
    run_of(
        shop,
        *BOTH,
        FACTS.replace("fake,", "fake, model: other,"),
        options=("--fake-script", str(failing)),
    )
    assert held(run_of(shop, *BOTH)) == without


def test_pictures_that_are_gone_by_then_are_told(both: SharedRun) -> None:
    """A picture that left its folder before a space of pictures was added costs its items nothing
    but what that picture told.
    """
    shop, _ = both.restored()
    (shop.images / "1.png").unlink()
    more = LOOKS.replace("looks", "more").replace("eyes", "glasses")
    run = run_of(shop, *BOTH, more)
    assert run.manifest["records"]["made_again"] == 1
    assert {row["item_id"]: flags(row) for row in run.rows("items")}["a"] == {"image-missing"}
    made = vectors_held(run)
    assert vectors_held(run_of(shop, *BOTH, more, output="at-once")) == made


def test_items_without_a_record_have_no_vector_of_a_later_encoder(both: SharedRun) -> None:
    """A deleted item that is kept stays as it is; a space that comes later has no row of it."""
    shop, _ = both.restored()
    shop.file("in.jsonl", RECORDS[1:])
    kept = run_of(shop, *BOTH, options=("--keep-deleted",))
    before = files(kept)
    run = run_of(shop, *BOTH, FACTS, options=("--keep-deleted",))
    assert others(files(run), "facts") == before
    assert vectors(run, "titles").keys() == {"a", "b", "c"}
    assert vectors(run, "facts").keys() == {"b", "c"}
    assert run.manifest["counts"]["items_deleted"] == 1


def test_a_plan_says_which_tables_would_be_made(both: SharedRun) -> None:
    """Nothing is rebuilt for a space more, and `plan` says so before."""
    shop, _ = both.restored()
    template = f"{shop.template}\nvectors: [{', '.join((*BOTH, FACTS))}]\n"
    given = Shop(shop.folder, template).arguments([shop.folder / "in.jsonl"])
    out = io.StringIO()
    with redirect_stdout(out):
        code = main(["plan", *given, *SEVERAL, "--output", str(shop.folder / "out"), "--json"])
    told = json.loads(out.getvalue())
    assert code == 0
    assert (told["because"], told["to_make"]) == ([], 0)
    assert told["vectors_because"] == ["table embeddings/facts is new"]

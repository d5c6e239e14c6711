"""`prune` lets pictures go that are kept beside an output and that no snapshot needs any more."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import time
from contextlib import redirect_stdout

import pytest
from PIL import Image

from pipelines import cli
from pipelines.snapshots.history import list_snapshots
from tests.support import Run, SharedRun, Shop
from transforms.images.contents import Contents
from transforms.images.remote.known import Kept, KnownAddresses

OLD_SECS = 100 * 24 * 3600
LONG_AGO = "20200101T000000Z-000000"


def picture(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), (shade, 9, 9)).save(out, "PNG")
    return out.getvalue()


def embedded(shade: int) -> str:
    return "data:image/png;base64," + base64.b64encode(picture(shade)).decode()


def kept(run: Run) -> set[str]:
    """Digests of the contents that are kept."""
    folder = run.output / "kept-pictures"
    return {path.name for path in folder.rglob("*") if len(path.name) == 64}


def prune(run: Run, *options: str) -> dict[str, object]:
    out = io.StringIO()
    with redirect_stdout(out):
        assert cli.main(["prune", str(run.output), "--keep", "1", "--json", *options]) == 0
    said: dict[str, object] = json.loads(out.getvalue())
    return said


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SharedRun:
    """Two snapshots: the picture of `a` is in both, that of `b` is another one in the second."""
    shop = Shop(tmp_path_factory.mktemp("kept"))
    for shade in (50, 200):
        rows = [{"sku": "a", "name": "A", "photos": embedded(10)}]
        rows.append({"sku": "b", "name": "B", "photos": embedded(shade)})
        run = shop.run(shop.file("in.jsonl", rows), options=("--buckets", "2"))
        assert run.code == 0, run.err
    return SharedRun.of(shop, run)


@pytest.fixture
def run(made: SharedRun) -> Run:
    return made.restored()[1]


def digest(shade: int) -> str:
    return hashlib.sha256(picture(shade)).hexdigest()


def age(run: Run) -> None:
    """Let all that is kept be of long ago."""
    then = time.time() - OLD_SECS
    for path in (run.output / "kept-pictures").rglob("*"):
        os.utime(path, (then, then))


def test_pictures_go_with_the_last_snapshot_that_has_them(run: Run) -> None:
    """What a kept snapshot has stays, what only a removed one had goes, and a dry run says the same
    and removes nothing.
    """
    assert kept(run) == {digest(10), digest(50), digest(200)}
    age(run)
    assert prune(run, "--dry-run")["pictures"] == 1
    assert len(kept(run)) == 3
    assert prune(run)["pictures"] == 1
    assert kept(run) == {digest(10), digest(200)}
    assert prune(run)["pictures"] == 0


def test_what_was_just_kept_stays(run: Run) -> None:
    """Pictures that came within the last day stay, whoever has them: a run may have been killed."""
    assert prune(run)["pictures"] == 0
    assert len(kept(run)) == 3


def test_addresses_stay_while_runs_ask_for_them(run: Run) -> None:
    """What a run of today asked for stays, with its picture, though no item has it (it may be no
    picture at all); what nobody asked for since the oldest snapshot goes, unless an item has it.
    """
    folder = str(run.output / "kept-pictures")
    contents, known = Contents(folder), KnownAddresses(folder)
    asked, forgotten = (contents.keep(data) for data in (b"no picture", b"no picture either"))
    newest = max(info.run_id for info in list_snapshots(str(run.output)))
    known.put("https://a.example/now", Kept(newest, asked))
    known.put("https://a.example/then", Kept(LONG_AGO, forgotten))
    known.put("https://a.example/used", Kept(LONG_AGO, f"sha256:{digest(10)}"))
    age(run)
    assert prune(run)["pictures"] == 2
    assert kept(run) == {digest(10), digest(200), asked.removeprefix("sha256:")}
    left = KnownAddresses(folder)
    assert left.of("https://a.example/now").digest == asked
    assert left.of("https://a.example/then") == Kept("")
    assert left.of("https://a.example/used").digest == f"sha256:{digest(10)}"


def test_nothing_goes_where_nobody_can_tell(run: Run) -> None:
    """A snapshot that cannot be read may need any picture; other people's files, and a folder that
    is a link to one elsewhere, are left alone.
    """
    age(run)
    folder = run.output / "kept-pictures"
    own = folder / "ab" / "mine.txt"
    own.parent.mkdir(exist_ok=True)
    own.write_text("mine")
    first = min((run.output / "snapshots").glob("*/manifest.json"))
    whole = first.read_bytes()
    first.write_bytes(whole[:-9])
    assert prune(run)["pictures"] == 0
    first.write_bytes(whole)
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert prune(run)["pictures"] == 0
    assert sum(len(path.name) == 64 for path in elsewhere.rglob("*")) == 3
    assert (elsewhere / "ab" / "mine.txt").read_text() == "mine"

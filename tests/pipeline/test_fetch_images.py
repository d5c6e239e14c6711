"""Pictures of addresses, through the whole job."""

from __future__ import annotations

from pathlib import Path

from pipelines.report import render
from pipelines.snapshots.manifest import read_manifest
from tests.cases.support import items_of, run_case
from tests.picture_server import picture_server
from transforms.images.files import ImageLimits
from transforms.runtime.metrics import read_heartbeats

TEMPLATE = """\
name: shop
version: 1.0.0
record: {id: id, images: {columns: [image]}}
attributes:
  - {name: title, type: string, role: title, from: title, description: Name.}
"""


def counted(output: Path, run: str, stage: str) -> dict[str, int]:
    """Return what the live view of a run got to know of a stage."""
    beats = read_heartbeats(str(output / "_work" / run / "heartbeats"))
    return {what: beats[stage][what] for what in ("asked", "done")}


def test_two_hundred_pictures_and_none_again(tmp_path: Path) -> None:
    """A host that was named serves 200 pictures, as many at once as it may be asked for; the second
    run asks for each whether it has changed, and downloads none. The live view counts both.
    """
    with picture_server() as server:
        rows = [f"{n},Item {n},http://127.0.0.1:{server.port}/p/{n}.jpg" for n in range(200)]
        catalog = tmp_path / "catalog.csv"
        catalog.write_text("\n".join(["id,title,image", *rows]))
        (tmp_path / "t.yaml").write_text(TEMPLATE)
        server.delay_secs = 0.01
        fetch = ("--fetch-images", f"127.0.0.1:{server.port}", "--fetch-per-host", "8")
        fetch = (*fetch, "--buckets", "8", "--keep-work")
        snapshot = run_case(tmp_path / "t.yaml", [catalog], tmp_path / "out", *fetch)
        first = items_of(snapshot)
        assert server.most_at_once == 8, "however many buckets their items are in"
        assert counted(tmp_path / "out", snapshot.name, "fetch") == {"asked": 200, "done": 200}
        assert all(item["images"][0]["digest"] for item in first.values())
        assert len(first) == server.downloads == 200
        assert set(server.asked.values()) == {1}
        second = items_of(run_case(tmp_path / "t.yaml", [catalog], tmp_path / "out", *fetch))
        (night,) = {each.name for each in (tmp_path / "out/_work").iterdir()} - {snapshot.name}
        assert counted(tmp_path / "out", night, "recheck") == {"asked": 200, "done": 200}
        assert server.downloads == 200
        assert set(server.asked.values()) == {2}
    page = render(
        str(snapshot), read_manifest(str(snapshot / "manifest.json")), None, ImageLimits()
    )
    assert page.count("data:image/jpeg") > 50, "the server is gone, and no root was given"
    assert {k: v["images"] for k, v in second.items()} == {k: v["images"] for k, v in first.items()}

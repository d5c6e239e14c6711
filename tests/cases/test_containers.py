"""Containers, and files that are not what their names say."""

import gzip
import json
import re
import zipfile

import pytest

from pipelines.cli import main
from tests.cases.support import case, items_of, read_all, run_case
from transforms.readers import InputRefusedError, plan_splits

FIVE = ["r0", "r1", "r2", "r3", "r4"]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("UPPER.JSONL.GZ", None),
        ("c.jsonl.bz2", None),
        ("c.jsonl.xz", None),
        ("c.jsonl.zst", None),
        ("really_gzip.jsonl", None),
        ("not_gzip.jsonl.gz", None),
        ("two_members.jsonl.gz", None),
        ("c.csv.zip", ["r0", "r1", "r2"]),
        ("c.zip", ["r0", "r1", "r2"]),
    ],
)
def test_what_is_packed_is_read(name, ids):
    """Each packed file gives its records, whatever its ending says (16)."""
    records, _ = read_all(case("16-containers") / name)
    assert [record["id"] for record in records][: len(ids or FIVE)] == (ids or FIVE)[: len(records)]
    assert records[0]["title"] == "Kettle"


def test_a_merchant_feed(tmp_path):
    """A feed with Google's names is read by a template with the names that Google documents (16)."""
    folder = case("16-containers")
    items = items_of(run_case(folder / "my.yaml", [folder / "feed.xml"], tmp_path / "out"))
    assert items["1"]["title"] == "Mug"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("page.csv", "this is a web page, perhaps a login page"),
        ("export.xlsx", "save it again as .xlsx"),
        ("renamed.csv", "save it again as .xlsx"),
    ],
)
def test_what_is_no_catalog_is_named(name, said):
    """A login page and a workbook without sheets are named before any work (16)."""
    with pytest.raises(InputRefusedError, match=re.escape(said)):
        plan_splits([str(case("16-containers") / name)])


TEMPLATE = """
name: shop
version: 1.0.0
record: {id: id}
attributes:
  - {name: title, type: string, role: title, from: title, description: Name.}
  - {name: price, type: number, from: price, description: Price.}
"""


def test_a_run_from_an_archive(tmp_path):
    """The manifest names the members of an archive, a second run finds nothing new in it, and what
    was in quarantine is read again from its own bytes.
    """
    template = tmp_path / "t.yaml"
    template.write_text(TEMPLATE)
    archive = tmp_path / "export.zip"
    lines = "".join(
        json.dumps({"id": f"r{n}", "title": "Mug", "price": n}) + "\n" for n in range(9)
    )
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("part=1/a.jsonl.gz", gzip.compress(lines.encode()))
        packed.writestr("part=2/b.csv", "id,title,price\ns1,Pot,3\n,Lost,4\n")
    out = tmp_path / "out"
    snapshot = run_case(template, [archive], out)
    assert len(items_of(snapshot)) == 10
    manifest = json.loads((snapshot / "manifest.json").read_text())
    assert [each["path"].removeprefix(f"{archive}/") for each in manifest["inputs"]] == [
        "part=1/a.jsonl.gz",
        "part=2/b.csv",
    ]
    assert manifest["counts"]["quarantined"] == {"missing-id": 1}
    again = run_case(template, [archive], out)
    assert items_of(again) == items_of(snapshot)
    template.write_text(TEMPLATE.replace("{id: id}", "{id: [id, title]}"))
    options = ["--reason", "missing-id", "--template", str(template), "--quiet"]
    assert main(["replay", str(out), *options]) == 0
    current = json.loads((out / "current.json").read_text())
    assert "Lost" in items_of(out / current["snapshot"])

"""`catalog-enrich inspect` and `tables` on snapshots of real runs."""

from __future__ import annotations

import base64
import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from PIL import Image

from pipelines import cli
from pipelines.commands.inspect import HALF_BLOCK, PICTURE_COLUMNS, half_blocks
from schemas.tables.specs import TABLES
from tests.support import Shop

RECORDS = [
    {"sku": "s1", "name": "Red mug", "text": "Holds tea.", "photos": "1.png", "weight": "250 g"},
    {"sku": "s2", "name": "Navy mug", "color": "mauve", "photos": "gone.png"},
    {"sku": "s3", "name": "Mug"},
    {"sku": "bad id \u0000", "name": "x"},
    {"name": "nobody"},
]


class Terminal(io.StringIO):
    """What a program prints that believes to print on a terminal."""

    def isatty(self) -> bool:
        return True


Printed = tuple[int, str, str]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two snapshots that commands only look at."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.picture("1.png")
    assert shop.run(shop.file("in.jsonl", RECORDS)).code == 0
    changed = [RECORDS[0] | {"name": "Green mug", "color": "Blue"}, *RECORDS[1:]]
    run = shop.run(shop.file("in.jsonl", changed))
    assert run.code == 0
    return run.output


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Printed:
    capsys.readouterr()
    code = cli.main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_an_items_whole_story_is_told(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Source values, unknowns with reasons, pictures, neighbours and the history are there."""
    code, out, err = call(capsys, "inspect", "s1", "--output", str(output))
    assert code == 0, err
    for expected in (
        "title: Green mug",
        "color: Blue",
        "1.png: 48 x 32 px; PNG",
        "Nearest items by text",
        "History",
    ):
        assert expected in out
    assert "title: Red mug -> Green mug (record)" in out
    assert "color: Red -> Blue (record)" in out


def test_evidence_is_marked_in_its_text(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A filled value shows its method and confidence, and the span that it was seen in; an earlier
    snapshot too.
    """
    code, out, _ = call(capsys, "inspect", "s1", "--output", str(output), "--snapshot", "previous")
    assert code == 0
    assert "color: Red  text, rule:closed-list" in out
    assert "title: «Red» mug" in out


def test_problems_of_an_item_are_told_with_what_to_do(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing picture and a value that was not understood show with reason and fix."""
    code, out, _ = call(capsys, "inspect", "s2", "--output", str(output))
    assert code == 0
    assert "gone.png: image-missing" in out
    assert "value-not-in-list (color)" in out


def test_the_story_is_json_too(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json has every value with its provenance, the neighbours and the history."""
    code, out, _ = call(capsys, "inspect", "s1", "--output", str(output), "--json")
    assert code == 0
    story = json.loads(out)
    color = next(value for value in story["values"] if value["attribute"] == "color")
    assert (color["value"], color["source"], color["given"]) == ("Blue", "record", "Blue")
    assert {each["item_id"] for each in story["neighbours"]} == {"s2", "s3"}
    assert [version["fate"] for version in story["versions"]] == ["item", "item"]


def test_an_unknown_id_is_met_with_near_ones(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id that is nowhere ends with 2 and names ids that look like it."""
    code, _, err = call(capsys, "inspect", "s11", "--output", str(output))
    assert code == 2
    assert "did you mean s1" in err


def test_a_folder_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped folder ends with 2 for both commands."""
    for command in (
        ["inspect", "s1", "--output", str(tmp_path / "nope")],
        ["tables", str(tmp_path / "nope")],
    ):
        code, _, err = call(capsys, *command)
        assert code == 2
        assert "is not a folder" in err


def test_a_record_in_quarantine_is_found_by_its_id(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id whose records were set aside shows the raw record, the reason and what to do, and ends
    with 1.
    """
    twice = [
        *({"sku": f"k{n}", "name": f"Mug {n}"} for n in range(6)),
        {"sku": "d", "name": "a"},
        {"sku": "d", "name": "b"},
    ]
    shop.template = shop.template.replace("id: sku\n", "id: sku\n  duplicates: quarantine\n", 1)
    run = shop.run(shop.file("in.jsonl", twice))
    assert run.code == 0
    (reason,) = {row["reason"] for row in run.rows("quarantine") if row["item_id"] == "d"}
    code, out, _ = call(capsys, "inspect", "d", "--output", str(run.output))
    assert code == (0 if any(row["item_id"] == "d" for row in run.rows("items")) else 1)
    assert reason in out
    assert "to do:" in out
    assert '"sku": "d"' in out


def test_hostile_texts_do_not_reach_the_terminal(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters and rich's markup in catalog texts are shown, not obeyed."""
    run = shop.run(shop.file("in.jsonl", [{"sku": "x", "name": "\u001b[2J [bold]Red\u202e mug"}]))
    code, out, _ = call(capsys, "inspect", "x", "--output", str(run.output))
    assert code == 0
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[bold]" in out


def test_pictures_are_drawn_wherever_they_came_from(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal with colours a picture is drawn that stood in its record, or was a file; an
    address is shown without its signature.
    """
    data = base64.b64encode((shop.images / shop.picture("a.png", "red")).read_bytes()).decode()
    inside = {"sku": "x", "name": "Mug", "photos": f"data:image/png;base64,{data}"}
    beside = {"sku": "y", "name": "Cup", "photos": ["a.png", "https://h.example/a?sig=s3cret"]}
    output = str(shop.run(shop.file("in.jsonl", [inside, beside])).output)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for item in ("x", "y"):
        terminal = Terminal()
        with redirect_stdout(terminal):
            assert cli.main(["inspect", item, "--output", output]) == 0
        assert terminal.getvalue().count(HALF_BLOCK) >= PICTURE_COLUMNS * 6
        assert "s3cret" not in terminal.getvalue()
        with redirect_stdout(Terminal()) as plain:
            assert cli.main(["inspect", item, "--output", output, "--no-pictures"]) == 0
        assert HALF_BLOCK not in plain.getvalue()


def test_a_picture_becomes_half_blocks() -> None:
    """Two rows of pixels make a line of text: the upper in the foreground, the lower in the
    background.
    """
    image = Image.new("RGB", (4, 4), "red")
    image.paste((0, 0, 255), (0, 2, 4, 4))
    text = half_blocks(image, 4)
    first, second = text.plain.splitlines()
    assert first.strip() == second.strip() == 4 * HALF_BLOCK
    styles = {str(span.style) for span in text.spans}
    assert styles == {"#ff0000 on #ff0000", "#0000ff on #0000ff"}


def test_tables_are_listed_with_their_rows(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every table has rows, columns with type, share of nulls and description, and lines that read
    it.
    """
    code, out, _ = call(capsys, "tables", str(output), "--json")
    assert code == 0
    told = json.loads(out)
    assert list(told["tables"]) == list(TABLES)
    items = told["tables"]["items"]
    assert (items["rows"], told["tables"]["quarantine"]["rows"]) == (3, 2)
    columns = {column["column"]: column for column in items["columns"]}
    assert columns["item_id"]["null_share"] == 0
    assert columns["weight"]["description"] == "What it weighs. [g]"
    assert 0 < columns["color__given"]["null_share"] < 1
    namespace: dict[str, object] = {}
    exec(
        f"import pandas, polars\nrows = len({told['read']['pandas']}), {told['read']['Polars']}.height",
        namespace,
    )
    assert namespace["rows"] == (3, 3)


def test_first_rows_are_printed_within_the_screen(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--head prints rows, values shortened; a strange number is refused."""
    code, out, _ = call(capsys, "tables", str(output), "--table", "items", "--head", "1")
    assert code == 0
    assert "items, row 1" in out
    assert "title: " in out
    assert call(capsys, "tables", str(output), "--head", "-1")[0] == 2

"""`catalog-enrich evaluate` as operators call it: every protocol end to end with fake models."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from pipelines.evaluation.decisions import Decision, read_decisions
from tests.support import DATA, FAKE_MODELS, Shop, needs_data

TEMPLATES = Path(__file__).resolve().parents[2] / "benchmarks" / "templates"
COLORS = ("Red", "Blue", "Green")


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation. out, err: what it printed."""

    code: int
    output: Path
    out: str
    err: str

    @property
    def decisions(self) -> list[Decision]:
        return read_decisions(self.output / "decisions.parquet")[0]

    @property
    def report(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.output / "report.json").read_text())
        return content


def evaluated(
    output: Path, *arguments: str | Path, models: Sequence[str] = FAKE_MODELS
) -> Evaluation:
    """Call evaluate's own main with these arguments, fake models and one worker."""
    command = [*map(str, arguments), *models, "--workers", "1", "--output", str(output)]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(["evaluate", *command])
    return Evaluation(code, output, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Files:
    """A small shop on disk, and the arguments that name it."""

    folder: Path
    catalog: Path
    truth: Path

    @property
    def arguments(self) -> list[str]:
        template, images = self.folder / "template.yaml", self.folder / "images"
        return [
            "--template",
            str(template),
            "--images-root",
            str(images),
            "--catalog",
            str(self.catalog),
        ]


@pytest.fixture
def small(shop: Shop) -> Files:
    """Thirty mugs: the first ten lack a colour that the title says, and two more truths cannot be
    judged.
    """
    (shop.folder / "template.yaml").write_text(shop.template)
    rows: list[dict[str, Any]] = []
    truth: list[dict[str, Any]] = []
    for number in range(30):
        color = COLORS[number % 3]
        photo = shop.picture(f"{number}.png", f"#0000{number:02x}")
        row = {
            "sku": f"p{number}",
            "name": f"{color} mug {number}",
            "weight": f"{number + 1} g",
            "photos": [photo],
        }
        rows.append(row if number < 10 else row | {"color": color})
        if number < 10:
            truth.append({"sku": f"p{number}", "hidden": {"color": color.upper()}})
    truth += [
        {"sku": "p20", "hidden": {"color": "Red"}},
        {"sku": "gone", "hidden": {"color": "Red"}},
    ]
    return Files(shop.folder, shop.file("items.jsonl", rows), shop.file("removed.jsonl", truth))


def test_hidden_values_are_held_against_their_file(small: Files, tmp_path: Path) -> None:
    """Removed values are judged once each, reported in three files, and nothing but these and the
    runs remains.
    """
    done = evaluated(tmp_path / "eval", *small.arguments, "--truth", small.truth)
    assert done.code == 0, done.out + done.err
    assert [each.item_id for each in done.decisions] == sorted(f"p{number}" for number in range(10))
    assert {each.attribute for each in done.decisions} == {"color"}
    for each in done.decisions:
        assert each.accepted == (COLORS[int(each.item_id[1:]) % 3],)
        assert each.title.startswith(each.accepted[0])
        assert each.images == (f"{each.item_id[1:]}.png",)
        assert (each.answered, each.matched, each.rung) == (True, 1, "rules")
    assert done.report["metrics"]["micro"]["measures"]["own"]["precision"] == 1.0
    notes = "\n".join(done.report["about"]["notes"])
    assert "catalog gives something there itself: 1" in notes
    assert "not in the catalog that was run: 1" in notes
    assert {path.name for path in done.output.iterdir()} == {
        "decisions.parquet",
        "report.json",
        "report.html",
        "runs",
    }
    for name in ("decisions.parquet", "report.json", "report.html"):
        assert str(done.output / name) in done.out


def test_a_second_evaluation_is_compared_with_the_first(small: Files, tmp_path: Path) -> None:
    """--against takes the folder or the decisions file of an earlier evaluation, and equal runs do
    not differ.
    """
    first = evaluated(tmp_path / "first", *small.arguments, "--truth", small.truth)
    assert first.code == 0, first.out + first.err
    second = evaluated(
        tmp_path / "second",
        *small.arguments,
        "--truth",
        small.truth,
        "--against",
        first.output,
        "--no-rules",
    )
    assert second.code == 0, second.out + second.err
    assert second.report["comparison"]["slots"] == 10
    assert not any(each.rung == "rules" for each in second.decisions)
    again = evaluated(
        tmp_path / "again",
        *small.arguments,
        "--truth",
        small.truth,
        "--against",
        first.output / "decisions.parquet",
    )
    assert {each["difference"] for each in again.report["comparison"]["differences"]} <= {0.0, None}


def test_runs_that_cannot_be_compared_are_reported_without(
    small: Files, shop: Shop, tmp_path: Path
) -> None:
    """A comparison that is impossible costs a note and not the evaluation."""
    one = shop.file("one.jsonl", [{"id": "p1", "attribute": "color", "value": "Blue"}])
    first = evaluated(tmp_path / "first", *small.arguments, "--truth", one)
    assert first.code == 0, first.out + first.err
    done = evaluated(tmp_path / "eval", *small.arguments, "--truth", one, "--against", first.output)
    assert done.code == 0, done.out + done.err
    assert "Not compared with" in done.out
    assert done.report["comparison"] is None


def test_holdout_hides_each_known_value_once(small: Files, tmp_path: Path) -> None:
    """Every value that the source gives of a fillable attribute is judged in one fold, against
    itself.
    """
    done = evaluated(
        tmp_path / "eval", *small.arguments, "--protocol", "holdout", "--folds", "3", "--seed", "5"
    )
    assert done.code == 0, done.out + done.err
    slots = sorted((each.item_id, each.attribute) for each in done.decisions)
    known = [(f"p{n}", "color") for n in range(10, 30)] + [(f"p{n}", "weight") for n in range(30)]
    assert slots == sorted(known)
    assert {each.fold for each in done.decisions} == {0, 1, 2}
    colors = [each for each in done.decisions if each.attribute == "color"]
    assert all(each.accepted == each.candidate and each.source != "record" for each in colors)
    assert all(each.baseline for each in colors)


def test_a_limit_takes_a_few_records(small: Files, tmp_path: Path) -> None:
    """--limit evaluates on as many records, and removes the prepared catalog afterwards."""
    done = evaluated(
        tmp_path / "eval", *small.arguments, "--protocol", "holdout", "--folds", "2", "--limit", "7"
    )
    assert done.code == 0, done.out + done.err
    assert len({each.item_id for each in done.decisions}) == 7
    assert not list(done.output.glob("_prepared-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--truth", "nowhere.jsonl"], "nowhere.jsonl"),
        ([], "--truth is missing"),
        (["--truth", "{truth}", "--protocol", "holdout"], "leave it out"),
        (["--truth", "{truth}", "--against", "{truth}"], "--against"),
        (["--truth", "{truth}", "--limit", "-1"], "--limit -1"),
        (["--truht", "{truth}"], "unknown option --truht; did you mean --truth?"),
        (["--truth", "{truth}", "--runner", "FnApiRunner"], "unknown option --runner"),
        (["--truth", "{catalog}"], "has neither hidden"),
        (["--protocol", "holdout", "--folds", "1"], "--folds 1"),
    ],
)
def test_what_does_not_fit_ends_with_2_and_leaves_nothing(
    small: Files, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """Bad arguments and a truth that does not fit are reported in one line each, before anything runs."""
    filled = [each.format(truth=small.truth, catalog=small.catalog) for each in arguments]
    done = evaluated(tmp_path / "eval", *small.arguments, *filled)
    assert done.code == 2, done.out + done.err
    assert message in done.err
    assert "Traceback" not in done.err
    assert not done.output.exists()


def test_the_command_line_knows_evaluate(
    small: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`catalog-enrich evaluate` is the same command, and --input another name of --catalog."""
    arguments = [
        "evaluate",
        *small.arguments,
        "--truth",
        str(small.truth),
        *FAKE_MODELS,
        "--workers",
        "1",
    ]
    arguments[arguments.index("--catalog")] = "--input"
    assert cli.main([*arguments, "--output", str(tmp_path / "eval")]) == 0
    assert "decisions.parquet" in capsys.readouterr().out
    assert cli.main([*arguments, "--truht", "x"]) == 2
    assert "did you mean --truth?" in capsys.readouterr().err


@needs_data
def test_wdc_pave_end_to_end(tmp_path: Path) -> None:
    """A slice of the benchmark: every slot of its items is judged once, absent ones among them."""
    files = [
        "--catalog",
        DATA / "wdc_pave" / "catalog.jsonl",
        "--truth",
        DATA / "wdc_pave" / "truth.jsonl",
    ]
    options = ["--protocol", "wdc-pave", "--folds", "2", "--limit", "12"]
    done = evaluated(tmp_path / "eval", "--template", TEMPLATES / "wdc_pave.yaml", *files, *options)
    assert done.code == 0, done.out + done.err
    slots = [(each.item_id, each.attribute) for each in done.decisions]
    assert len(set(slots)) == len(slots)
    lines = (
        json.loads(line) for line in (DATA / "wdc_pave" / "truth.jsonl").read_text().splitlines()
    )
    items = {item for item, _ in slots}
    assert len(items) == 12
    wanted = [line for line in lines if line["id"] in items]
    assert len(wanted) == len(slots)
    assert sum(not each.accepted for each in done.decisions) == sum(
        line["values"] == ["n/a"] for line in wanted
    )


@needs_data
@pytest.mark.parametrize("folds", ["0", "2"])
def test_implicitave_end_to_end(tmp_path: Path, folds: str) -> None:
    """A slice of the benchmark, with a reference of labelled texts: each slot once, labels only
    where asked for.
    """
    import gzip

    with gzip.open(DATA / "implicitave" / "labelled_texts.jsonl.gz", "rb") as file:
        texts = tmp_path / "texts.jsonl"
        texts.write_bytes(b"".join(line for _, line in zip(range(200), file, strict=False)))
    files = [
        "--catalog",
        DATA / "implicitave" / "catalog.jsonl",
        "--truth",
        DATA / "implicitave" / "truth.jsonl",
    ]
    files += ["--images-root", DATA / "implicitave", "--reference", texts]
    options = ["--protocol", "implicitave", "--labelled-folds", folds, "--limit", "12"]
    done = evaluated(
        tmp_path / "eval", "--template", TEMPLATES / "implicitave.yaml", *files, *options
    )
    assert done.code == 0, done.out + done.err
    assert len({each.item_id for each in done.decisions}) == len(done.decisions) == 12
    assert {each.fold for each in done.decisions} <= set(range(max(1, int(folds))))
    assert any(each.baseline for each in done.decisions)
    assert all(each.accepted and each.images for each in done.decisions)

"""Documents are tests: generated pages are up to date, runbook commands run, the package installs
and imports fast.
"""

from __future__ import annotations

import io
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.docs import architecture, pages
from schemas.reasons import REASONS
from tests.support import FAKE_MODELS, Shop

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", pages.PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    """docs/ says what the code says; `make docs` rewrites it."""
    assert (ROOT / "docs" / name).read_text("utf-8") == pages.PAGES[name](), "run make docs"


def test_every_reason_has_its_test() -> None:
    """No reason id exists that no test names."""
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert [reason for reason in REASONS if f'"{reason}"' not in tests] == []


def test_every_option_of_the_run_is_documented() -> None:
    """docs/options.md has each option that the parser knows."""
    page = (ROOT / "docs" / "options.md").read_text("utf-8")
    run = next(a for a in cli.build_parser()._actions if a.dest == "command").choices["run"]  # type: ignore[index,union-attr]
    flags = [
        flag
        for action in run._actions
        for flag in action.option_strings
        if flag not in ("-h", "--help")
    ]
    assert [flag for flag in flags if f"`{flag}`" not in page] == []


def test_every_command_and_option_is_documented() -> None:
    """docs/ has each command, action and option that the parser knows, and the README names each
    command.
    """
    page = "".join(
        (ROOT / "docs" / name).read_text("utf-8") for name in ("commands.md", "options.md")
    )
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, parser in pages.commands_of(cli.build_parser()):
        assert f"## {name}\n" in page
        assert f"catalog-enrich {name}" in readme, f"the README does not name catalog-enrich {name}"
        for action in parser._actions:
            written = action.option_strings[-1:] or [str(action.metavar or action.dest)]
            cell = written[0].replace("|", "\\|")
            assert action.dest == "help" or f"`{cell}`" in page, f"{name} {written[0]}"
            assert action.help, f"{name} {written[0]} says nothing of itself"


def code_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


# In this order: a page may use what the pages before it have made.
RUNBOOKS = tuple(
    f"runbooks/{name}.md"
    for name in (
        "scheduled-run",
        "look-at-a-run",
        "quarantine",
        "change-a-model-or-prompt",
        "backfill",
        "rollback",
        "clean-up",
        "flink",
    )
)


def test_every_runbook_is_run() -> None:
    """No page of runbooks/ is left out of the test that runs their commands."""
    assert sorted(RUNBOOKS) == sorted(
        str(page.relative_to(ROOT)) for page in (ROOT / "runbooks").glob("*.md")
    )


def test_the_runbooks_commands_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command in the sh blocks of the runbooks ends with 0 in a folder with a catalog."""
    shutil.copyfile(shop.images / shop.picture("a.png"), shop.images / "b.png")
    (shop.folder / "catalog" / "images").mkdir(parents=True)
    records = [{"id": f"p{n}", "title": f"Red mug {n}", "images": ["a.png"]} for n in range(5)]
    shop.file("catalog/items.jsonl", [*records, {"id": None, "title": "nobody"}])
    shutil.copyfile(ROOT / "schemas" / "templates" / "product.yaml", shop.folder / "my.yaml")
    monkeypatch.chdir(shop.folder)
    run = r"(catalog-enrich run .*--output (features|trial))"
    for page in RUNBOOKS:
        for block in code_blocks(page, "sh"):
            lines = re.sub(run, rf"\1 {' '.join(FAKE_MODELS)}", block).splitlines()
            for is_ours, some in itertools.groupby(lines, lambda each: each.startswith(OURS)):
                for command in some if is_ours else ["\n".join(some)]:
                    code, printed = called(command) if is_ours else shell(command, shop.folder)
                    assert code == 0, f"{page}: {command}\n{printed}"


OURS = "catalog-enrich "


def called(line: str) -> tuple[int, str]:
    """A command of this project in this process, as starting one takes seconds; what it printed."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        code = cli.main(shlex.split(line)[1:])
    return code, printed.getvalue()


def shell(commands: str, folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_documented_template_is_sound() -> None:
    """The template in docs/templates.md loads, alone and with the section that is shown after it."""
    from schemas.loading import parse_template

    template, *_, section = code_blocks("docs/templates.md", "yaml")
    assert parse_template(template, "docs/templates.md").name == "my-shop"
    spaces = parse_template(f"{template}\n{section}", "docs/templates.md").spaces
    assert [space.name for space in spaces] == ["text", "image", "title-e5"]


def test_the_readme_is_one_screen_after_the_other() -> None:
    """The README has at most 1,200 words: what it is, how to start, and links to the rest."""
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 1_200


def pages_with_links() -> list[str]:
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    found += [*(ROOT / "docs").glob("*.md"), *(ROOT / "runbooks").glob("*.md")]
    return sorted(str(page.relative_to(ROOT)) for page in found)


@pytest.mark.parametrize("page", pages_with_links())
def test_links_between_pages_lead_somewhere(page: str) -> None:
    """Every relative link of README, CONTRIBUTING, docs/ and runbooks/ names a file that exists."""
    text = (ROOT / page).read_text("utf-8")
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    local = [target for target in targets if "://" not in target]
    assert [t for t in local if not (ROOT / page).parent.joinpath(t).exists()] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/concepts.md"])
def test_named_files_exist(page: str) -> None:
    """A module, folder or page that a page for developers names by its path is there."""
    tried = {"url.py", "count.py", "echo.py", "pl.yaml", "NAME.py", "CODE.yaml", "N.md"}
    paths = re.findall(
        r"`((?:schemas|prompts|transforms|pipelines|tests|docs|benchmarks|runbooks)/[\w./-]+)`",
        (ROOT / page).read_text("utf-8"),
    )
    assert paths
    named = [path for path in paths if Path(path).name not in tried]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_is_in_the_index() -> None:
    """docs/index.md links each page of docs/, so that none has to be guessed."""
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = sorted(page.name for page in (ROOT / "docs").glob("*.md") if page.name != "index.md")
    assert [name for name in pages if f"({name})" not in index] == []


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist, built from a copy of the tracked tree so that nothing lies in the way."""
    copy, dist = tmp_path_factory.mktemp("tree") / "tree", tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns(
        ".venv", ".git", "*.egg-info", "build", "dist", "__pycache__", "demo-output", ".*_cache"
    )
    shutil.copytree(ROOT, copy, ignore=ignored)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return dist


def test_wheel_and_sdist_are_complete(built: Path) -> None:
    """Both hold every module, template and prompt, and no tests."""
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.split("/", 1)[-1] for name in archive.getnames()}
    needed = [
        str(path.relative_to(ROOT))
        for package in ("pipelines", "prompts", "schemas", "transforms")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert [name for name in needed if name not in in_wheel] == []
    assert [name for name in needed if name not in in_sdist] == []
    assert [name for name in in_wheel if name.startswith("tests/")] == []


def test_the_wheel_runs_outside_the_tree(built: Path, shop: Shop, tmp_path: Path) -> None:
    """Installed into an environment of its own, away from the sources, the command runs a catalog."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next(venv.glob("lib/python*/site-packages"))
    # Dependencies come from this environment; the project itself must come from the wheel alone.
    outer = Path(next(p for p in sys.path if p.endswith("site-packages")))
    (wheel,) = built.glob("*.whl")
    target = tmp_path / "installed"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(install, check=True)
    (site / "project.pth").write_text(f"{target}\n")
    (site / "dependencies.pth").write_text(f"{outer}\n")
    source = shop.file(
        "in.jsonl",
        [
            {"id": f"p{n}", "title": f"Red mug {n}", "images": [shop.picture("a.png")]}
            for n in range(3)
        ],
    )
    arguments = [
        "run",
        "--template",
        "product",
        "--input",
        str(source),
        "--images-root",
        str(shop.images),
        *FAKE_MODELS,
    ]
    program = "import pipelines, sys; from pipelines.cli import main; print(pipelines.__file__); sys.exit(main(sys.argv[1:]))"
    command = [
        str(venv / "bin" / "python"),
        "-E",  # without PYTHONPATH, which may name the sources
        "-c",
        program,
        *arguments,
        "--output",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert str(target) in done.stdout, "the sources were used, not the wheel"
    assert "published" in done.stdout


@pytest.fixture(scope="module")
def tree() -> architecture.Architecture:
    return architecture.read_architecture(ROOT)


def test_no_import_goes_back_up(tree: architecture.Architecture) -> None:
    """No room imports a room above it or beside it, also not inside a function."""
    assert {container: tree.arrows_up(container) for container in tree.layers} == {
        "pipelines": [],
        "transforms": [],
    }


def test_no_import_goes_in_a_circle(tree: architecture.Architecture) -> None:
    """Rooms do not import each other in a circle, lazy imports included."""
    assert [tree.circle(container) for container in tree.layers] == [[], []]


def test_no_folder_is_crowded(tree: architecture.Architecture) -> None:
    """A folder has at most 14 loose files, but that of the commands, which has one for each."""
    crowded = {
        folder: count
        for folder, count in tree.loose_files().items()
        if count > architecture.MAX_LOOSE_FILES and folder not in architecture.MAY_BE_LARGER
    }
    assert crowded == {}

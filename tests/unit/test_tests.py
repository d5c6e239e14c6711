"""Laws of the tests themselves: what CONTRIBUTING says of them holds for every module of tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support import ROOT

TESTS = ROOT / "tests"


@cache
def modules() -> dict[str, ast.Module]:
    """Path below tests/ → syntax tree, of every module there."""
    return {
        str(path.relative_to(TESTS)): ast.parse(path.read_text("utf-8"))
        for path in sorted(TESTS.rglob("*.py"))
    }


def nodes() -> Iterator[tuple[str, ast.AST]]:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            yield path, node


def imported(node: ast.AST) -> list[str]:
    """Whole names of the modules that an import statement reads, of their parts too."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def test_no_test_imports_another_test() -> None:
    """What tests share lies in a module of its own, so that a test can be read, moved and removed
    by itself.
    """
    found = [
        f"{path}:{node.lineno} imports {name}"  # type: ignore[attr-defined]
        for path, node in nodes()
        for name in imported(node)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]
    assert found == []


def test_every_test_says_what_it_promises() -> None:
    """Each test function has a docstring: the sentence that it keeps."""
    silent = [
        f"{Path(path).name}:{node.lineno} {node.name}"
        for path, node in nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


# Names that only look private, or without which a test could not ask: name → why.
PRIVATE: dict[str, str] = {
    "_actions": "argparse lists the options of a parser nowhere else",
    "_build_setup_package": "Beam's stager builds the package of remote workers by it",
    "_exit": "of os: a process that ends as if it was killed",
    "_loop": "the client's event loop is held up, which nothing outside it can do",
    "_pipeline_options": "what Beam hands to object stores in worker processes",
    "_replace": "a method of named tuples",
}


def test_no_test_looks_behind_the_door() -> None:
    """Tests name nothing private of what they test: no import of it, no attribute of it."""
    found = []
    for path, node in nodes():
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names = [] if own else [node.attr]
        else:
            continue
        found += [
            f"{path}:{node.lineno} {name}"
            for name in names
            if name.startswith("_") and not name.startswith("__") and name not in PRIVATE
        ]
    assert found == []

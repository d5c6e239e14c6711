"""How the code is built: laws that neither a linter nor the import contracts know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from pipelines.docs.architecture import (
    MAX_LOOSE_FILES,
    MAY_BE_LARGER,
    Architecture,
    read_architecture,
)
from tests.support import ROOT

PACKAGES = ("schemas", "prompts", "transforms", "pipelines")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def bare_collections(annotation: ast.expr | None) -> Iterator[str]:
    """Parts of an annotation that name a collection, or elements of it, without saying of what."""
    if annotation is None:
        yield "nothing"
        return
    named = [node for node in ast.walk(annotation) if isinstance(node, ast.Attribute | ast.Name)]
    subscripted = {
        id(node.value) for node in ast.walk(annotation) if isinstance(node, ast.Subscript)
    }
    for node in named:
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        if name in ("PCollection", "Iterator", "Iterable", "list") and id(node) not in subscripted:
            yield name
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.slice) == "Any":
        # Of a transform any element may pass through; what a DoFn makes is known.
        yield ast.unparse(annotation)


def untyped(tree: ast.Module) -> Iterator[str]:
    """Methods of DoFns and PTransforms, and fields of their outputs, without element types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "process":
                    yield from (
                        f"{node.name}.process gives {bare}"
                        for bare in bare_collections(part.returns)
                    )
                    for argument in part.args.args[1:]:
                        yield from (
                            f"{node.name}.process takes {bare}"
                            for bare in bare_collections(argument.annotation)
                        )
        if isinstance(node, ast.FunctionDef | ast.AnnAssign):
            given = (
                [node.annotation]
                if isinstance(node, ast.AnnAssign)
                else [node.returns, *(each.annotation for each in node.args.args)]
            )
            for annotation in filter(None, given):
                if "PCollection" in bare_collections(annotation):
                    yield f"line {node.lineno}: PCollection"
        if isinstance(node, ast.FunctionDef) and node.name == "expand":
            for annotation in (node.returns, *(each.annotation for each in node.args.args[1:])):
                if annotation is None:
                    yield f"line {node.lineno}: expand"


def test_collections_say_what_their_elements_are() -> None:
    """Whoever reads a DoFn or a PTransform sees what goes in and what comes out."""
    faults = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in SOURCES
        for fault in untyped(ast.parse(path.read_text()))
    ]
    assert faults == []


@pytest.mark.parametrize(
    "source",
    [
        "class A(beam.DoFn):\n def process(self, element): yield 1",
        "class A(beam.DoFn):\n def process(self, element: int) -> Iterator[Any]: yield 1",
        "class A(beam.PTransform):\n def expand(self, ones: beam.PCollection) -> beam.PCollection[int]: ...",
        "class A(beam.PTransform):\n def expand(self, ones: beam.PCollection[int]): ...",
        "class A(NamedTuple):\n reports: beam.PCollection",
    ],
)
def test_the_law_of_element_types_finds_what_breaks_it(source: str) -> None:
    """A law that finds nothing is no law."""
    assert list(untyped(ast.parse(source)))


def nested_comprehensions(tree: ast.Module) -> Iterator[int]:
    """Lines of comprehensions that another comprehension is in."""
    for node in ast.walk(tree):
        if isinstance(node, COMPREHENSIONS) and any(
            isinstance(inner, COMPREHENSIONS) for inner in ast.walk(node) if inner is not node
        ):
            yield node.lineno


def test_no_comprehension_stands_inside_another() -> None:
    """A second level has a name of its own, or is a loop."""
    faults = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in nested_comprehensions(ast.parse(path.read_text()))
    ]
    assert faults == []


@pytest.mark.parametrize(
    "source",
    [
        "[[cell for cell in row] for row in rows]",
        "{name: sum(row[name] for row in rows) for name in names}",
        "[row for row in rows if any(cell for cell in row)]",
    ],
)
def test_the_law_of_comprehensions_finds_what_breaks_it(source: str) -> None:
    """The inner one may be what is collected, a part of it, or in the condition."""
    assert list(nested_comprehensions(ast.parse(source))) == [1]


def test_one_comprehension_may_have_several_loops() -> None:
    """Rows are taken apart into cells in one: that is not one inside another."""
    assert not list(nested_comprehensions(ast.parse("[cell for row in rows for cell in row]")))


@cache
def architecture() -> Architecture:
    return read_architecture(ROOT)


def test_folders_hold_few_files() -> None:
    """A folder that is too long to take in at a glance is several rooms."""
    large = {
        folder: files
        for folder, files in architecture().loose_files().items()
        if files > MAX_LOOSE_FILES
    }
    assert [folder for folder in large if folder not in MAY_BE_LARGER] == []


@pytest.mark.parametrize("container", ["transforms", "pipelines"])
def test_no_room_imports_itself_by_a_detour(container: str) -> None:
    """Imports inside functions count too: they hide an arrow back up, they do not cut it."""
    assert architecture().arrows_up(container) == []
    assert architecture().circle(container) == []

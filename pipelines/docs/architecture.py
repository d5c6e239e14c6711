"""The page about the structure of the code: rooms, their order, and what the imports really do.

The order is that of the contracts in pyproject.toml, which `lint-imports` enforces; the figures are
counted from the imports themselves, those inside functions included.
"""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

from pipelines.docs.markdown import NOTE, table

TOP_FOLDERS = ("pipelines", "transforms", "prompts", "schemas")
# A folder with more loose files than this is hard to find one's way in; one file a command is not.
MAX_LOOSE_FILES = 14
MAY_BE_LARGER = ("pipelines/commands",)


@dataclass(frozen=True)
class Module:
    """A module with what it imports of this project, by dotted name."""

    name: str
    imports: frozenset[str]

    @property
    def room(self) -> str:
        """The folder below a top-level folder that it lives in, or itself where it lies loose."""
        return ".".join(self.name.split(".")[:2])


@dataclass(frozen=True)
class Architecture:
    """The modules of the tree under `root`, and the order that their rooms have to keep.

    layers: for each container (`transforms`, `pipelines`) the rooms from top to bottom; rooms of
    one layer may not import each other.
    """

    root: Path
    modules: tuple[Module, ...]
    layers: Mapping[str, tuple[tuple[str, ...], ...]]

    @cached_property
    def arrows(self) -> Counter[tuple[str, str]]:
        """(importing room, imported room) → number of imports."""
        names = {module.name for module in self.modules}
        return Counter(
            (module.room, ".".join(target.split(".")[:2]))
            for module in self.modules
            for target in module.imports
            if target in names and not target.startswith(module.room + ".")
            if ".".join(target.split(".")[:2]) != module.room
        )

    def arrows_up(self, container: str) -> list[tuple[str, str]]:
        """Return the imports between rooms of a container that go against its order."""
        depth: dict[str, int] = {}
        for level, rooms in enumerate(self.layers[container]):
            depth |= {f"{container}.{room}": level for room in rooms}
        return sorted(
            (importer, imported)
            for importer, imported in self.arrows
            if importer in depth and imported in depth and depth[importer] >= depth[imported]
        )

    def arrows_inside(self, container: str) -> list[tuple[str, str]]:
        """Return the imports between rooms of one container."""
        inside = f"{container}."
        return [
            (importer, imported)
            for importer, imported in self.arrows
            if importer.startswith(inside) and imported.startswith(inside)
        ]

    def circle(self, container: str) -> list[str]:
        """Return the rooms of a circle of imports inside a container; empty when there is none."""
        return _circle(self.arrows_inside(container))

    def circle_of_modules(self) -> list[str]:
        """Return the modules of a circle of imports, lazy ones included; empty when there is
        none.
        """
        return _circle(
            (module.name, target) for module in self.modules for target in module.imports
        )

    def loose_files(self) -> dict[str, int]:
        """Folder → Python files that lie directly in it, `__init__.py` aside."""
        counts: Counter[str] = Counter()
        for top in TOP_FOLDERS:
            for path in (self.root / top).rglob("*.py"):
                counts[path.parent.relative_to(self.root).as_posix()] += path.stem != "__init__"
        return dict(sorted(counts.items()))


def _circle(arrows: Iterable[tuple[str, str]]) -> list[str]:
    below: dict[str, set[str]] = {}
    for importer, imported in arrows:
        if importer != imported:
            below.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def read_architecture(root: Path) -> Architecture:
    """Read the tree: imports from the sources, the order of rooms from pyproject.toml."""
    paths = [path for top in TOP_FOLDERS for path in sorted((root / top).rglob("*.py"))]
    names = {path: _dotted(path.relative_to(root)) for path in paths}
    known = frozenset(names.values())
    modules = [Module(names[path], frozenset(_imports(path, names[path], known))) for path in paths]
    return Architecture(root, tuple(modules), _layers(root / "pyproject.toml"))


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, name: str, known: frozenset[str]) -> Iterator[str]:
    """Dotted names of the project's modules that a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` imports the module, `from module import name` does too.
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & known
            yield from inner
            if len(inner) < len(node.names) and node.module in known and node.module != name:
                yield node.module


def _layers(pyproject: Path) -> dict[str, tuple[tuple[str, ...], ...]]:
    contracts = tomllib.loads(pyproject.read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = {}
    for contract in contracts:
        for container in contract.get("containers", ()):
            layers[container] = tuple(_rooms_of_layer(line) for line in contract["layers"])
    return layers


def _rooms_of_layer(layer: str) -> tuple[str, ...]:
    """Return the rooms of one layer of a contract: `a | b` → ("a", "b")."""
    return tuple(room.strip() for room in layer.split("|"))


def architecture_page(root: Path | None = None) -> str:
    """Return the page.

    Raises FileNotFoundError outside a checkout, where there is no pyproject.toml.
    """
    found = read_architecture(root or Path(__file__).resolve().parents[2])
    abouts = {module: _about(found.root, module) for module in _rooms(found)}
    lines = [
        "# Architecture",
        NOTE,
        "",
        "Imports run one way: `pipelines` → `transforms` → `prompts` → `schemas`, and inside "
        "`transforms` and `pipelines` from the rooms (subpackages) above to those below. "
        "`lint-imports` keeps both orders; a new room has to take its place in them "
        "(`pyproject.toml`). [Concepts](concepts.md) follows one record and one changed record "
        "through the rooms; [CONTRIBUTING](../CONTRIBUTING.md) has a recipe for each kind of "
        "change.",
        "",
        *_DECISIONS,
    ]
    for container in ("pipelines", "transforms"):
        rows = [
            (f"`{container}/{room}`", abouts[f"{container}.{room}"])
            for layer in found.layers[container]
            for room in layer
        ]
        lines += ["", f"## Rooms of `{container}`, from top to bottom", ""]
        lines += table(("room", "what lives there"), rows)
    rows = [(f"`{top}`", abouts[top]) for top in ("prompts", "schemas")]
    lines += ["", "## Below them", "", *table(("folder", "what lives there"), rows)]
    lines += ["", "## Counted", "", *_counted(found)]
    return "\n".join(lines) + "\n"


_DECISIONS = (
    "Three decisions shape it:",
    "",
    "1. **A bucket is the unit.** Items are divided into buckets by a hash of their id; payloads "
    "are spooled to disk and references shuffled. Memory is bounded by a bucket, a bucket carries "
    "its rejects along (so records in = items + quarantine), and each bucket is one file per "
    "table, which is what lets a run rewrite only what changed.",
    "2. **The template is the only source of truth.** Prompts, JSON schemas, columns, row checks, "
    "expectations and documentation are derived from it, so they cannot disagree.",
    "3. **Content is the address.** Records, images, questions and vectors are known by hashes of "
    "their content, never by time or position; that is why nothing is paid twice and a killed run "
    "resumes.",
)


def _rooms(found: Architecture) -> Iterator[str]:
    yield from ("prompts", "schemas")
    for container, layers in found.layers.items():
        yield from (f"{container}.{room}" for layer in layers for room in layer)


def _about(root: Path, room: str) -> str:
    """Return the first sentence of a room's docstring."""
    folder = root.joinpath(*room.split("."))
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def _counted(found: Architecture) -> Iterator[str]:
    rows = []
    for container, layers in found.layers.items():
        rooms = sum(map(len, layers))
        rows.append(
            (
                f"`{container}`",
                str(rooms),
                str(len(found.arrows_inside(container))),
                str(len(found.arrows_up(container))),
                str(int(bool(found.circle(container)))),
            )
        )
    head = ("folder", "rooms", "imports between rooms", "imports back up", "cycles")
    yield from table(head, rows)
    circle = " → ".join(found.circle_of_modules()) or "none"
    yield from ("", f"Cycles between modules, lazy imports included: {circle}.", "")
    loose = [(f"`{folder}`", str(count)) for folder, count in found.loose_files().items() if count]
    yield from _columns(("folder", "files"), loose, 3)


def _columns(head: Sequence[str], rows: Sequence[tuple[str, ...]], columns: int) -> Iterator[str]:
    """Yield a long narrow table as a short wide one."""
    height = -(-len(rows) // columns)
    blank = ("",) * len(head)
    padded = [*rows, *[blank] * (height * columns - len(rows))]
    # The table is read column by column: what stands side by side is `height` rows apart.
    wide = [tuple(chain.from_iterable(padded[line::height])) for line in range(height)]
    yield from table(tuple(head) * columns, wide)

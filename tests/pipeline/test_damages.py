"""Every command on an output of which a file is damaged: one line that names it, nothing lost.

A table of commands by damages, generated from what tests/damages.py lists. The suite judges a share
of it, in which every damage and every command stands; `make test-damages` judges all and writes the page.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.damage_cells import COMMANDS, QUICK, SLOW, Cell, Judge, cells
from tests.damage_page import PAGE, codes_on, page_of
from tests.damages import KINDS, World, damages, make_world

# `all`, or a number: all cells of quick commands, and of slow ones one of so many.
ASKED = os.environ.get("CATALOG_ENRICH_DAMAGES", "")
WHOLE = bool(ASKED)
# Of cells of quick and of slow commands, one of so many is judged in the suite.
QUICK_SHARE, SLOW_SHARE = (1, 1 if ASKED == "all" else int(ASKED)) if WHOLE else (23, 307)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def chosen(kind: str) -> list[tuple[str, str, str]]:
    """The cells of a kind of file that are judged: all, or a share that is the same every time."""
    shares = ((QUICK, QUICK_SHARE), (SLOW, SLOW_SHARE))
    found = []
    for commands, share in shares:
        every = list(cells(commands))
        of_kind = [cell for number, cell in enumerate(every) if number % share == 0]
        found += [cell for cell in of_kind if cell[0] == kind]
    return found


@pytest.fixture(scope="module")
def judged() -> dict[str, list[Cell]]:
    """Kind of file → its cells, as the tests before have judged them."""
    return {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damage_is_one_line_and_costs_nothing_else(
    world: World, tmp_path: Path, kind: str, judged: dict[str, list[Cell]]
) -> None:
    """Whatever is done to a file of an output, each command either does what it does without the
    damage, or says in one line which file is no use and what mends it; no traceback, no other
    result in silence, no sound file gone, nothing paid twice but what the file held.
    """
    judge = Judge(world, tmp_path / "cell")
    judged[kind], wrong = [], []
    for cell in chosen(kind):
        judged[kind].append(judge.cell(*cell))
        wrong += [f"{', '.join(cell)}: {why}" for why in judged[kind][-1].wrong]
        if WHOLE and judged[kind][-1].wrong:  # hours may pass until the end
            print(f"\n{wrong[-1]}", flush=True)
    assert wrong == []


def test_the_page_says_how_commands_end(judged: dict[str, list[Cell]]) -> None:
    """docs/damages.md has the exit code of each cell that was tried; `make test-damages` writes it."""
    cells_judged = [cell for of_kind in judged.values() for cell in of_kind]
    if WHOLE and judged.keys() == KINDS.keys():
        PAGE.write_text(page_of(cells_judged), "utf-8")
        print(f"\n{len(cells_judged):,} cells: {Counter(cell.code for cell in cells_judged)}")
    said = codes_on(PAGE.read_text("utf-8"))
    assert said.keys() == set(damages())
    others = [
        cell
        for cell in cells_judged
        if said[cell.kind, cell.harm].get(cell.command, cell.code) != cell.code
    ]
    assert others == []


def test_the_table_is_large_and_its_share_has_every_damage() -> None:
    """At least 300 cells in all; the share of the suite has each command, and each kind of file
    with most of its harms.
    """
    share = [cell for kind in KINDS for cell in chosen(kind)]
    assert len(list(cells(COMMANDS))) >= 3_000
    assert len(share) >= 150
    assert {command for _, _, command in share} == set(COMMANDS)
    harms = Counter(kind for kind, _, _ in share)
    assert min(harms.values()) >= 3, harms

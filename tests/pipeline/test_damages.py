"""Every command on an output of which a file is damaged: one line that names it, nothing lost.

A table of commands by damages, generated from what tests/damages.py lists. The suite judges a share
of it, in which every damage and every command stands; `make test-damages` judges all and prints it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.damage_cells import COMMANDS, QUICK, SLOW, Cell, Judge, cells
from tests.damages import KINDS, World, make_world

WHOLE = os.environ.get("CATALOG_ENRICH_DAMAGES") == "all"
# Of cells of quick and of slow commands, one of so many is judged in the suite.
QUICK_SHARE, SLOW_SHARE = 23, 307


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


def chosen(kind: str) -> list[tuple[str, str, str]]:
    """The cells of a kind of file that are judged: all, or a share that is the same every time."""
    shares = ((QUICK, QUICK_SHARE), (SLOW, SLOW_SHARE))
    found = []
    for commands, share in shares:
        every = list(cells(commands))
        of_kind = [cell for number, cell in enumerate(every) if WHOLE or number % share == 0]
        found += [cell for cell in of_kind if cell[0] == kind]
    return found


def as_table(judged: list[Cell]) -> str:
    """A line for each damage: the exit code of each command, and what one of them said."""
    by_damage: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in judged:
        by_damage.setdefault((cell.kind, cell.harm), {})[cell.command] = cell
    lines = []
    for (kind, harm), row in by_damage.items():
        codes = " ".join(f"{row[c].code:>2}" if c in row else " ." for c in COMMANDS)
        told = max((cell.told for cell in row.values() if cell.code), key=len, default="")
        lines.append(f"{kind:17}{harm:16}{codes}  {told[:150]}")
    return "\n".join(lines)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damage_is_one_line_and_costs_nothing_else(
    world: World, tmp_path: Path, kind: str
) -> None:
    """Whatever is done to a file of an output, each command either does what it does without the
    damage, or says in one line which file is no use and what mends it; no traceback, no other
    result in silence, no sound file gone, nothing paid twice but what the file held.
    """
    judge = Judge(world, tmp_path / "cell")
    judged = [judge.cell(*cell) for cell in chosen(kind)]
    if WHOLE:
        print(f"\n{as_table(judged)}")
    wrong = [f"{c.kind}, {c.harm}, {c.command}: {why}" for c in judged for why in c.wrong]
    assert wrong == []


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

"""docs/damages.md: what every command does on every damage, as the judged cells are.

CATALOG_ENRICH_DAMAGES=all pytest tests/pipeline/test_damages.py (`make test-damages`) writes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.damage_cells import COMMANDS, SLOW, Cell, cells
from tests.damages import KINDS, damages
from tests.support import ROOT

PAGE = ROOT / "docs" / "damages.md"
# Among others a lock that nobody can read, for which a run waits a minute: see `cells`.
NOT_TRIED = "·"
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_BUCKET = re.compile(r"bucket-\d{5}")
_SIZE = re.compile(r"\d[\d,]*(?= bytes| were written)")
_DIGEST = re.compile(r"[0-9a-f]{32,64}")
_MOST_CHARS = 160
_HEAD = """# What commands do when files are damaged
<!-- Written by `make test-damages` from what it saw; a test compares a share of it. -->

Each command is called on an output in which one file is damaged in one way: {cells:,} cells. A number is the exit code
(0 done, 1 the gate refused or something differs, 2 the call makes no sense, 3 broken off). In none is there a traceback, a sound file that is gone,
another result without a word, or an answer that is paid twice. `{blank}`: not tried. Harms stand together where all that was tried of them
ended alike; of commands that make items (from `doctor` on) {slow} was tried.

What the files are is in [operations](operations.md#when-files-are-damaged). Harms: *flipped* is one bit, near the beginning, in
the middle or near the end; *of another run* is the same file of another output; *swapped* is exchanged with its neighbour; *older* is that of the
snapshot before; *newer version* is as a later version of this program may write it; *mistyped* has values of other types; *a link* leads to the whole
file elsewhere, as an archive leaves it, *a dead link* to nothing.
"""

Row = Mapping[str, int]


def page_of(judged: Sequence[Cell]) -> str:
    """Return the page that says what was seen."""
    share = sum(cell.command in SLOW for cell in judged) / len(list(cells(SLOW)))
    slow = "every cell" if share == 1 else f"{share:.0%} of the cells"
    lines = [_HEAD.format(cells=len(judged), blank=NOT_TRIED, slow=slow), _head_of_table()]
    for kind in KINDS:
        lines += _lines_of_kind(kind, [cell for cell in judged if cell.kind == kind])
    lines += ["", "## What is said", "", "| file | harm | command | line |", "| --- " * 4 + "|"]
    lines += map(_told_line, _tellings(judged))
    return "\n".join([*lines, ""])


def _head_of_table() -> str:
    names = [f"`{name}`" for name in COMMANDS]
    return "\n".join([f"| file | harm | {' | '.join(names)} |", "| --- " * (2 + len(names)) + "|"])


def _lines_of_kind(kind: str, judged: Sequence[Cell]) -> Iterator[str]:
    """Yield a line for harms that end all commands alike, as far as they were tried."""
    by_harm: dict[str, dict[str, int]] = {}
    for cell in judged:
        by_harm.setdefault(cell.harm, {})[cell.command] = int(cell.code)
    alike: list[tuple[list[str], dict[str, int]]] = []
    for harm, codes in by_harm.items():
        for harms, seen in alike:
            if all(seen.get(name, code) == code for name, code in codes.items()):
                harms.append(harm)
                seen.update(codes)
                break
        else:
            alike.append(([harm], dict(codes)))
    for harms, seen in alike:
        named = "any" if len(harms) == len(by_harm) > 1 else ", ".join(harms)
        shown = (str(seen.get(name, NOT_TRIED)) for name in COMMANDS)
        yield f"| {kind} | {named} | {' | '.join(shown)} |"


def _tellings(judged: Iterable[Cell]) -> Iterator[Cell]:
    """Yield of each kind of file one cell for each line that commands break off with."""
    seen = set()
    for cell in judged:
        # One harm tells as much as another where only the library's words differ.
        key = (cell.kind, _plain(cell.told).partition(" (")[0])
        if cell.code in (2, 3) and key not in seen:
            seen.add(key)
            yield cell


def _told_line(cell: Cell) -> str:
    told = _plain(cell.told).replace("|", r"\|")
    shown = told if len(told) <= _MOST_CHARS else f"{told[:_MOST_CHARS]}…"
    return f"| {cell.kind} | {cell.harm} | `{cell.command}` | {shown} |"


def _plain(told: str) -> str:
    return _SIZE.sub("N", _DIGEST.sub("DIGEST", _BUCKET.sub("bucket-N", _RUN_ID.sub("RUN", told))))


def codes_on(page: str) -> dict[tuple[str, str], Row]:
    """Return kind and harm → command → exit code, as the page has them."""
    harms: dict[str, list[str]] = {}
    for kind, harm in damages():
        harms.setdefault(kind, []).append(harm)
    found: dict[tuple[str, str], Row] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) != 2 + len(COMMANDS) or cells[0] not in KINDS:
            continue
        kind, named, *codes = cells
        by_command = zip(COMMANDS, codes, strict=True)
        row = {name: int(code) for name, code in by_command if code != NOT_TRIED}
        for harm in harms[kind] if named == "any" else named.split(", "):
            found[kind, harm] = row
    return found

"""What each behaviour costs 24 items, as a table: from runs of the real client in the real dialogue."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from schemas.texts import one_line
from tests.chat_server import SURE
from tests.misbehaviour import ALL, HABITS, HonestServer, HostileServer
from tests.misbehaviour.contract import USED, Behaviour
from tests.misbehaviour.ends import ENDINGS, Ending
from tests.misbehaviour.values import BEHAVIOURS as VALUES
from tests.servers.conformance import ITEMS, Outcome, ask_items
from tests.support import ROOT
from transforms.models.http.servers.remedies import told

PAGE = ROOT / "docs" / "misbehaviour.md"
BEGIN = "<!-- behaviours: written by `python -m tests.misbehaviour` -->"
END = "<!-- behaviours end -->"
# Less than an answer takes that never ends, more than an honest one does.
TIMEOUT_SECS = 2.0
MOST_SAID_CHARS = 360
EVERY, FIRST = range(ITEMS), (0,)
_HEAD = (
    "| behaviour | the server ... | items kept | values lost | values wrong | calls beyond one an "
    "item | the terminal says |\n" + "| --- " * 7 + "|"
)


class Case(NamedTuple):
    """A behaviour as it is met. marker: in the text of the items `marked`."""

    name: str
    does: str
    source: str
    marker: str
    marked: Sequence[int]


@dataclass(frozen=True)
class Row:
    """What one case came to, beside an honest server."""

    case: Case
    kept: int
    lost: int
    wrong: int
    calls: int
    said: str

    @property
    def wasted(self) -> int:
        """Calls beyond one an item; all of them where the run was ended."""
        return self.calls - ITEMS if self.kept else self.calls

    def written(self) -> str:
        about = f"{self.case.does} ({self.case.source})" if self.case.source else self.case.does
        cells = (
            f"`{self.case.name}`",
            about,
            f"{self.kept} of {ITEMS}",
            f"{self.lost:,}",
            f"{self.wrong:,}",
            f"{self.wasted:,}",
            self.said or "–",
        )
        return f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |"


def cases() -> dict[str, list[Case]]:
    """Title → the cases below it."""

    def of(name: str, about: Behaviour | Ending, script: str, marked: Sequence[int]) -> Case:
        return Case(name, about.does, about.source, f"[server: {script}] {SURE}", marked)

    every = {name: each for name, each in {**HABITS, **ALL}.items() if each.comes_to == USED}
    single = {name: each for name, each in ALL.items() if each.comes_to != USED}
    passing = {name: each for name, each in ALL.items() if each.passes}
    return {
        "Every answer is so": [
            of(name, each, name, EVERY) for name, each in every.items() if name != "ok"
        ],
        "Every question meets it once, and is answered when it is sent again": [
            of(f"{name}, once", each, f"{name} ok", EVERY) for name, each in passing.items()
        ],
        f"One item of {ITEMS} meets it, always": [
            of(name, each, name, FIRST) for name, each in single.items()
        ],
        f"Single values of one item of {ITEMS}": [
            of(name, each, name, EVERY if each.comes_to == USED else FIRST)
            for name, each in VALUES.items()
        ],
        "No question can be answered: the run ends": [
            of(name, each, name, EVERY) for name, each in ENDINGS.items()
        ],
    }


def measure(case: Case) -> Row:
    """The row of a case, from a run against it and one against an honest server."""
    slow = {"drip", "hang", "whitespace", "headers-without-end", "half-and-silence"}
    is_slow = case.name.removesuffix(", once") in slow
    options = {"busy_secs": 0, "api_key_env": "MISBEHAVIOUR_KEY"}
    with tempfile.TemporaryDirectory() as folder, HostileServer() as server:
        found = ask_items(
            server,
            Path(folder),
            marker=case.marker,
            marked=case.marked,
            timeout_secs=TIMEOUT_SECS if is_slow else 20.0,
            **options,
        )
    with tempfile.TemporaryDirectory() as folder, HonestServer() as honest:
        right = ask_items(honest, Path(folder), marker=case.marker, marked=case.marked, **options)
    values = {key: value for key, value in found.values.items() if right.values.get(key) != value}
    lost = 0 if found.ended else len(right.values.keys() - found.values.keys())
    said = one_line(_said(found).replace(server.url, "SERVER"), MOST_SAID_CHARS, " ...")
    return Row(case, found.kept, lost, len(values), found.calls, said)


def _said(found: Outcome) -> str:
    """What the run says: why it ended, else what failed most, else what was repaired."""
    if found.ended:
        return found.ended
    failed = told(found.usage.failed_words, found.usage.items)
    repaired = found.usage.repaired_answers.items()
    return "; ".join(failed or [f"answers repaired: {what} {n:,}" for what, n in repaired])


def table() -> str:
    """All tables, with their sums before them."""
    rows = {title: [measure(each) for each in listed] for title, listed in cases().items()}
    tables = [
        line
        for title, listed in rows.items()
        for line in ("", f"### {title}", "", _HEAD, *(row.written() for row in listed))
    ]
    return "\n".join([BEGIN, "", *_sums(rows), *tables, "", END])


def _sums(rows: dict[str, list[Row]]) -> Iterator[str]:
    flat = [row for listed in rows.values() for row in listed]
    going = [row for row in flat if row.kept]
    yield (
        f"{len(flat)} behaviours. Values wrong: {sum(row.wrong for row in flat)}. Calls beyond one an "
        f"item: {statistics.median(row.wasted for row in flat):g} in the median, "
        f"{max(row.wasted for row in going)} at most where the run goes on. Behaviours that lose all "
        f"items: {len(flat) - len(going)}, each of which ends the run within "
        f"{max(row.calls for row in flat if not row.kept)} calls, with what to do."
    )


def page_with(table_text: str) -> str:
    """The page with these tables in place of those that it has."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + table_text + rest.partition(END)[2]

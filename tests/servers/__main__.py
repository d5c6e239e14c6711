"""Writes the conformance table of docs/models.md from runs against the emulators.

python -m tests.servers
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers.conformance import ITEMS, ask_items
from tests.servers.emulator import COMPLAINT, Emulator
from tests.servers.registry import SERVERS, needed_options
from tests.support import ROOT
from transforms.models.http.servers.capabilities import Capabilities
from transforms.models.http.servers.kept import KeptCapabilities
from transforms.models.http.servers.table import known_servers

# A page of its own would be one more to find: this one says what the words mean.
PAGE = ROOT / "docs" / "models.md"
BEGIN, END = (
    "<!-- conformance: written by `python -m tests.servers` -->",
    "<!-- conformance ends -->",
)
_HEAD = (
    "| server | items kept | pictures | schema | log-probabilities | left out | thinking off by | "
    "errors | refused calls in the first run | calls an item then |\n" + "| --- " * 10 + "|"
)
_FORMATS = {
    "strict": "strict",
    "schema": "not strict",
    "value": "as `value`",
    "json_object": "JSON mode, schema in the prompt",
    "none": "in the prompt",
}


@dataclass(frozen=True)
class Row:
    """What a run against a server whose host is not known showed."""

    name: str
    kept: int
    first_calls: int
    later_calls: int
    with_logprobs: bool
    takes: Capabilities
    sees: bool
    switch: str
    errors: str

    def written(self) -> str:
        """The row of the table."""
        takes = self.takes
        left_out = [
            *(() if takes.length_field == "max_tokens" else ("`max_tokens`",)),
            *(() if takes.temperature else ("`temperature`",)),
            *(() if takes.seed_field == "seed" else ("`seed`",)),
            *(() if takes.logprobs else ("`logprobs`",)),
            *(f"`{keyword}`" for keyword in takes.schema_without),
        ]
        by_word = "no: the model's words" if not self.with_logprobs else "yes"
        cells = (
            self.name,
            f"{self.kept} of {ITEMS}",
            "yes" if self.sees else "no: texts alone, `--max-pictures 0`",
            _FORMATS[takes.response_format],
            by_word,
            ", ".join(left_out) or "nothing",
            self.switch,
            self.errors,
            str(self.first_calls - ITEMS),
            f"{self.later_calls / ITEMS:g}",
        )
        return f"| {' | '.join(cells)} |"


def table() -> str:
    """The table, from one run against each emulator and a second one by what was learnt."""
    known = "| `--server` | server | found by its host | as of | sources |\n" + "| --- " * 5 + "|"
    rows = [
        f"| `{each.name}` | {each.title} | {'yes' if each.host else 'no'} | {each.as_of} | {each.sources} |"
        for each in known_servers().values()
    ]
    ran = [row.written() for row in _rows()]
    return "\n".join([BEGIN, "", _HEAD, *ran, "", known, *rows, "", END])


def _rows() -> Iterator[Row]:
    for name, kind in SERVERS.items():
        with tempfile.TemporaryDirectory() as folder, kind() as server:
            yield _row(name, server, Path(folder))


def _row(name: str, server: Emulator, folder: Path) -> Row:
    learnt = str(folder / "learnt")
    options = {"learnt_dir": learnt, **needed_options(server)}
    sees = ask_items(server, folder / "look", items=1, **options).kept == 1
    # What this one has taught is forgotten.
    shutil.rmtree(learnt, ignore_errors=True)
    first = ask_items(server, folder / "first", sees=sees, **options)
    later = ask_items(server, folder / "later", sees=sees, **options)
    kept = KeptCapabilities(learnt, server.url, server.model).load() or {}
    takes = Capabilities().but(kept)
    known = known_servers()[server.name].capabilities.thinking_switch
    switch = {"none": "–"}.get(known, f"`{known.replace('effort_', 'reasoning_effort=')}`")
    broken = ask_items(server, folder / "broken", sees=sees, marker="[server: complain]", **options)
    is_told = broken.message.endswith(COMPLAINT) and "{" not in broken.message
    errors = f"their message, {ITEMS - broken.kept} item lost" if is_told else "as they come"
    return Row(
        name, first.kept, first.calls, later.calls, first.measured, takes, sees, switch, errors
    )


def page_with(table_text: str) -> str:
    """The page with this table in place of the one that it has."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return before + table_text + rest.partition(END)[2]


def main() -> None:
    PAGE.write_text(page_with(table()), "utf-8")
    print(f"{PAGE}: {len(SERVERS)} servers, {len(known_servers())} rows in the table of servers")


if __name__ == "__main__":
    main()

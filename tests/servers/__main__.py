"""Writes the conformance tables of docs/models.md from runs against the emulators.

python -m tests.servers

Where CATALOG_ENRICH_GATEWAY_PYTHON names the interpreter of `make test-gateway`, also what a real LiteLLM proxy shows;
else that stays as it is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gateway.proxy import (
    KEY,
    PYTHON,
    UPSTREAMS,
    Proxied,
    alias_of,
    dropping,
    serving,
)
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
REAL = "LiteLLM proxy (real)"
# Behind it in that row; the emulator of LiteLLM is one of the same.
FIRST = "Anthropic, its own API"
BEGIN_BEHIND, END_BEHIND = "<!-- behind a LiteLLM proxy -->", "<!-- behind it ends -->"
_BEHIND = (
    "| behind a real LiteLLM proxy | items kept | pictures | schema | left out | refused calls in the first run | "
    "with `drop_params: true` | refused calls |\n" + "| --- " * 8 + "|"
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
        by_word = "no: the model's words" if not self.with_logprobs else "yes"
        cells = (
            self.name,
            f"{self.kept} of {ITEMS}",
            self._pictures(),
            _FORMATS[takes.response_format],
            by_word,
            self._left_out(),
            self.switch,
            self.errors,
            str(self.first_calls - ITEMS),
            f"{self.later_calls / ITEMS:g}",
        )
        return f"| {' | '.join(cells)} |"

    def behind(self, name: str, dropped: Row) -> str:
        """The row of who is behind a gateway; dropped: where that drops parameters."""
        cells = (
            name,
            f"{self.kept} of {ITEMS}",
            self._pictures(),
            _FORMATS[self.takes.response_format],
            self._left_out(),
            str(self.first_calls - ITEMS),
            f"{dropped.kept} of {ITEMS}",
            str(dropped.first_calls - ITEMS),
        )
        return f"| {' | '.join(cells)} |"

    def _pictures(self) -> str:
        return "yes" if self.sees else "no: texts alone, `--max-pictures 0`"

    def _left_out(self) -> str:
        takes = self.takes
        left_out = [
            *(() if takes.length_field == "max_tokens" else ("`max_tokens`",)),
            *(() if takes.temperature else ("`temperature`",)),
            *(() if takes.seed_field == "seed" else ("`seed`",)),
            *(() if takes.logprobs else ("`logprobs`",)),
            *(f"`{keyword}`" for keyword in takes.schema_without),
        ]
        return ", ".join(left_out) or "nothing"


def table() -> str:
    """The table, from one run against each emulator and a second one by what was learnt."""
    known = "| `--server` | server | found by its host | as of | sources |\n" + "| --- " * 5 + "|"
    rows = [
        f"| `{each.name}` | {each.title} | {'yes' if each.host else 'no'} | {each.as_of} | {each.sources} |"
        for each in known_servers().values()
    ]
    row, behind = through_gateway() if PYTHON else kept_of_gateway()
    ran = [each.written() for each in _rows()]
    tables = ["", _HEAD, *ran, row, "", BEGIN_BEHIND, "", behind, "", END_BEHIND]
    return "\n".join([BEGIN, *tables, "", known, *rows, "", END])


def _rows() -> Iterator[Row]:
    for name, kind in SERVERS.items():
        with tempfile.TemporaryDirectory() as folder, kind() as server:
            yield _row(name, server, Path(folder), **needed_options(server))


def kept_of_gateway() -> tuple[str, str]:
    """The row of the real LiteLLM proxy and the table of who is behind it, as the page has them."""
    page = PAGE.read_text("utf-8")
    row = next((line for line in page.splitlines() if line.startswith(f"| {REAL}")), "")
    return row, page.partition(BEGIN_BEHIND)[2].partition(END_BEHIND)[0].strip()


def through_gateway() -> tuple[str, str]:
    """The same from runs through it."""
    os.environ["CONFORMANCE_GATEWAY_KEY"] = KEY
    lines: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as made, serving(Path(made)) as (gateway, _):
        folder = Path(made)
        for name in UPSTREAMS:
            asked = {
                alias: _row(
                    REAL if name == FIRST else name,
                    Proxied(gateway, alias),
                    folder / alias.replace("/", " "),
                    api_key_env="CONFORMANCE_GATEWAY_KEY",
                )
                for alias in (alias_of(name), dropping(name))
            }
            usual, dropped = asked.values()
            if name == FIRST:
                first = usual.written()
            lines[name] = usual.behind(name, dropped)
    return first, "\n".join([_BEHIND, *lines.values()])


def _row(name: str, server: Emulator | Proxied, folder: Path, **needed: Any) -> Row:
    folder.mkdir(exist_ok=True)
    learnt = str(folder / "learnt")
    options = {"learnt_dir": learnt, **needed}
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

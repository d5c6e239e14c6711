"""Does reading a text from outside take a time that grows with its length, whatever it holds?

    python -m benchmarks.growth [--only NAME] [--random 200] [--worst 2.5] [--markdown]

Each parser of outside text (benchmarks/parsers.py) is given texts that are long in the worst ways:
one sign over and over, what opens and never closes, what nearly fits, and random pieces of these.
A text is made longer until reading it takes a time that can be measured; then it is read at one,
two and four times that size. Printed is the largest growth from one size to its double; 2 is
linear. Exit code 1 where one is above --worst.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.parsers import parsers

# Below this, a time says more of the clock than of the work.
LEAST_SECS = 0.004
_NUMBERS = itertools.count(100)
SMALLEST, LARGEST = 1 << 10, 1 << 16
PIECES = (
    *("a", " ", "1", "(", "[", "{", '{"', '"', "'", "\\", "<", "</", "<!--", "&", "&#", ",", ":"),
    *("1,", "1.", "1 x ", "1x", "1 kg ", "a:1;", "a: 1, ", "[1,", '{"a":', "<b>", "&amp;", "\n"),
    *("- ", "1/", "12.12.", "€", "€ 1", "1 - ", "Ã¼", "\\u00e4", "=>", "%20", "http://a/", "aA1"),
    *("no ", "not a ", "red ", "10 x 20 x ", "9781234567897", "0", "é", "\ufeff", "EUR ", "a\x00"),
    *(
        "e\u0301",
        "\u0301",
        "½",
        ";",
        "|",
        "\t",
        "=",
        "a=b|",
        "''",
        '",',
        "'a',",
        "`",
        "~~~",
        "]",
        "}",
    ),
    *("http://", "//a:", "@", "?a=", "%", "#", "/", ".", "..", "a.b.", "_", "x", "<think>", "</b>"),
)
BEGINNINGS = ("", "{", '{"a": "', "[", "<p>", '```json\n{"', "<think>", "1.", "9", "a:", "http://")
ENDS = ("", "!", "x", "\n", '"', "1")


@dataclass(frozen=True)
class Nasty:
    """A text of any size: a beginning, a piece over and over, an end."""

    beginning: str
    piece: str
    end: str = ""

    def __str__(self) -> str:
        return repr(f"{self.beginning}{self.piece}...{self.end}")[1:-1]

    def text(self, chars: int) -> str:
        """Return it with about so many characters."""
        return self.beginning + self.piece * (chars // len(self.piece) + 1) + self.end


@dataclass(frozen=True)
class Growth:
    """The largest growth of a parser from one size to its double, of which text, at which size.

    longest: the longest time that was measured, in seconds, and of how many characters.
    """

    rate: float = 0.0
    of: str = ""
    chars: int = 0
    longest: float = 0.0
    longest_chars: int = 0


def texts(count: int = 0, seed: int = 0) -> Iterator[Nasty]:
    """Yield every piece over and over, and so many random compositions of them."""
    for piece in PIECES:
        yield Nasty("", piece)
    yield from random_texts(count, seed)


def random_texts(count: int, seed: int = 0) -> Iterator[Nasty]:
    """Yield texts of up to four pieces in a row, behind up to two others."""
    chosen = random.Random(seed)
    for _ in range(count):
        pieces = chosen.choices(PIECES, k=chosen.randint(1, 4))
        beginning = "".join(chosen.choices((*BEGINNINGS, *PIECES), k=chosen.randint(0, 2)))
        yield Nasty(beginning, "".join(pieces), chosen.choice(ENDS))


def seconds(parse: Callable[[str], Any], text: str, tries: int = 1) -> float:
    """Return the least processor time of several tries; what is raised counts as read."""
    least = float("inf")
    gc.disable()  # a collection looks at all that this process has loaded
    try:
        for _ in range(tries):
            # Another text each time, of the same kind: what was read last is kept in places.
            tried = f"{text} {next(_NUMBERS)}"
            began = time.process_time()
            with suppress(Exception):  # the time is asked for, not the result
                parse(tried)
            least = min(least, time.process_time() - began)
    finally:
        gc.enable()
    return least


def _least(parse: Callable[[str], Any], text: str) -> float:
    """Return the time for a text, taken twice where it is long: the first may load something."""
    took = seconds(parse, text)
    return took if took < LEAST_SECS else min(took, seconds(parse, text))


def measured(parse: Callable[[str], Any], nasty: Nasty, worst: float) -> Growth:
    """Return how the time for a text grows.

    A growth above `worst` is looked at again, at sizes twice as large and with more tries.
    """
    chars, took = SMALLEST, 0.0
    while (took := _least(parse, nasty.text(chars))) < LEAST_SECS and chars < LARGEST:
        chars *= 2
    if took < LEAST_SECS:
        return Growth(longest=took, longest_chars=chars)
    last, rate = took, 0.0
    for tries in (1, 3, 5):
        # In turn, so that a phase in which the machine is slow falls on both sizes.
        pairs = [
            (seconds(parse, nasty.text(chars)), seconds(parse, nasty.text(4 * chars)))
            for _ in range(tries)
        ]
        took, last = map(min, zip(*pairs, strict=True))
        rate = (last / max(took, LEAST_SECS / 4)) ** 0.5
        if rate <= worst or last > 3:
            break
        chars *= 2
    return Growth(rate, str(nasty), chars, last, 4 * chars)


def growth(parse: Callable[[str], Any], nasty: Iterable[Nasty], worst: float = 2.5) -> Growth:
    """Return the largest growth over texts, and the longest time a character of them."""
    largest = Growth()
    for each in nasty:
        found = measured(parse, each, worst)
        slowest = max(largest, found, key=lambda one: one.longest / max(1, one.longest_chars))
        fastest_growing = max(largest, found, key=lambda one: one.rate)
        largest = Growth(
            fastest_growing.rate,
            fastest_growing.of,
            fastest_growing.chars,
            slowest.longest,
            slowest.longest_chars,
        )
    return largest


def main() -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="parsers in whose names this stands")
    parser.add_argument("--random", type=int, default=200, help="random texts besides")
    parser.add_argument("--seed", type=int, default=0, help="of the random texts")
    parser.add_argument("--worst", type=float, default=2.5, help="largest growth that passes")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    rows, failed = [], False
    for name, parse in parsers().items():
        if options.only not in name:
            continue
        found = growth(parse, texts(options.random, options.seed), options.worst)
        failed |= found.rate > options.worst
        rate = f"{found.rate:.2f}" if found.rate else "-"
        micros = f"{1e6 * found.longest / max(1, found.longest_chars):.2f}"
        rows.append((name, rate, found.of, micros))
        print(*rows[-1], found.chars, sep="\t", file=sys.stderr, flush=True)
    _show(rows, markdown=options.markdown)
    return int(failed)


def _show(rows: list[tuple[str, str, str, str]], *, markdown: bool) -> None:
    heads = ("parser", "growth", "of", "µs a character")
    if markdown:
        print("| " + " | ".join(heads) + " |\n|" + 4 * " --- |")
        for name, rate, of, micros in rows:
            shown = "`` " + of.replace("|", "\\|") + " ``" if of else ""
            print(f"| {name} | {rate} | {shown} | {micros} |")
        return
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    Console(width=100, markup=False).print(table)


if __name__ == "__main__":
    sys.exit(main())

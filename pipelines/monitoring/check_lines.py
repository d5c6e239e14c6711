"""A check of the gate in words: what was found, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.snapshots.manifest import CheckEntry


def check_lines(check: CheckEntry) -> Iterator[str]:
    """Yield the lines of a failed check: what was expected and found, and what to do."""
    yield check_line(check)
    if check.fix:
        yield f"  {check.id}: {check.fix}"


def check_line(check: CheckEntry) -> str:
    """Return a failed check in one line: what was expected, where, how often it fails, examples."""
    frame, _, column = check.column.partition(".")
    if frame == "drift" and check.examples:
        # The first example is how far it is, the others what it was and is.
        found, *details = check.examples
        return f"{check.severity}: {check.check}: it is {_number(found)} ({'; '.join(details)})"
    if frame == "run" and check.examples:
        said = column.replace("_", " ")
        # What reading the files found is named; how many there are stands in the report.
        if not _is_number(check.examples[0]):
            examples = ", ".join(check.examples)
            return f"{check.severity}: {check.check}: {said}, for example {examples}"
        # The frame has one row: its value says more than how many rows do not fit.
        limits = _limits(check.expected.get("min_value"), check.expected.get("max_value"))
        found = f"{said} is {_number(check.examples[0])}, expected {limits}"
        return f"{check.severity}: {check.check}: {found}"
    counts = f"{check.unexpected:,} of {check.values:,} values do not fit"
    examples = f", for example {', '.join(check.examples)}" if check.examples else ""
    return f"{check.severity}: {check.check} ({check.column}: {counts}{examples})"


def _limits(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {_number(high)}" if low is None else f"at least {_number(low)}"
    return _number(low) if low == high else f"between {_number(low)} and {_number(high)}"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _number(value: Any) -> str:
    """Format a count, or a share to four places.

    >>> _number("12000.0"), _number(0.33333333)
    ('12,000', '0.3333')
    """
    number = float(value)
    return f"{number:,.0f}" if number.is_integer() else f"{number:,.4f}".rstrip("0")

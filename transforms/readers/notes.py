"""What the people who run a catalog are told of how it was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transforms.readers.contract import AROUND, LINE_KINDS, SplitReport

MAX_EXCERPT_CHARS = 60


def reading_notes(inputs: Sequence[SplitReport]) -> Iterator[str]:
    """Yield how files were read that are not written as their format usually is, and which of their
    lines are no records.
    """
    ways: dict[str, list[str]] = {}
    for each in inputs:
        if each.read_as:
            ways.setdefault(each.read_as, []).append(each.path)
    for way, paths in ways.items():
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        yield f"{paths[0]}{more}: read as {way}"
    for each in inputs:
        for kind, excerpt in each.left_out.items():
            if kind == AROUND:
                yield f"{each.path}: around its records stands {excerpt[:MAX_EXCERPT_CHARS]!r}"
                continue
            number = each.lines[kind]
            lines = "1 line is" if number == 1 else f"{number:,} lines are"
            yield f"{each.path}: {lines} {LINE_KINDS[kind]}: {excerpt[:MAX_EXCERPT_CHARS]!r}"

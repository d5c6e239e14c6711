"""When a record changed, and which words of it stand for nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from pipelines.drafting.names import is_called
from pipelines.drafting.profile import Column, Profile
from transforms.normalise.timestamps import is_moment

_TIME_NAME = re.compile(r"updat|modif|chang|creat|publish|timestamp|date|_at$|_ts$", re.IGNORECASE)


def find_times(profile: Profile) -> list[str]:
    """Columns that say when a record changed, the latest kind first."""
    return sorted(
        (
            column.name
            for column in profile.columns.values()
            if (is_called(column.name, "changed") or _TIME_NAME.search(column.name))
            and _are_times(column)
        ),
        key=lambda name: (not re.search(r"updat|modif|chang", name, re.IGNORECASE), name),
    )


def _are_times(column: Column) -> bool:
    samples: Sequence[Any] = column.samples[:100]
    return bool(samples) and sum(is_moment(each) for each in samples) >= 0.9 * len(samples)


def null_words(profile: Profile) -> Iterator[str]:
    """Texts that stand for nothing in this catalog, in lower case."""
    yield from sorted(
        {word.casefold() for column in profile.columns.values() for word in column.null_words}
    )

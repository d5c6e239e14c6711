"""Columns that stand in the path of a file, as Hive and Spark write them:
`category=Kettles/country=DE/part-0.parquet`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote, unquote

Partitions = tuple[tuple[str, str | None], ...]
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_KEY = "partitions"


def partitions_in(path: str) -> Partitions:
    """Return the columns of the folders right above a file, from outside, with their values.

    >>> partitions_in("catalog/category=Home%2FKitchen/year=__HIVE_DEFAULT_PARTITION__/a.csv")
    (('category', 'Home/Kitchen'), ('year', None))
    """
    found: dict[str, str | None] = {}
    for folder in reversed(re.split(r"[/\\]", path)[:-1]):
        name, equals, value = folder.partition("=")
        if not equals or not name.strip() or "://" in name:
            break
        # The folder nearest to the file decides.
        found.setdefault(unquote(name), None if value in (_NO_VALUE, "") else unquote(value))
    return tuple(reversed(found.items()))


def with_partitions(spelled: str, partitions: Partitions) -> str:
    """Return the name of a record's format with the columns that its bytes do not hold.

    >>> with_partitions("parquet", (("country", "DE"),))
    'parquet;partitions=country%3DDE'
    """
    if not partitions:
        return spelled
    entries = "&".join(
        quote(name, safe="") + ("" if value is None else f"={quote(value, safe='')}")
        for name, value in partitions
    )
    return f"{spelled};{_KEY}={quote(entries, safe='')}"


@lru_cache(maxsize=256)
def partitions_of(spelled: str) -> Partitions:
    """Return what `with_partitions` was given.

    >>> partitions_of("parquet;partitions=country%3DDE"), partitions_of("jsonl")
    ((('country', 'DE'),), ())
    """
    parts: Mapping[str, str] = dict(part.split("=", 1) for part in spelled.split(";")[1:])
    entries: Sequence[str] = [each for each in unquote(parts.get(_KEY, "")).split("&") if each]
    pairs = (entry.partition("=") for entry in entries)
    return tuple(
        (unquote(name), unquote(value) if equals else None) for name, equals, value in pairs
    )

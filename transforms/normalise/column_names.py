"""Which column of the input a template means: by its whole name first, then apart from case and
spaces, and only then as a path with dots.

Exports call columns `SKU`, ` Title ` or `Image URLs (x,y,z...)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache


@lru_cache(maxsize=4096)
def folded(name: str) -> str:
    """Return a name without case, and with one space where it has white space.

    >>> folded(" Product\u00a0 Title ")
    'product title'
    """
    return " ".join(name.casefold().split())


def resolve(wanted: Iterable[str], names: Iterable[str]) -> Mapping[str, str]:
    """Return wanted name → the input's name, for those that the input has under another spelling.

    A name that two columns could be is not resolved.

    >>> dict(resolve(["sku", "title", "price"], ["SKU", "title", "Price", "PRICE"]))
    {'sku': 'SKU'}
    """
    there = set(names)
    by_folded: dict[str, list[str]] = {}
    for name in there:
        by_folded.setdefault(folded(name), []).append(name)
    found: dict[str, str] = {}
    for name in wanted:
        alike = by_folded.get(folded(name), [])
        if name not in there and len(alike) == 1:
            found[name] = alike[0]
    return found

"""Which column of the input a template means: by its whole name first, then apart from case and
spaces, then with the prefix of Google's names in feeds (`g:id`) or of attributes in XML (`@id`),
and only then as a path with dots.

Exports call columns `SKU`, ` Title ` or `Image URLs (x,y,z...)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from schemas.template import path_beginnings
from transforms.extraction.structures.paths import folded

# Before the names that Google documents in merchant feeds, and before attributes in XML.
_PREFIXES = ("g:", "@")


@lru_cache(maxsize=4096)
def spellings(name: str) -> tuple[str, ...]:
    """Return how a column may be called, folded, that a template calls so.

    >>> spellings("Image  Link")
    ('image link', 'g:image link', '@image link')
    """
    key = folded(name)
    return (key, *(f"{prefix}{key}" for prefix in _PREFIXES))


class ColumnNames:
    """The columns of an input, to be found by the names that a template has for them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._by_folded: dict[str, str | None] = {}
        for name in self._names:
            key = folded(name)
            self._by_folded[key] = None if key in self._by_folded else name

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def find(self, name: str) -> str | None:
        """Return the column of that very name, or the only one that differs in case and spaces, or
        by the prefix of Google's namespace or of attributes in XML.

        >>> names = ColumnNames(["SKU", "title", "Price", "PRICE"])
        >>> [names.find(name) for name in ("sku", "title", "price", "weight")]
        ['SKU', 'title', None, None]
        """
        if name in self._names:
            return name
        return next(
            (self._by_folded[each] for each in spellings(name) if each in self._by_folded), None
        )

    def locate(self, written: str) -> tuple[str, str | None] | None:
        """Return the column that a template's name means, and the path into its cells; None if
        there is none.

        The longest name of a column counts: the whole, or what is before a dot or a bracket.

        >>> ColumnNames(["Art.-Nr.", "images"]).locate("art.-nr.")
        ('Art.-Nr.', None)
        >>> ColumnNames(["a.b", "images"]).locate("Images[].hi_res")
        ('images', '[].hi_res')
        """
        whole = self.find(written)
        if whole is not None:
            return whole, None
        for at in reversed(path_beginnings(written)):
            column = self.find(written[:at])
            if column is not None:
                return column, written[at:].removeprefix(".")
        return None


def resolve(wanted: Iterable[str], names: Iterable[str]) -> Mapping[str, str]:
    """Return wanted name → the input's name, for those that the input has under another spelling.

    A name that two columns could be is not resolved.

    >>> dict(resolve(["sku", "title", "price"], ["SKU", "title", "Price", "PRICE"]))
    {'sku': 'SKU'}
    """
    columns = ColumnNames(names)
    found = ((name, columns.find(name)) for name in wanted)
    return {name: there for name, there in found if there is not None and there != name}

"""Which list of a JSON document holds its records: by what it is called, what its objects hold, and
how much of the document it takes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import orjson

from transforms.readers.clues.list_names import names_list, names_parts
from transforms.readers.contract import FileRefusedError

# What is said of the records where an object with lists of objects is itself one.
ITSELF = "."
KEY = re.compile(rb'"(?P<key>(?:[^"\\]|\\.)*)"\s*:|[{}\[\]]|"(?:[^"\\]|\\.)*"', re.DOTALL)
# White space between a list's bracket and its first object.
_INDENT_BYTES = 1_000
_SHOWN_LISTS = 5
_NAMED = 2
# An object with one of these is itself a record, whatever lists it has.
_RECORD_KEYS = frozenset(
    {"sku", "title", "name", "id", "product_id", "asin", "gtin", "ean", "isbn", "code"}
)
# Of records that are of one kind so many of the names are the same.
_SAME_KIND = 0.6
# A list that takes this share of what the largest takes may be the records as well.
_AS_LARGE = 0.5
# What a page of an interface says beside its records, in letters only.
_OF_PAGES = frozenset(
    re.findall(
        r"\S+",
        """
        page pages pageno pagenumber pagesize perpage pagecount totalpages total totalcount count
        size limit offset start next previous prev nextpage nexturl prevurl cursor nextcursor
        nextpagetoken pagetoken hasmore hasnext hasnextpage status success ok message error errors
        meta pagination paging links timestamp took took_ms currency language
        """,
    )
)
_BY_COLUMN = (
    "the file holds its table by columns, as pandas writes it; write one record a line: "
    "DataFrame.to_json(FILE, orient='records', lines=True)"
)
# Formats whose objects have a name and wrap their records all the same.
_WRAPPERS = (("type", "featurecollection"), ("version", "https://jsonfeed.org/"))


@dataclass
class Found:
    """A list of objects that is not within a list. size_bytes: at least; keys: of its objects."""

    path: tuple[str, ...]
    size_bytes: int
    keys: set[str] = field(default_factory=set)

    @property
    def rank(self) -> int:
        """Return how much its name speaks for it."""
        name = self.path[-1] if self.path else ""
        if names_list(name):
            # One that is empty today is still the list of records, if there is no other.
            return _NAMED if self.keys else 1
        return 0 if names_parts(name) else 1

    @property
    def is_named(self) -> bool:
        """Return whether it is called as lists of records are."""
        return self.rank == _NAMED

    def __str__(self) -> str:
        return ".".join(self.path)


def has_record_key(keys: Set[str]) -> bool:
    """Return whether keys are those of a record."""
    return bool(_RECORD_KEYS & {key.casefold() for key in keys})


def choose_list(found: Sequence[Found]) -> Found | None:
    """Return the list of records among all of a document, None where it has none.

    Raises FileRefusedError where another could be meant as well.
    """
    best = max(found, key=lambda each: (each.rank, each.size_bytes), default=None)
    if best is None or not best.keys:
        return best
    rivals = [each for each in found if each is not best and _is_rival(each, best)]
    if rivals:
        shown = " or ".join(map(str, [best, *rivals][:_SHOWN_LISTS]))
        raise FileRefusedError(
            [
                f"the file is one JSON object with several lists of objects, {shown}; say which "
                f"holds the records: input: {{records: {best}}} in the template, or "
                f"--input-as records={best}"
            ]
        )
    return best


def _is_rival(other: Found, best: Found) -> bool:
    if not other.rank:
        return False
    shared = len(best.keys & other.keys)
    is_same_kind = bool(shared) and shared >= _SAME_KIND * len(best.keys | other.keys)
    is_as_good = other.rank == best.rank and other.size_bytes >= _AS_LARGE * best.size_bytes
    return is_same_kind or is_as_good


def check_objects(first: dict[str, Any]) -> None:
    """Raise FileRefusedError where objects behind each other are pages of a list of records, by the
    first of them.
    """
    found = [each for each in lists_of(first, ()) if each.is_named and has_record_key(each.keys)]
    others = {key.casefold().replace("_", "") for key in first} - {
        each.path[0].casefold().replace("_", "") for each in found
    }
    if len(found) == 1 and others <= _OF_PAGES:
        raise FileRefusedError(
            [
                f"each object is a page of records in {found[0]}; write one record a line: "
                f"jq -c '.{found[0]}[]' FILE (or input: {{records: {ITSELF!r}}}, --input-as "
                f"records={ITSELF}, where each page is a record)"
            ]
        )


def _check_table(document: dict[str, Any]) -> None:
    """Raise FileRefusedError where a document without lists of objects is a table: records under
    their ids, or columns as pandas writes them.
    """
    values = list(document.values())
    if {"columns", "data"} <= document.keys() and isinstance(document["data"], list):
        raise FileRefusedError([_BY_COLUMN])
    if len(values) < 2 or not all(isinstance(each, dict) and each for each in values):
        return
    names = [set(each) for each in values]
    shared, every = set.intersection(*names), set.union(*names)
    if len(shared) * 2 < len(every):
        return
    if all(name.isdigit() for name in every):
        raise FileRefusedError([_BY_COLUMN])
    if has_record_key(shared) and not has_record_key(document.keys()):
        raise FileRefusedError(
            [
                "the file is one JSON object with the records under their ids; write one record a "
                "line: jq -c 'to_entries[] | {key} + .value' FILE (or input: {records: "
                f"{ITSELF!r}}}, where it is one record)"
            ]
        )


def list_of_document(document: dict[str, Any]) -> Found | None:
    """Return the list of records that a whole document wraps; None where it is a record.

    Raises FileRefusedError where both could be meant, or several lists.
    """
    found = list(lists_of(document, ()))
    if not found:
        _check_table(document)
    if has_record_key(document.keys()) and not _is_wrapper(document):
        for each in found:
            if each.is_named and len(each.path) == 1 and has_record_key(each.keys):
                raise FileRefusedError([_record_or_list(document, each)])
        return None
    best = choose_list(found)
    if best is not None and not best.rank:
        _check_lists_within(document, best)
    return best


def _is_wrapper(document: dict[str, Any]) -> bool:
    return any(str(document.get(key, "")).casefold().startswith(value) for key, value in _WRAPPERS)


def _record_or_list(document: dict[str, Any], found: Found) -> str:
    key = next(key for key in document if key.casefold() in _RECORD_KEYS)
    return (
        f"the file is one JSON object that may be a record itself, because it has {key!r}, or hold "
        f"the records in {found}; say which: input: {{records: {found}}} in the template, or "
        f"input: {{records: {ITSELF!r}}} where it is one itself (--input-as records=...)"
    )


def _check_lists_within(document: dict[str, Any], best: Found) -> None:
    """Raise FileRefusedError where the records stand in lists within the list of something else, as
    products in categories do.
    """
    value: Any = document
    for key in best.path:
        value = value[key]
    within = [
        each
        for entry in value
        for each in lists_of(entry, ())
        if each.is_named and has_record_key(each.keys)
    ]
    if within:
        path = f".{best}[].{within[0]}[]"
        raise FileRefusedError(
            [
                f"the records may be in {best} or, within each of these, in {within[0]}; for the "
                f"first write input: {{records: {best}}} into the template, for the others write "
                f"one object a line: jq -c '{path}' FILE"
            ]
        )


def lists_of(value: Any, path: tuple[str, ...]) -> Iterator[Found]:
    """Yield the lists of objects in a value, not those inside lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from lists_of(inner, (*path, key))
    elif isinstance(value, list) and not value and path and names_list(path[-1]):
        yield Found(path, 0)
    elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        keys = {key for each in value for key in each}
        yield Found(path, len(orjson.dumps(value)), keys)


def lists_in(text: bytes) -> Iterator[Found]:
    """Yield the lists of objects in a text whose end is not at hand, not those within lists; of
    those that do not end the bytes up to the end of the text.
    """
    names: list[str] = []
    begins: list[int | None] = []
    open_list: Found | None = None
    key, lists = "", 0
    for match in KEY.finditer(text):
        token, end = match[0], match.end()
        if match["key"] is not None:
            key = match["key"].decode("utf-8", "replace")
            # Of the objects right in the list.
            if open_list is not None and len(names) == len(open_list.path) + 2:
                open_list.keys.add(key)
        elif token in (b"{", b"["):
            following = text[end : end + _INDENT_BYTES].lstrip()[:1] if token == b"[" else b""
            holds_objects = following == b"{" or (following == b"]" and names_list(key))
            names.append(key)
            begins.append(end if holds_objects and not lists else None)
            if begins[-1] is not None:
                open_list = Found(tuple(names[1:]), 0)
            lists += token == b"["
            key = ""
        elif token in (b"}", b"]") and names:
            if (begin := begins.pop()) is not None and open_list is not None:
                open_list.size_bytes = end - begin
                yield open_list
                open_list = None
            names.pop()
            lists -= token == b"]"
    begin = next((each for each in begins if each is not None), None)
    if open_list is not None and begin is not None:
        open_list.size_bytes = len(text) - begin
        yield open_list

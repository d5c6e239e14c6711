"""Which elements of an XML document are its records: by their names, what they hold, how often they
come and where they stand. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transforms.readers.clues.list_names import names_list, names_parts, names_record
from transforms.readers.contract import FileRefusedError

Place = tuple[str, ...]
# In place of a name: all elements of a parent.
ALL = "*"
# What is said of the records where the outermost element is one.
_ITSELF = "."
_SHOWN_PLACES = 5
# Of other elements that hold so much of what a record holds, somebody has to decide.
_ALIKE = 0.5
# As the outermost element only these are a record: `<document>` and `<result>` hold them.
_RECORD_ROOTS = frozenset(
    ("item", "entry", "product", "offer", "article", "artikel", "produkt", "produit", "producto")
)
_KEYS = frozenset(("id", "sku", "title", "name", "ean", "gtin", "price"))
# Where the records of these feeds are, if there are any.
_EMPTY_FEEDS = {"rss": ("rss", "channel", "item"), "feed": ("feed", "entry")}
_CHANNEL = ("rss", "channel")
_EMPTY = "item"
# Outermost elements that are lists of records, whatever they hold besides.
_LISTS = frozenset(
    ("rss", "feed", "shop", "store", "export", "root", "xml", "document", "response")
)


@dataclass
class Seen:
    """Elements of one place. count: how many; parts: their children and attributes; names: of
    those.
    """

    count: int = 0
    parts: int = 0
    children: int = 0
    names: set[str] = field(default_factory=set)


def choose_place(seen: Mapping[Place, Seen]) -> Place:
    """Return the place of the records among those of a document, in its order.

    Raises FileRefusedError where that cannot be told.
    """
    known = [place for place, each in seen.items() if _is_called_record(place) and each.parts]
    candidates = known or _repeated(seen)
    if not candidates:
        return _only_record(seen)
    depth = min(map(len, candidates))
    nearest = [place for place in candidates if len(place) == depth]
    best = max(nearest, key=lambda place: len(seen[place].names))
    rivals = [each for each in seen if each != best and _is_rival(each, best, nearest, seen)]
    if rivals:
        raise FileRefusedError([_several(best, rivals)])
    return best


def _is_called_record(place: Place) -> bool:
    return names_record(place[-1]) and (len(place) > 1 or local(place[-1]).lower() in _RECORD_ROOTS)


def _repeated(seen: Mapping[Place, Seen]) -> list[Place]:
    """Return the places of elements that repeat and have parts of their own; not those that are
    called as parts of a record, such as its pictures, unless there are none but right below the
    outermost element.
    """
    repeated = [place for place, each in seen.items() if each.count > 1 and each.children]
    if not repeated:
        repeated = [place for place, each in seen.items() if each.count > 1 and each.parts > 1]
    others = [place for place in repeated if not names_parts(place[-1])]
    if others or not repeated:
        return others
    root: Place = next(iter(seen))
    below: list[Place] = [place for place in repeated if len(place) == 2]
    if below and _KEYS & {name.casefold() for name in seen[root].names}:
        shown = ".".join(below[0])
        raise FileRefusedError(
            [
                f"the records may be the elements {shown}, or {root[0]} is one record: write "
                f"input: {{records: {shown}}} or input: {{records: {_ITSELF!r}}} into the template "
                "(--input-as records=...)"
            ]
        )
    return below


def _is_rival(
    other: Place, best: Place, nearest: Sequence[Place], seen: Mapping[Place, Seen]
) -> bool:
    """Return whether another place could be that of the records as well: one that is as good, or
    one beside it whose elements hold about the same.
    """
    if names_parts(other[-1]):
        return False
    names, others = seen[best].names, seen[other].names
    if other in nearest:
        return len(others) >= _ALIKE * len(names)
    shared = len(names & others)
    return other[:-1] == best[:-1] and shared > 1 and shared >= _ALIKE * len(names)


def _several(best: Place, rivals: Sequence[Place]) -> str:
    shown = " or ".join(".".join(place) for place in (best, *rivals)[:_SHOWN_PLACES])
    named = ".".join(best)
    beside = any(each[:-1] == best[:-1] for each in rivals)
    all_of_them = f"; {'.'.join((*best[:-1], ALL))} is all that stand there" if beside else ""
    return (
        f"the records may be the elements {shown}; say which: "
        f"input: {{records: {named}}} in the template, or --input-as records={named}{all_of_them}"
    )


def _only_record(seen: Mapping[Place, Seen]) -> Place:
    """Return the place of the only record: the first element with several parts, within what is
    called as a list is. A feed without records has none.
    """
    root: Place = next(iter(seen))
    kind = local(root[0]).lower()
    is_list = kind in _LISTS or (names_list(root[0]) and not names_record(root[0]))
    within = [place for place, each in seen.items() if len(each.names) > 1]
    if is_list:
        within = [place for place in within if len(place) > 1 and not names_parts(place[-1])]
    elif not within:
        return root
    if within:
        # The feed itself names what it is about.
        return next((place for place in within if place != _CHANNEL), _EMPTY_FEEDS["rss"])
    if kind in _EMPTY_FEEDS:
        return _EMPTY_FEEDS[kind]
    return (*root, ALL if not seen[root].children else _EMPTY) if is_list else root


def named_place(seen: Mapping[Place, Seen], given: str, sample_bytes: int) -> Place:
    """Return the place that somebody named by its end; raises FileRefusedError."""
    if given == _ITSELF:
        return next(iter(seen))
    wanted = tuple(re.split(r"[./]+", given.strip("./")))
    if wanted[-1] == ALL and len(wanted) > 1:
        return (*named_place(seen, ".".join(wanted[:-1]), sample_bytes), ALL)
    found = [
        place
        for place in seen
        if place[-len(wanted) :] == wanted or tuple(map(local, place[-len(wanted) :])) == wanted
    ]
    if found:
        return min(found, key=len)
    frequent = sorted(seen, key=lambda place: -seen[place].count)[:_SHOWN_PLACES]
    raise FileRefusedError(
        [
            f"there is no element {given!r} in the first {sample_bytes:,} bytes; the most "
            f"frequent are {', '.join('.'.join(place) for place in frequent)}"
        ]
    )


def local(name: str) -> str:
    """Return a name without its prefix."""
    return name.rpartition(":")[2]

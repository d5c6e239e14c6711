"""Units of measure: which words are units, conversion through pint, and the spellings that
running text may use.

How units are spelled stands in `schemas/lexicons/<language>.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from schemas.lexicons import Words, every, lexicons

if TYPE_CHECKING:
    import pint


@dataclass(frozen=True, slots=True)
class _Spellings:
    """Spelling → pint's name of the unit, out of all lexicons.

    any_case is casefolded; cells: read only where a cell is one amount; own: read only for an
    attribute in this very unit.
    """

    any_case: dict[str, str]
    same_case: dict[str, str]
    cells: dict[str, str]
    own: dict[str, str]


@cache
def _spellings() -> _Spellings:
    same_case: dict[str, str] = {}
    any_case: dict[str, str] = {}
    cells: dict[str, str] = {}
    own: dict[str, str] = {}
    for lexicon in lexicons().values():
        same_case |= _names(lexicon.units_in_exact_case)
        any_case |= {word.casefold(): name for word, name in _names(lexicon.units).items()}
        cells |= _names(lexicon.units_in_cells)
        own |= _names(lexicon.units_of_own_attributes)
    return _Spellings(any_case, same_case, cells, own)


def _names(units: Mapping[str, Words]) -> dict[str, str]:
    """Spelling, without the dot of an abbreviation, → name."""
    return {word.removesuffix("."): name for name, words in units.items() for word in words}


@cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint

    return pint.UnitRegistry(case_sensitive=True)


def _name(spelling: str) -> str | None:
    bare = " ".join(spelling.replace(".", " ").split())
    known = _spellings()
    return (
        known.same_case.get(bare)
        or known.any_case.get(bare.casefold())
        or known.own.get(bare.casefold())
    )


@lru_cache(maxsize=4096)
def _parse(unit: str) -> Any | None:
    registry = _registry()
    name = unit.strip()
    for candidate in (_name(name), name, name.casefold()):
        if candidate:
            with suppress(Exception):  # pint raises many kinds on text that is not a unit
                return registry.parse_units(candidate)
    return None


@lru_cache(maxsize=4096)
def _base(unit: str) -> Any | None:
    """Return the base unit that `unit` is measured in; unlike a dimension it tells a byte from a
    degree.
    """
    parsed = _parse(unit)
    return None if parsed is None else _registry().get_base_units(parsed)[1]


def is_unit(unit: str) -> bool:
    """Return whether the text names a unit.

    >>> is_unit("kg"), is_unit("parsnip")
    (True, False)
    """
    name = unit.strip()
    # pint takes half a second to load; each unit that the lexicons spell is one of its own.
    return bool(name) and (_name(name) is not None or _parse(unit) is not None)


def same_kind(unit: str, other: str) -> bool:
    """Return whether both units measure the same thing.

    >>> same_kind("kg", "oz"), same_kind("GB", "degree")
    (True, False)
    """
    base = _base(unit)
    return base is not None and base == _base(other)


# A word that pint knows and no lexicon has is a unit in a cell only if it is spelled out: to pint
# "GRS" are grains, "ct" carats, "T" tons and "Mt" megatons.
_MIN_SPELLED_CHARS = 4


@lru_cache(maxsize=65536)
def convert_stated(amount: float, stated: str, unit: str) -> float | None:
    """Return the amount that a cell states, in `unit`; None where `stated` is no unit of its kind.

    stated: as people write it. Abbreviations count only as the lexicons have them, those of other
    things ("t", "ct") only for an attribute in that very unit.

    >>> convert_stated(500, "GRS", "g"), convert_stated(24, "ct", "g"), convert_stated(2, "T", "g")
    (500.0, None, None)
    >>> convert_stated(24, "ct", "carat"), convert_stated(3, "stone", "kg")
    (24.0, 19.05087954)
    """
    known = _spellings()
    bare = " ".join(stated.replace(".", " ").split())
    folded = bare.casefold()
    if bare in known.same_case or folded in known.any_case:
        return convert(amount, stated, unit)
    if folded in known.cells:
        return convert(amount, known.cells[folded], unit)
    if folded in known.own:
        return float(amount) if _parse(known.own[folded]) == _parse(unit) else None
    if stated == unit:
        return float(amount)
    return convert(amount, stated, unit) if len(bare) >= _MIN_SPELLED_CHARS else None


@lru_cache(maxsize=65536)
def convert(amount: float, unit: str, to_unit: str) -> float | None:
    """Return `amount` in `to_unit`, or None when the units measure different things.

    >>> convert(1.5, "kg", "g"), convert(1, "l", "g"), convert(500, "ML", "l")
    (1500.0, None, 0.5)
    """
    if not same_kind(unit, to_unit):
        return None
    factor = _factor(unit, to_unit)
    found = _amount(amount, unit, to_unit) if factor is None else amount * factor
    return None if found is None else round(found, 9)


def _amount(number: float, unit: str, to_unit: str) -> float | None:
    try:
        return float(_registry().Quantity(number, _parse(unit)).to(_parse(to_unit)).magnitude)
    except Exception:  # pint raises many kinds where a conversion is not defined
        return None


@lru_cache(maxsize=4096)
def _factor(unit: str, to_unit: str) -> float | None:
    """Return what amounts of one unit are multiplied by to be in another; None where a zero point
    or a logarithm comes in.
    """
    none, one, two = (_amount(number, unit, to_unit) for number in (0.0, 1.0, 2.0))
    if one is None or two is None:
        return None
    return one if none == 0 and two == 2 * one else None


@cache
def spellings_of(unit: str) -> tuple[str, ...]:
    """Return the spellings of pint's `unit` itself as the lexicons have them, abbreviations with
    their dot, and those that hold only behind a larger unit ("2 h 30 m").
    """
    return every(
        lambda words: (
            *words.units.get(unit, ()),
            *words.units_in_exact_case.get(unit, ()),
            *words.units_in_pairs.get(unit, ()),
        )
    )


@cache
def text_spellings(unit: str | None) -> tuple[frozenset[str], frozenset[str]]:
    """Return the spellings under which running text may state an amount of `unit`'s kind; of any
    kind for None.

    Two sets: spellings that hold in any case (casefolded), and spellings whose case has to be
    right. They come from a closed list, because to pint nearly every word is a unit ("6 bags", "2
    hands", "5 points").
    """
    known = _spellings()
    if unit is None:
        return frozenset(known.any_case), frozenset(known.same_case)
    any_case = {spelling for spelling, name in known.any_case.items() if same_kind(name, unit)}
    any_case |= {spelling for spelling, name in known.own.items() if _parse(name) == _parse(unit)}
    same_case = {spelling for spelling, name in known.same_case.items() if same_kind(name, unit)}
    if unit not in same_case and unit.casefold() not in any_case:
        same_case.add(unit)  # a template may use a unit that no lexicon has
    return frozenset(any_case), frozenset(same_case)

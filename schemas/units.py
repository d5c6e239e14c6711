"""Units of measure, through pint: which words are units, conversion, and how shops and labels spell
units.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pint

# How units are written in catalogs. Left: pint's name; right: spellings, a space meaning any or no
# space. fmt: off
_ANY_CASE: dict[str, tuple[str, ...]] = {
    "nanometer": ("nm",),
    "micrometer": ("µm", "um", "micron", "microns"),
    "millimeter": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "centimeter": (
        "cm",
        "cms",
        "centimeter",
        "centimeters",
        "centimetre",
        "centimetres",
        "zentimeter",
    ),
    "decimeter": ("dm",),
    "meter": ("meter", "meters", "metre", "metres", "mtr"),
    "kilometer": ("km", "kilometer", "kilometers", "kilometre", "kilometres"),
    "inch": ("in", "inch", "inches", "zoll", "tum", '"', "”", "″", "''", "’’"),
    "foot": ("ft", "foot", "feet", "'", "′"),
    "yard": ("yd", "yds", "yard", "yards"),
    "mile": ("mile", "miles"),
    "microgram": ("µg", "mcg", "microgram", "micrograms"),
    "milligram": ("mg", "milligram", "milligrams"),
    "gram": ("gr", "gram", "grams", "gramm", "gms"),
    "kilogram": ("kg", "kgs", "kilo", "kilos", "kilogram", "kilograms", "kilogramm"),
    "ounce": ("oz", "ounce", "ounces"),
    "pound": ("lb", "lbs", "pound", "pounds"),
    "milliliter": ("ml", "cc", "milliliter", "milliliters", "millilitre", "millilitres"),
    "centiliter": ("cl",),
    "deciliter": ("dl",),
    "liter": ("ltr", "liter", "liters", "litre", "litres"),
    "fluid_ounce": ("fl oz", "fluid oz", "fluid ounce", "fluid ounces"),
    "cup": ("cup", "cups"),
    "pint": ("pint", "pints"),
    "quart": ("qt", "quart", "quarts"),
    "gallon": ("gal", "gallon", "gallons"),
    "millisecond": ("ms",),
    "second": ("sec", "secs", "second", "seconds", "sekunden"),
    "minute": ("min", "mins", "minute", "minutes", "minuten", "minuter"),
    "hour": ("hr", "hrs", "hour", "hours", "std", "stunden", "timmar"),
    "day": ("day", "days", "tage", "dagar"),
    "week": ("week", "weeks"),
    "month": ("month", "months"),
    "year": ("year", "years"),
    "kilowatt": ("kw", "kilowatt"),
    "watt": ("watt", "watts"),
    "horsepower": ("hp",),
    "watt_hour": ("wh",),
    "kilowatt_hour": ("kwh",),
    "kilojoule": ("kj",),
    "kilocalorie": ("kcal",),
    "volt": ("volt", "volts"),
    "kilovolt": ("kv",),
    "ampere": ("amp", "amps", "ampere"),
    "milliampere": ("ma",),
    "milliampere_hour": ("mah",),
    "ampere_hour": ("ah",),
    "hertz": ("hz", "hertz"),
    "kilohertz": ("khz",),
    "megahertz": ("mhz",),
    "gigahertz": ("ghz",),
    "revolutions_per_minute": ("rpm",),
    "kilobyte": ("kb",),
    "megabyte": ("mb",),
    "gigabyte": ("gb",),
    "terabyte": ("tb",),
    "bar": ("bar",),
    "pound_force_per_square_inch": ("psi",),
    "pascal": ("pa",),
    "kilopascal": ("kpa",),
    "degree": ("°", "deg", "degree", "degrees"),
    "degree_Celsius": ("°c", "celsius"),
    "degree_Fahrenheit": ("°f", "fahrenheit"),
    "centimeter**2": ("cm²", "cm2", "sq cm"),
    "meter**2": ("m²", "m2", "sqm", "sq m"),
    "inch**2": ("sq in",),
    "foot**2": ("sq ft", "sqft"),
    "centimeter**3": ("cm³", "cm3"),
    "meter**3": ("m³", "m3"),
    "gram/meter**2": ("gsm", "g/m²", "g/m2"),
    "kilometer/hour": ("km/h", "kmh", "kph"),
    "mile/hour": ("mph",),
    "lumen": ("lm", "lumen", "lumens"),
    "lux": ("lux",),
    "decibel": ("db",),
    "ohm": ("Ω", "ohm", "ohms"),
    "css_pixel": ("px", "pixel", "pixels"),
    "megapixel": ("mp", "megapixel", "megapixels"),
    "percent": ("%", "percent"),
}
# One letter says too much: its case has to be right.
_SAME_CASE: dict[str, tuple[str, ...]] = {
    "gram": ("g",),
    "liter": ("l", "L"),
    "meter": ("m",),
    "second": ("s",),
    "hour": ("h",),
    "watt": ("W",),
    "milliwatt": ("mW",),
    "megawatt": ("MW",),
    "volt": ("V",),
    "ampere": ("A",),
    "joule": ("J",),
    "byte": ("B",),
    "newton": ("N",),
    "kelvin": ("K",),
}
# Read in text only for an attribute in this very unit: elsewhere `ct` counts pieces and `pt` is a
# point.
_OWN_ATTRIBUTE_ONLY: dict[str, tuple[str, ...]] = {
    "carat": ("ct", "ctw", "cts", "carat", "carats"),
    "pint": ("pt",),
    "metric_ton": ("t", "ton", "tonne", "tonnes"),
}
# fmt: on

_NAME_SAME_CASE = {
    spelling: name for name, spellings in _SAME_CASE.items() for spelling in spellings
}
_NAME_ANY_CASE = {
    spelling.casefold(): name for name, spellings in _ANY_CASE.items() for spelling in spellings
}
_NAME_OWN = {
    spelling: name for name, spellings in _OWN_ATTRIBUTE_ONLY.items() for spelling in spellings
}


@cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint

    return pint.UnitRegistry(case_sensitive=True)


def _name(spelling: str) -> str | None:
    bare = " ".join(spelling.replace(".", " ").split())
    return (
        _NAME_SAME_CASE.get(bare)
        or _NAME_ANY_CASE.get(bare.casefold())
        or _NAME_OWN.get(bare.casefold())
    )


@lru_cache(maxsize=4096)
def _parse(unit: str) -> Any | None:
    registry = _registry()
    name = unit.strip()
    for candidate in (_name(name), name, name.casefold()):
        if candidate:
            with suppress(Exception):  # pint raises many kinds on text that is no unit
                return registry.parse_units(candidate)
    return None


@lru_cache(maxsize=4096)
def _base(unit: str) -> Any | None:
    """The base unit that `unit` is measured in; unlike a dimension it tells a byte from a
    degree.
    """
    parsed = _parse(unit)
    return None if parsed is None else _registry().get_base_units(parsed)[1]


def is_unit(unit: str) -> bool:
    """Whether the text names a unit.

    >>> is_unit("kg"), is_unit("parsnip")
    (True, False)
    """
    return bool(unit.strip()) and _parse(unit) is not None


def same_kind(unit: str, other: str) -> bool:
    """Whether both units measure the same thing.

    >>> same_kind("kg", "oz"), same_kind("GB", "degree")
    (True, False)
    """
    base = _base(unit)
    return base is not None and base == _base(other)


@lru_cache(maxsize=65536)
def convert(amount: float, unit: str, to_unit: str) -> float | None:
    """`amount` in `to_unit`, or None when the units measure different things.

    >>> convert(1.5, "kg", "g"), convert(1, "l", "g"), convert(500, "ML", "l")
    (1500.0, None, 0.5)
    """
    if not same_kind(unit, to_unit):
        return None
    try:
        return round(
            float(_registry().Quantity(amount, _parse(unit)).to(_parse(to_unit)).magnitude), 9
        )
    except Exception:  # pint raises many kinds where a conversion is not defined
        return None


@cache
def text_spellings(unit: str | None) -> tuple[frozenset[str], frozenset[str]]:
    """The spellings under which running text may state an amount of `unit`'s kind; of any kind for
    None.

    Two sets: spellings that hold in any case (casefolded), and spellings whose case has to be
    right. They come from a closed list, because to pint nearly every word is a unit ("6 bags", "2
    hands", "5 points").
    """
    if unit is None:
        return frozenset(_NAME_ANY_CASE), frozenset(_NAME_SAME_CASE)
    any_case = {spelling for spelling, name in _NAME_ANY_CASE.items() if same_kind(name, unit)}
    any_case |= {spelling for spelling, name in _NAME_OWN.items() if _parse(name) == _parse(unit)}
    same_case = {spelling for spelling, name in _NAME_SAME_CASE.items() if same_kind(name, unit)}
    known = unit in same_case or unit.casefold() in any_case
    return frozenset(any_case), frozenset(same_case if known else {*same_case, unit})

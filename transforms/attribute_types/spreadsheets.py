"""What spreadsheets do to cells: errors instead of values, and codes taken for numbers or dates."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

# Excel's, in the languages of the lexicons, and those of LibreOffice and Google Sheets.
_ERROR_NAMES = (
    *("N/A", "REF!", "VALUE!", "NAME?", "DIV/0!", "NUM!", "NULL!", "SPILL!", "CALC!", "FIELD!"),
    *("BLOCKED!", "CONNECT!", "UNKNOWN!", "BUSY!", "GETTING_DATA", "ERROR!"),
    *("NV", "BEZUG!", "WERT!", "ZAHL!", "ÜBERLAUF!", "VALEUR!", "NOM?", "NOMBRE!", "NUL!"),
    *("¡VALOR!", "¡REF!", "¿NOMBRE?", "¡NUM!", "¡DIV/0!", "¡NULO!", "N/D", "VALOR!", "NOME?"),
    *("SAKNAS!", "REFERENS!", "VÄRDEFEL!", "NAMN?", "OGILTIGT!", "DIVISION/0!", "VERW!"),
    *("WAARDE!", "NAAM?", "GETAL!", "LEEG!", "RIF!", "VALORE!", "ЗНАЧ!", "ССЫЛКА!", "ИМЯ?", "Н/Д"),
)
_ERRORS = frozenset(f"#{name}".casefold() for name in _ERROR_NAMES)
# How people keep zeros: ="0123", '0123.
_FORMULA = re.compile(r"""=\s*(?:T\(\s*)?"([^"]*)"\s*\)?|=(\d+)""")
_APOSTROPHES = "'’‘"
_KEEPERS = frozenset(f"={_APOSTROPHES}")
_EXPONENT = re.compile(r"[+-]?(\d)(?:[.,](\d+))?[eE]\+(\d{2})")
# A number of JSON with so many digits, of which the last so many are zeros, was one of these.
_ROUNDED = re.compile(r"[1-9]\d{6,}?0{6,}")
_FLOAT = re.compile(r"(\d{5,})[.,]0+")
_MAX_DIGITS = 18


def is_error(cell: Any) -> bool:
    """Return whether a cell holds a spreadsheet's error and no value.

    >>> is_error("#N/A"), is_error("#BEZUG!"), is_error("#1 mug")
    (True, True, False)
    """
    if not isinstance(cell, str) or cell.lstrip()[:1] != "#":
        return False
    return cell.strip().casefold() in _ERRORS


def unwrapped(text: str) -> str:
    """Return a code without what kept a spreadsheet from taking it for a number.

    >>> unwrapped('="00123"'), unwrapped("'00123"), unwrapped("00123")
    ('00123', '00123', '00123')
    """
    bare = text.strip()
    if bare[:1] not in _KEEPERS:
        return text
    formula = _FORMULA.fullmatch(bare)
    if formula:
        return formula[1] if formula[1] is not None else formula[2]
    is_kept = bare[0] in _APOSTROPHES and bare[1:2].isalnum() and bare[-1] not in _APOSTROPHES
    return bare[1:] if is_kept else text


def without_fraction(text: str) -> str:
    """Return the digits of a code that became a float.

    >>> without_fraction("4006381333931.0"), without_fraction("1.0")
    ('4006381333931', '1.0')
    """
    found = _FLOAT.fullmatch(text.strip()) if "." in text or "," in text else None
    return found[1] if found else text


def of_exponent(text: str) -> tuple[str, bool] | None:
    """Return the digits of a number with an exponent, and whether all are there; None for others.

    >>> of_exponent("4.00638E+12"), of_exponent("4.006381333931E+12"), of_exponent("4E5")
    (('4006380000000', False), ('4006381333931', True), None)
    """
    found = _EXPONENT.fullmatch(text.strip()) if "+" in text else None
    if found is None or int(found[3]) > _MAX_DIGITS:
        return None
    try:
        whole = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return f"{whole:.0f}", len(found[2] or "") == int(found[3])


def is_rounded(entry: Any) -> bool:
    """Return whether a number has lost the digits at its end, as 4.00638E+12 has."""
    return (
        isinstance(entry, float) and entry.is_integer() and bool(_ROUNDED.fullmatch(f"{entry:.0f}"))
    )


def is_made_date(text: str) -> bool:
    """Return whether a code is what a spreadsheet shows for a day or month it took it for.

    >>> [is_made_date(text) for text in ("3-Feb", "Mar-05", "01. Mrz", "MAR-05", "3-FEBR")]
    [True, True, True, False, False]
    """
    bare = text.strip()
    # A day or year stands apart from its month.
    return not bare.isalnum() and _made_dates().fullmatch(bare) is not None


@cache
def _made_dates() -> re.Pattern[str]:
    from babel import Locale

    names: set[str] = set()
    for locale in ("en", "de", "fr", "es", "sv", "it", "nl"):
        for name in Locale.parse(locale).months["format"]["abbreviated"].values():
            names |= {name.rstrip("."), name[:3]}
    # German spreadsheets shorten März so.
    month = "|".join(map(re.escape, sorted({*names, "Mrz"}, key=len, reverse=True)))
    day_first = rf"\d{{1,2}}[-. ]{{1,2}}(?:{month})\.?(?:[- ]\d{{2,4}})?"
    return re.compile(rf"{day_first}|(?:{month})\.?[- ]\d{{2}}")

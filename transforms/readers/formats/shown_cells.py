"""What a person sees in a cell of a workbook, as JSON has it."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Any

from schemas.currencies import currencies_of
from schemas.units import text_spellings

# From here on Excel has lost digits of a whole number.
_EXACT = 10**15
_ZERO_PADDED = re.compile(r"0{2,}")
# Letters right before the digits make them a code: "AB"0, "SKU-"0.
_CODE_BEFORE = re.compile(r"[A-Za-z](?:[A-Za-z]|[-_/.])$")
# Conditions and colours, space as wide as a character, a character that fills the cell.
_UNSEEN = re.compile(r"\[(?!\$)[^\]]*\]|_.|\*.", re.DOTALL)
_CURRENCY = re.compile(r"\[\$([^\]-]*)(?:-[^\]]*)?\]")
_LITERAL = re.compile(r'"([^"]*)"|\\(.)', re.DOTALL)
# Stands for a sign that makes hundredths of a number, before those that literals have.
_PERCENT = "\udfff"
_DIGITS = re.compile(r"[0#?](?:[0#?.,\s]*[0#?])?")
# A comma behind the last digit: thousands are shown.
_SCALED = re.compile(r"[0#?.],")
# Formats below are of Excel itself, which shows the currency of whoever looks.
_FIRST_OWN_FORMAT = 164


def cell_value(cell: Any) -> Any:
    """Return what a person sees in a cell, as JSON has it; None for an empty one.

    Dates and times are ISO 8601; a number that is shown with zeros before it (`00042`), per cent,
    or with a currency or a unit is text; a whole number is whole, also where the file has it as
    12345.0. An error is its name (`#N/A`).
    """
    value = cell.value
    if value is None:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value, str(cell.number_format or ""), _is_own(cell))
    if isinstance(value, dt.datetime):
        is_day = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if is_day else value.isoformat()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    text = str(value)
    return text or None


def _is_own(cell: Any) -> bool:
    style = getattr(cell, "style_array", None)
    return style is None or style.numFmtId >= _FIRST_OWN_FORMAT


def _number(value: float, number_format: str, is_own: bool) -> Any:
    whole = int(value) if isinstance(value, int) or value.is_integer() else None
    if whole is not None and abs(whole) >= _EXACT:
        return value if isinstance(value, float) else whole
    before, digits, after = _parts(number_format.partition(";")[0])
    if after.strip().startswith(_PERCENT):
        return f"{round(value * 100, 10):g} %"
    if whole is not None and _ZERO_PADDED.fullmatch(digits):
        return f"{before}{str(whole).zfill(len(digits))}{after}".strip()
    if whole is not None and digits == "0" and _CODE_BEFORE.search(before) and not _mark(before):
        return f"{before}{whole}{after}".strip()
    if is_own and digits and (mark := _mark(before.strip()) or _mark(after.strip())):
        return f"{_plain(value if whole is None else whole)} {mark}"
    return value if whole is None else whole


def _plain(value: float) -> str:
    """Return a number such that no mark in it can be taken for one of thousands."""
    text = (
        f"{round(value, 10):f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value}"
    )
    return f"{text}0" if len(text.partition(".")[2]) == 3 else text


@lru_cache(maxsize=1_024)
def _parts(shown: str) -> tuple[str, str, str]:
    """Return what a number format shows before the digits, of them, and behind them; nothing before
    and behind a number that is shown in thousands.

    >>> _parts('"SKU-"0000'), _parts("#,##0.00 [$€-407]")
    (('SKU-', '0000', ''), ('', '#,##0.00', ' €'))
    """
    literals: list[str] = []

    def kept(match: re.Match[str]) -> str:
        literals.append(next(group for group in match.groups() if group is not None))
        return chr(0xE000 + len(literals) - 1)

    marked = _LITERAL.sub(kept, shown)
    marked = _CURRENCY.sub(kept, marked)
    # What stands in quotes does not multiply.
    marked = _UNSEEN.sub("", marked).replace("%", _PERCENT)
    found = _DIGITS.search(marked)
    if found is None or _SCALED.match(marked, max(0, found.end() - 1)):
        return "", "", ""
    back = {0xE000 + number: text for number, text in enumerate(literals)}
    before, after = marked[: found.start()], marked[found.end() :]
    return before.translate(back), found[0], after.translate(back)


@lru_cache(maxsize=1_024)
def _mark(text: str) -> str:
    """Return a text beside a number if it is a currency or a unit, else nothing.

    Only units that people write: nearly every text is one of physics.

    >>> _mark("€"), _mark("kg"), _mark("AB")
    ('€', 'kg', '')
    """
    any_case, same_case = text_spellings(None)
    is_unit = text.casefold() in any_case or text in same_case or text == "%"
    return text if text and (is_unit or currencies_of(text)) else ""

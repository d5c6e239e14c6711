"""JSON text → Python values, every number as it was written: nothing is rounded to a 64-bit float
on the way.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

# Fewer digits than this are exact in 64-bit integers and floats, and reading them fast is safe.
_MANY_DIGITS = re.compile(rb"\d[\d.]{15}")


def parse_json(data: bytes) -> Any:
    """Return the JSON value in UTF-8 bytes: integers of any size, and a Decimal for a fraction that
    a float would round.

    Raises orjson.JSONDecodeError for what is not JSON, RecursionError for long numbers nested about
    1,000 deep.

    >>> parse_json(b"[0.5, 123456789012345678901234, 0.12345678901234567890]")
    [0.5, 123456789012345678901234, Decimal('0.12345678901234567890')]
    """
    value = orjson.loads(data)  # also where it is parsed again: it is the stricter of the two
    return json.loads(data, parse_float=exact_number) if _MANY_DIGITS.search(data) else value


def exact_number(literal: str) -> float | Decimal:
    """Return a number as a float, or as a Decimal where a float would round it."""
    number = float(literal)
    try:
        exact = Decimal(literal)
    except InvalidOperation:  # an exponent beyond what decimals hold
        return number
    return number if exact == Decimal(repr(number)) else exact

"""Amounts that are counted in cents or in other parts of a currency, by what their column or key is
called. Pure.

`price_cents: 1290` is 12.90; taken for 1290 it would be wrong by a hundred.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Literal

Part = Literal["cents", "micros"]

# Words of names, also behind a number of its object: `{"value": 1290, "unit": "cents"}`.
_CENTS = frozenset(
    {
        *("cent", "cents", "pence", "penny", "pennies", "centime", "centimes", "centavo"),
        *("centavos", "centimo", "centimos", "céntimo", "céntimos", "centesimi", "öre", "øre"),
        *("grosz", "grosze", "groszy", "kopek", "kopeks", "kopecks", "paise", "rappen"),
        *("minor", "subunit", "subunits"),
    }
)
# Also carats and counts: only as the last word, and not behind "per".
_SHORT = frozenset({"ct", "cts"})
_PER = frozenset({"per", "pro", "par", "por", "je"})
_MICROS = frozenset({"micro", "micros"})
# Names of APIs, letters only: of commercetools, Stripe, and in one word.
_JOINED = frozenset(
    {
        *("centamount", "unitamount", "unitamountdecimal", "amountcents", "pricecents"),
        *("amountincents", "priceincents", "totalcents"),
    }
)
_WORD = re.compile(r"[^\W\d_]+")
_NEW_WORD = re.compile(r"(?<=[a-zß-ÿ])(?=[A-Z])")
MICROS = Decimal("0.000001")


@lru_cache(maxsize=4096)
def part_of_name(name: str) -> Part | None:
    """Return the parts of a currency that a column or key of this name counts; None for whole
    amounts.

    >>> names = ("price_cents", "Price (cents)", "centAmount", "amount_micros", "price", "percent")
    >>> [part_of_name(name) for name in names]
    ['cents', 'cents', 'cents', 'micros', None, None]
    """
    words = _WORD.findall(_NEW_WORD.sub(" ", name).replace("_", " ").casefold())
    if "".join(words) in _JOINED or not _CENTS.isdisjoint(words):
        return "cents"
    if not _MICROS.isdisjoint(words):
        return "micros"
    return "cents" if words and words[-1] in _SHORT and _PER.isdisjoint(words) else None

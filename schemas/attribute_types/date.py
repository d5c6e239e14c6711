"""Dates, as exactly as they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.attribute_types.contract import UNKNOWN, Entry, TypeSpec, matching

# ISO 8601 in the precision of a year, a month or a day; which one, the length of the text says.
# Years from 1000 to 2999: other numbers of four digits are seldom years of anything on sale.
ISO_DATE = r"[12][0-9]{3}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?"


class DateSpec(TypeSpec):
    """A day, a month or a year: `2024-05-17`, `2024-05` or `2024`.

    The column holds text and no Arrow date, which could not say that the day is unknown. As text
    it sorts by time, and a prefix of it is the same date, less exactly.
    """

    options = frozenset({"format"})
    of_one_row = True

    def stored_pattern(self, _entry: Entry) -> str | None:
        return ISO_DATE

    def answer_schema(self, _entry: Entry, _offered: Sequence[str]) -> dict[str, Any]:
        return matching(ISO_DATE)

    def answer_hint(self, _entry: Entry, _offered: Sequence[str]) -> str:
        return (
            "A date as YYYY-MM-DD, as YYYY-MM where no day is known, as YYYY where no month is "
            f'known, or "{UNKNOWN}".'
        )

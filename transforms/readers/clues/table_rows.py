"""Rows of a table that are no records: the header, a header that comes again, and what stands at
its end (totals, counts, a closing remark). Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

import orjson

# Rows at a table's end that may be no records.
MAX_FOOTER_ROWS = 3
# Rows before the header: the name of a report, when it was made, an empty one.
MAX_LEADING_ROWS = 20
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\S*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
# A footer is told by all that it says: "Total Wine Opener" is a product, and so is "End Table".
_COUNTED = (
    r"(?:rows?|records?|products?|items?|articles?|entries|lines?|skus?|variants?|results?|offers?"
    r"|zeilen|datens(?:ä|ae)tze|produkte?|artikel|positionen|eintr(?:ä|ae)ge|lignes?|produits?"
    r"|productos?|art[ií]culos?|filas?|registros?|prodotti|righe|articoli|produkter|rader|rijen"
    r"|producten|artikelen|товар(?:ов|а|ы)?|строк(?:а|и)?|записей|pozycji|produkt(?:ów|y)?)"
)
_SUM = (
    r"(?:(?:grand|sub|net|gross|overall|over-all|end|zwischen|gesamt|report)?[\s-]*"
    r"(?:totals?|totale|totaal|sum|summe|suma|summa)|gesamt|gesamt(?:zahl|wert|betrag)|insgesamt"
    r"|somme|sous-total|toplam|celkem|razem|yhteensä|összesen|ukupno|всего|итого|合計|合计|总计|總計)"
)
_OF_SUM = r"(?:g[eé]n[eé]ra[lu]e?|geral|amount|price|value|count|number|sum|eur|usd|gbp)"
_AMOUNT = r"[^\w\s]*(?:[a-z]{1,4}\.?\s+)?[^\w\s]*\s*\d[\d\s.,'’]*(?:\s+[a-z]{1,4}\.?|\s*[^\w\s]*)"
_TOTAL = re.compile(
    rf"""\W*(?:{_SUM}(?:\s+{_OF_SUM})?(?:\s+(?:of\s+|number\s+of\s+)?{_COUNTED})?
    |(?:number\s+of|count\s+of|anzahl|anzahl\s+der|nombre\s+de)\s+{_COUNTED}
    |count|anzahl|{_COUNTED}(?=\s*[:=])
    )\s*(?:[:=-]?\s*{_AMOUNT})?\W*""",
    re.IGNORECASE | re.VERBOSE,
)
_REMARK = re.compile(
    rf"""\W*(?:
    \d[\d.,'\s]*\s*{_COUNTED}(?:\s*(?:in\s+set|in\s+total|insgesamt|returned|exported|exportiert
     |affected|selected|found|total))?\s*(?:\([^)]*\))?
    |(?:end|ende|fin|fine|eof)(?:\s+(?:of|des|der|du|de|del|della)(?:\s+(?:the|la))?\s+[^\W\d_]+)?
    |(?:generated|exported|printed|erstellt|exportiert|généré)\s*(?:on|at|by|am|von|le|:|\d).*
    )\W*|[-=*_#~+|][-=*_#~+|\s]{{2,}}|\W{{3,}}.*\W{{3,}}""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_SUMMED = re.compile(_AMOUNT, re.IGNORECASE)
_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
_MIN_SHARED = 2
_SENTENCE_WORDS, _ENOUGH_IDS = 3, 2
_PROGRAM_NAME = re.compile(r"[A-Za-z]{2,}[A-Za-z_]*[0-9]{0,2}")
_FEW = 3


def kind_of(cell: str) -> str:
    """Return what a cell that is no name is: a number, a date, a structure; empty for text."""
    text = cell.strip()
    if _NUMBER.fullmatch(text):
        return "number"
    if _DATE.fullmatch(text):
        return "date"
    if text[:1] in ("{", "["):
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError:
            return ""
        return "json"
    return ""


def header_place(rows: Sequence[Sequence[str]], sample: Sequence[Sequence[str]]) -> int | None:
    """Return which of a table's first rows holds the names of its columns, None if none does.

    A header reaches as far as most rows do; what stands before it (the name of a report, pairs such
    as `Exported | 2024-05-01`) is shorter. sample: rows that tell how far they reach.

    >>> rows = [["Prices"], ["Exported", "2024-05-01"], ["sku", "title", "price"]]
    >>> header_place(rows, [["1", "Mug", "5"], ["2", "Cup", "6"]])
    2
    """
    usual = _usual_reach(sample)
    first = next((place for place, row in enumerate(rows) if _may_be_header(row, usual)), None)
    if first is None:
        return None
    below = range(first + 1, len(rows))
    if any(map(kind_of, rows[first])):
        # A date or a number is no name; the names below it, all of them, reach farther.
        wider = (place for place in below if _names_all(rows[place], _reach(rows[first]) + 1))
        if (place := next(wider, None)) is not None:
            return place
    if not _is_preface(rows[first], usual):
        return first
    return next((place for place in below if _names_columns(rows[place], usual)), first)


def _usual_reach(sample: Sequence[Sequence[str]]) -> int:
    counts = Counter(reach for row in sample if (reach := _reach(row)))
    # Titles, and rows with an id alone, are no table of one column.
    if counts.total() < _FEW * (counts.total() - counts[1]):
        del counts[1]
    return max(counts, key=lambda reach: (counts[reach], reach), default=0)


def _reach(row: Sequence[str]) -> int:
    """Return how many cells a row has up to its last filled one."""
    return next((place for place in range(len(row), 0, -1) if row[place - 1].strip()), 0)


def _may_be_header(row: Sequence[str], usual: int) -> bool:
    filled = sum(1 for cell in row if cell.strip())
    # The index that pandas writes has no name, so one of two may be missing.
    return filled > 1 or (filled == 1 and (usual <= 1 or _reach(row) == usual == 2))


def _names_columns(row: Sequence[str], usual: int) -> bool:
    return _may_be_header(row, usual) and _reach(row) >= usual and not any(map(kind_of, row))


def _names_all(row: Sequence[str], least: int) -> bool:
    reach = _reach(row)
    return reach >= least and _names_columns(row, reach) and all(map(str.strip, row[:reach]))


def _is_preface(row: Sequence[str], usual: int) -> bool:
    """Return whether a row that is shorter than usual rather tells of the table than names its
    columns.
    """
    if _reach(row) >= usual:
        return False
    is_label = next(cell for cell in row if cell.strip()).rstrip().endswith(":")
    return _reach(row) * 2 <= usual or is_label or any(map(kind_of, row))


def record_for_header(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """Return a cell by which what should be a header looks like a record: it holds a number, a date
    or a structure where the rows below it do. None where nothing does.
    """
    kinds = [kind_of(name) for name in names]
    typed = alike = 0
    for place, kind in enumerate(kinds):
        below = {kind_of(row[place]) for row in rows if place < len(row) and row[place].strip()}
        if below and below <= {"number", "date", "json"}:
            typed += 1
            alike += kind in below
    if alike and alike * 2 > typed:
        return next(name for name in names if kind_of(name))
    return None


def no_header_problem(names: Sequence[str], cell: str) -> str:
    """Return why nobody can tell whether a table has a header, and what decides."""
    shown = _shown(names)
    return (
        f"the first row may be a record, not the names of columns: it holds {cell[:60]!r} "
        "where the rows below have such values. If it is a record, name the columns: "
        "input: {header: none, columns: [...]} in the template, or --input-as header=none "
        f"columns=a,b,... ({len(names)} names); if {shown} are names, write input: "
        "{header: 1}"
    )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(name[:20] for name in names[:4])


def is_second_header(below: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row below a header is one more: names as programs use them (with
    `_`), where all others have numbers or dates.

    >>> is_second_header([["item_sku", "item_name", "list_price"], ["A1", "Mug", "5.00"]])
    True
    """
    if len(below) < _MIN_SHARED:
        return False
    first, *others = below
    given = [cell.strip() for cell in first if cell.strip()]
    if not all(map(_PROGRAM_NAME.fullmatch, given)) or len(given) * 2 < len(first):
        return False
    typed = [place for place, cell in enumerate(first) if cell.strip() and _is_typed(place, others)]
    return bool(typed) and sum("_" in name for name in given) * 2 > len(given)


def _is_typed(place: int, rows: Sequence[Sequence[str]]) -> bool:
    cells = [row[place] for row in rows if place < len(row) and row[place].strip()]
    return bool(cells) and all(kind_of(cell) in ("number", "date") for cell in cells)


def two_headers_problem(names: Sequence[str], second: Sequence[str], line: int) -> str:
    """Return why nobody can tell which of two rows names the columns, and what decides."""
    first, other = map(_shown, (names, second))
    return (
        f"line {line} ({first}) and line {line + 1} ({other}) both name columns: write input: "
        f"{{header: {line + 1}}} (or {line}) into the template, or --input-as header={line + 1}"
    )


def is_other_header(cells: Sequence[str], names: Collection[str]) -> bool:
    """Return whether a row is the header of other columns than those that it stands under: most of
    its cells are names of columns, in another order, with others beside them, or fewer.

    names: as they are written or read.

    >>> is_other_header(["title", "sku", "price"], ["sku", "title", "price"])
    True
    """
    given = [cell.strip() for cell in cells if cell.strip()]
    known = {name for name in names if name}
    shared = len(known.intersection(given))
    return (
        shared >= _MIN_SHARED
        and shared * 2 > min(len(given), len(known))
        and shared * 2 >= len(given)
        and not any(map(kind_of, given))
    )


def is_total(cells: Sequence[str], columns: int) -> bool:
    """Return whether a row may be a footer: it says nothing but that, and cells of it are empty.

    >>> is_total(["Total", "", "36.00"], 3), is_total(["Total", "Wine Opener", ""], 3)
    (True, False)
    """
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not 0 < len(filled) <= max(2, columns // 2) or len(filled) >= columns:
        return False
    first, *others = filled
    if _TOTAL.fullmatch(first):
        return all(_SUMMED.fullmatch(each) or _TOTAL.fullmatch(each) for each in others)
    return not others and _REMARK.fullmatch(first) is not None


class Ids:
    """What the first cells of a table's rows look like, of as many as were added.

    are_totals: whether one is named as a total is; are_digits: whether all are digits; are_codes:
    whether each has a digit and none a space.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.are_totals = False
        self.are_digits = self.are_codes = True

    def add(self, cell: str) -> None:
        """Look at one more."""
        text = cell.strip()
        self.seen += 1
        self.are_totals = self.are_totals or bool(_TOTAL.fullmatch(text) or _REMARK.fullmatch(text))
        self.are_digits = self.are_digits and text.isdigit()
        self.are_codes = self.are_codes and " " not in text and any(map(str.isdigit, text))


def is_footer(cells: Sequence[str], columns: int, ids: Ids) -> bool:
    """Return whether a row at the end is none of the table: a total, or a sentence alone where the
    ids are.
    """
    if is_total(cells, columns):
        return True
    filled = [cell for cell in cells if cell.strip()]
    is_sentence = len(filled) == 1 and len(filled[0].split()) >= _SENTENCE_WORDS
    return is_sentence and filled[0] == cells[0] and ids.are_codes and ids.seen >= _ENOUGH_IDS


def are_ids_alike(one: str, other: str) -> bool:
    """Return whether two cells are written as ids of one catalog are: the same letters and digits
    by kind, digits among them.

    >>> are_ids_alike("MUG-1", "CUP-20"), are_ids_alike("MUG-1", "red, 20")
    (True, False)
    """
    shape = _shape(one)
    return "9" in shape and " " not in shape and shape == _shape(other)


def _shape(text: str) -> str:
    return _LETTERS.sub("a", _DIGITS.sub("9", text.strip()))

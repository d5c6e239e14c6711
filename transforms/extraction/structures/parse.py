"""Lists and mappings that a text cell holds, as programs write them: JSON, Python's and numpy's
repr, Ruby's and PHP's hashes, PHP's serialize.

str → list, dict or None. Nothing is evaluated: a text is taken apart by its grammar, bounded in
length and depth, and what is not wholly such a structure is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from transforms.extraction.structures.exact_json import exact_number, parse_json

MAX_CHARS = 1 << 20
MAX_DEPTH = 64

_CONSTANTS = {
    **dict.fromkeys(("None", "null", "nil", "NULL", "undefined", "nan", "NaN", "NaT", "NA")),
    **dict.fromkeys(("np.nan", "inf", "Infinity", "numpy.nan")),
    **dict.fromkeys(("True", "true", "TRUE", "np.True_"), True),
    **dict.fromkeys(("False", "false", "FALSE", "np.False_"), False),
}
# What is a mapping that is written as a call, and what stands for its only argument.
_MAPPINGS = frozenset({"OrderedDict", "defaultdict", "Counter", "dict", "mappingproxy", "ChainMap"})
_WRAPPERS = re.compile(
    r"array|set|frozenset|list|tuple|deque|dict_(?:keys|values)|Timestamp|datetime64|UUID|ObjectId"
    r"|str_|bool_|u?int\d+|float\d+|(?:Pure)?(?:Posix)?Path|Series|Index"
)
_TIMES: dict[str, Callable[..., Any]] = {"datetime": datetime, "date": date, "time": time}

_BEGINNING = re.compile(
    r"""\s*(?:[{\["]|\(\s*["'(\[{]|a:\d{1,6}:\{"""
    r"""|(?:np\.|numpy\.|collections\.)?(?:array|OrderedDict|defaultdict|dict|Counter)\s?\()"""
)
_SPACE = re.compile(r"\s*")
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')"""
_VALUE = re.compile(
    rf"""(?P<string>(?P<prefix>[bBuUrR]{{0,2}}){_QUOTED})
    |(?P<time>\d{{4}}-\d\d-\d\d
        (?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?(?:UTC|Z|[+-]\d\d:?\d\d))?)?)
    |(?P<number>[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])
    |:(?P<symbol>{_QUOTED}|[A-Za-z_]\w*[?!]?)
    |(?P<opening>[\[{{(])
    |(?P<word>[A-Za-z_$][\w.$]*)(?P<call>(?:(?<=array)\s)?\()?
    |(?P<opaque><[^<>]*>)""",
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_KEY_MARKS = {
    "[": re.compile(r"\s*(=>)\s*"),
    "{": re.compile(r"\s*(=>|:)\s*"),
    "(": re.compile(r"\s*(=>|=)\s*"),
}
_BETWEEN = re.compile(r"\s*,\s*")
_ESCAPE = re.compile(
    r"\\(?:(?P<hex>x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|u\{(?P<braces>[0-9a-fA-F]{1,6})\}"
    r"|(?P<one>.))",
    re.DOTALL,
)
_ESCAPED = {
    **dict(zip("ntrabfv0e", "\n\t\r\a\b\f\v\0\x1b", strict=True)),
    **{char: char for char in "\\'\"/#"},
    "\n": "",
}


class _NoStructureError(ValueError):
    """The text is not written as any of the languages writes structures."""


class _Word(str):
    """A bare word: a key, or the name of an argument, and nothing else."""

    __slots__ = ()


_OPAQUE = _Word("")


def parse_structure(text: str) -> list[Any] | dict[Any, Any] | None:
    r"""Return the list or mapping that the text is; None if it is none, or too long or too deep.

    Times become `datetime` objects, sets and tuples lists, symbols texts; no number is null.

    >>> parse_structure("[{'key': 'Size', 'value': None}, Decimal('1.50')]")
    [{'key': 'Size', 'value': None}, Decimal('1.50')]
    >>> parse_structure('{"spec"=>[{:key=>"Color", value: "Brown"}], "stock"=>nil}')
    {'spec': [{'key': 'Color', 'value': 'Brown'}], 'stock': None}
    >>> parse_structure('a:1:{s:5:"Color";s:4:"Blue";}'), parse_structure("[NEW] Kettle")
    ({'Color': 'Blue'}, None)
    """
    if not _BEGINNING.match(text):
        return None
    text = text.strip()
    found = _json(text) if text[0] in '{["' else None
    if found is not None or len(text) > MAX_CHARS:
        return found
    try:
        if text.startswith("a:"):
            return _php(text)
        if text[0] == '"':
            text = f"{{{text}}}"  # hstore
        value, end = _Reader(text).value(0, 0)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return value if end == len(text) and isinstance(value, dict | list) else None


def _json(text: str) -> list[Any] | dict[Any, Any] | None:
    """Return the JSON array or object, also one inside a JSON string."""
    for _ in range(2):
        try:
            value = parse_json(text.encode())
        except (UnicodeEncodeError, orjson.JSONDecodeError, RecursionError):
            return None
        if isinstance(value, dict | list):
            return value
        if not isinstance(value, str):
            return None
        text = value
    return None


class _Reader:
    """Reads values of one text; (place, depth) → (value, place behind it)."""

    def __init__(self, text: str) -> None:
        self._text = text

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        value, end = self._value_or_word(at, depth)
        if isinstance(value, _Word):
            raise _NoStructureError
        return value, end

    def _value_or_word(self, at: int, depth: int) -> tuple[Any, int]:
        found = _VALUE.match(self._text, at)
        if found is None or depth > MAX_DEPTH:
            raise _NoStructureError
        end = found.end()
        kind = found.lastgroup
        if kind == "opening":
            return self._container(found["opening"], end, depth)
        if found["word"] is not None:
            return self._word(found["word"], found["call"] is not None, end, depth)
        if found["string"] is not None:
            return _unquoted(found["string"], found["prefix"]), end
        if kind == "number":
            return _number(found["number"]), end
        if kind == "symbol":
            symbol = found["symbol"]
            return _unquoted(symbol, "") if symbol[0] in "'\"" else symbol, end
        return (_OPAQUE if kind == "opaque" else found["time"]), end

    def _word(self, word: str, is_call: bool, end: int, depth: int) -> tuple[Any, int]:
        if not is_call:
            # As a key, `true:` is a word like any other.
            is_key = _KEY_MARKS["{"].match(self._text, end) is not None
            known = word in _CONSTANTS and not is_key
            return (_CONSTANTS[word] if known else _Word(word)), end
        plain, keyed, end = self._entries("(", end, depth)
        return _called(word.rpartition(".")[2], plain, keyed), end

    def _container(self, opening: str, at: int, depth: int) -> tuple[Any, int]:
        plain, keyed, end = self._entries(opening, at, depth)
        if any(isinstance(entry, _Word) for entry in plain) or (plain and keyed):
            raise _NoStructureError
        if keyed:
            return _mapping_or_list(keyed), end
        if opening == "{" and not plain:
            return {}, end
        if opening == "(" and len(plain) == 1:
            is_tuple = self._text[max(0, end - 8) : end - 1].rstrip().endswith(",")
            return (plain if is_tuple else plain[0]), end
        return plain, end

    def _entries(
        self, opening: str, at: int, depth: int
    ) -> tuple[list[Any], list[tuple[Any, Any]], int]:
        """Return entries without and with a key up to the closing bracket, and the place behind."""
        plain: list[Any] = []
        keyed: list[tuple[Any, Any]] = []
        at = self._behind_space(at)
        while not self._text.startswith(_CLOSING[opening], at):
            entry, end = self._value_or_word(at, depth + 1)
            if mark := _KEY_MARKS[opening].match(self._text, end):
                value, end = self._value_or_word(mark.end(), depth + 1)
                keyed.append((entry, value))
            else:
                plain.append(entry)
            at = self._behind_entry(opening, end)
        return plain, keyed, at + 1

    def _behind_entry(self, opening: str, end: int) -> int:
        """Return where the next entry begins; numpy prints arrays without commas."""
        if between := _BETWEEN.match(self._text, end):
            return between.end()
        at = self._behind_space(end)
        is_last = self._text.startswith(_CLOSING[opening], at)
        if at == len(self._text) or not (is_last or (at > end and opening == "[")):
            raise _NoStructureError
        return at

    def _behind_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at


def _mapping_or_list(keyed: Sequence[tuple[Any, Any]]) -> list[Any] | dict[Any, Any]:
    """Return a mapping; a PHP array that is numbered from 0 is a list."""
    if any(isinstance(value, _Word) or isinstance(key, list | dict) for key, value in keyed):
        raise _NoStructureError
    if [key for key, _ in keyed] == list(range(len(keyed))):
        return [value for _, value in keyed]
    return {str(key) if isinstance(key, _Word) else key: value for key, value in keyed}


def _called(name: str, plain: list[Any], keyed: list[tuple[Any, Any]]) -> Any:
    """Return what a call such as `array([1, 2], dtype=int64)` stands for."""
    if name in _TIMES:
        return _TIMES[name](*plain)
    if name in ("Decimal", "BigDecimal"):
        try:
            return Decimal(plain[0]) if Decimal(plain[0]).is_finite() else None
        except InvalidOperation as error:
            raise _NoStructureError from error
    if any(isinstance(entry, _Word) for entry in plain[1:]) or len(plain) > 2:
        raise _NoStructureError
    if name in _MAPPINGS:
        value = plain[-1] if plain else {}
        return value if isinstance(value, dict) else dict(value)
    if name == "array" and keyed and not plain:
        return _mapping_or_list(keyed)
    if _WRAPPERS.fullmatch(name) and not (plain and isinstance(plain[0], _Word)):
        return plain[0] if plain else []
    raise _NoStructureError


def _unquoted(quoted: str, prefix: str) -> str:
    text = quoted[len(prefix) + 1 : -1]
    if "r" not in prefix.casefold() and "\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
        if not text.isascii():  # halves of a pair of surrogates
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if "b" in prefix.casefold():
        return text.encode("latin-1").decode("utf-8")
    return text


def _unescaped(found: re.Match[str]) -> str:
    code = found["braces"] or (found["hex"] or "")[1:]
    return chr(int(code, 16)) if code else _ESCAPED.get(found["one"], found[0])


def _number(literal: str) -> int | float | Decimal:
    digits = literal.replace("_", "")
    return int(digits) if digits.lstrip("+-").isdecimal() else exact_number(digits)


# --- PHP's serialize: a:1:{s:5:"Color";s:4:"Blue";} ---

_PHP_VALUE = re.compile(
    rb"(?:(?P<kind>[idb]):(?P<scalar>[-+.\deE]{1,40});|(?P<null>N;)|s:(?P<bytes>\d{1,7}):\"|a:(?P<entries>\d{1,6}):\{)"
)


def _php(text: str) -> list[Any] | dict[Any, Any]:
    data = text.encode()
    value, end = _php_value(data, 0, 0)
    if end != len(data) or not isinstance(value, list | dict):
        raise _NoStructureError
    return value


def _php_value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    found = _PHP_VALUE.match(data, at)
    if found is None or depth > MAX_DEPTH:
        raise _NoStructureError
    end = found.end()
    if found["null"]:
        return None, end
    if found["kind"]:
        scalar = found["scalar"].decode()
        return (scalar == "1" if found["kind"] == b"b" else _number(scalar)), end
    if found["bytes"]:
        close = end + int(found["bytes"])
        if data[close : close + 2] != b'";':
            raise _NoStructureError
        return data[end:close].decode(), close + 2
    entries = []
    for _ in range(int(found["entries"])):
        key, end = _php_value(data, end, depth + 1)
        value, end = _php_value(data, end, depth + 1)
        entries.append((key, value))
    if data[end : end + 1] != b"}":
        raise _NoStructureError
    return (_mapping_or_list(entries) if entries else []), end + 1

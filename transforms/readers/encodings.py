"""Which encoding a text file has, found out from its bytes.

UTF-8 is proven by its form. The old encodings of one byte a character cannot be proven: chardet
(its models know which letters follow each other in a language) ranks them, and where two that it
likes equally would read the text differently the file is not read before somebody decides.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import NamedTuple

# chardet's names → Python's. What is not here (EBCDIC, encodings of the 1980s for Hebrew, Arabic or
# Urdu terminals) wins guesses on short texts and is not what catalogs are exported in; it can be
# named all the same.
_CANDIDATES = {
    "windows-1252": "cp1252",
    "iso-8859-1": "cp1252",  # a superset but for control characters, which catalogs do not hold
    "windows-1250": "cp1250",
    "iso-8859-2": "iso8859-2",
    "windows-1251": "cp1251",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "ibm866": "cp866",
    "windows-1253": "cp1253",
    "windows-1254": "cp1254",
    "iso-8859-9": "cp1254",
    "windows-1255": "cp1255",
    "windows-1256": "cp1256",
    "windows-1257": "cp1257",
    "windows-1258": "cp1258",
    "cp874": "cp874",
    "macroman": "mac-roman",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp437": "cp437",
    "cp932": "cp932",
    "shift_jis": "cp932",
    "euc-jp": "euc-jp",
    "iso-2022-jp": "iso-2022-jp",
    "gb18030": "gb18030",
    "gb2312": "gb18030",
    "big5": "big5hkscs",
    "big5hkscs": "big5hkscs",
    "cp949": "cp949",
    "euc-kr": "cp949",
}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Where Windows' own encodings fit, those of DOS and of old Macs are not asked about.
_OF_OTHER_SYSTEMS = frozenset({"mac-roman", "cp850", "cp852", "cp437", "cp866"})
# Of the lines with characters beyond ASCII: where so many are UTF-8, the others are damaged, and
# the file is no other encoding.
_MOSTLY_UTF8 = 0.5
# chardet looks at so many bytes of lines beyond ASCII; more changes no answer and takes seconds.
_MAX_LOOKED_AT_BYTES = 200_000
# A second guess this close to the first is as good.
_AS_GOOD = 0.97
_EXCERPT_CHARS = 40
# Shares of the bytes at even or odd places that are zero in texts of wide characters.
_MOST, _FEW, _MIN_PAIRS = 0.7, 0.1, 4


class Encoding(NamedTuple):
    """name: as Python knows it; rival: another one that fits as well and reads differently."""

    name: str
    rival: str = ""
    excerpt: tuple[str, str] = ("", "")

    def problem(self) -> str:
        """Return why nobody can tell the encoding, and what decides."""
        mine, other = self.excerpt
        return (
            f"the encoding cannot be told: as {self.name} a line reads {mine!r}, as {self.rival} "
            f"{other!r}; write input: {{encoding: {self.name}}} (or {self.rival}) into the "
            f"template, or --input-as encoding={self.name}, or export as UTF-8"
        )


def find_encoding(data: bytes) -> Encoding:
    r"""Return the encoding of a text of which `data` is the beginning, or a sample of whole lines.

    >>> find_encoding("id;name\n1;Löffel\n2;Schüssel, weiß\n".encode("cp1252")).name
    'cp1252'
    """
    for bom, name in _BOMS:
        if data.startswith(bom):
            return Encoding(name)
    if wide := _wide(data):
        return Encoding(wide)
    if data.isascii():
        return Encoding("utf-8")
    foreign = list(_lines_beyond_ascii(data))
    if not foreign or sum(map(_is_utf8, foreign)) >= _MOSTLY_UTF8 * len(foreign):
        return Encoding("utf-8")
    return _ranked(b"\n".join(line for line in foreign if not _is_utf8(line)))


def _wide(data: bytes) -> str:
    """Return the encoding of text whose every second byte is zero, as Excel writes it without a
    mark; empty for other text.
    """
    pairs = len(data) // 2
    if pairs < _MIN_PAIRS:
        return ""
    zeros_at_even, zeros_at_odd = data[::2].count(0), data[1::2].count(0)
    if zeros_at_odd > _MOST * pairs and zeros_at_even < _FEW * pairs:
        return "utf-16-le"
    if zeros_at_even > _MOST * pairs and zeros_at_odd < _FEW * pairs:
        return "utf-16-be"
    return ""


def _lines_beyond_ascii(data: bytes) -> Iterator[bytes]:
    """Yield the lines with a byte beyond ASCII; not the last one, which may be cut, unless it is
    the only one.
    """
    lines = data.splitlines()
    whole = lines if data.endswith((b"\n", b"\r")) or len(lines) < 2 else lines[:-1]
    size_bytes = 0
    for line in whole:
        if not line.isascii():
            yield line
            size_bytes += len(line)
            if size_bytes > _MAX_LOOKED_AT_BYTES:
                return


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _ranked(text: bytes) -> Encoding:
    import chardet

    guesses: dict[str, float] = {}
    for guess in chardet.detect_all(text, ignore_threshold=True):
        name = _CANDIDATES.get(str(guess["encoding"]).lower())
        if name and name not in guesses and _decoded(text, name) is not None:
            guesses[name] = float(guess["confidence"])
    if not guesses:
        return Encoding("cp1252" if _decoded(text, "cp1252") is not None else "latin-1")
    first, *others = sorted(guesses, key=lambda name: -guesses[name])
    mine = str(_decoded(text, first))
    if mine == _decoded(text, "cp1252"):
        # The same letters by the commoner name.
        return Encoding("cp1252")
    for other in others:
        if guesses[other] < _AS_GOOD * guesses[first]:
            break
        theirs = str(_decoded(text, other))
        if theirs != mine and other not in _OF_OTHER_SYSTEMS:
            return Encoding(first, other, _first_difference(mine, theirs))
    return Encoding(first)


def _decoded(text: bytes, name: str) -> str | None:
    try:
        return text.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None


def _first_difference(mine: str, theirs: str) -> tuple[str, str]:
    for one, other in zip(mine.splitlines(), theirs.splitlines(), strict=False):
        if one != other:
            return one[:_EXCERPT_CHARS], other[:_EXCERPT_CHARS]
    return mine[:_EXCERPT_CHARS], theirs[:_EXCERPT_CHARS]

"""Which encoding a text file has, found out from its bytes.

UTF-8 is proven by its form. The old encodings of one byte a character cannot be proven: chardet
(its models know which letters follow each other in a language) ranks them, and where two that it
likes equally would read the text differently the file is not read before somebody decides.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from transforms.readers.clues.plausible import odd_share

# chardet's names → Python's. What is not here (EBCDIC, encodings of the 1980s for Hebrew, Arabic or
# Urdu terminals) wins guesses on short texts and is not what catalogs are exported in; it can be
# named all the same.
_CANDIDATES = {
    "windows-1252": "cp1252",
    "iso-8859-15": "iso8859-15",
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
# So much of what is beyond ASCII may stand oddly more than under the likeliest encoding.
_ODDER = 0.1
# Encodings of the west, asked about also where chardet takes a few signs for another alphabet.
_WESTERN = ("cp1252", "iso8859-15")
# A second guess this close to the first is as good.
_AS_GOOD = 0.97
_EXCERPT_CHARS = 40
_JAPANESE = ("cp932", "euc-jp")
_FOREIGN = re.compile("[^\x00-\x7f]")
_KANA = re.compile("[\u3041-\u30ff]")
_MOSTLY_KANA = 0.5
# Shares of the bytes at even or odd places that are zero in texts of wide characters, and of
# characters that no text holds.
_SOME, _FEW, _MIN_PAIRS = 0.05, 0.02, 4
# The other byte is zero in few letters: in the first of every 256.
_RARER = 0.25
_LOOKED_AT_BYTES = 64 << 10
_LOOKED_AT_LINES, _MIN_LINES = 50, 3
_LAST_ASCII = 0x7F


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
    delimiters = _delimiters_in(data)
    text = b"\n".join(line for line in foreign if not _is_utf8(line))
    return _ranked(text.translate(None, delimiters))


def _delimiters_in(data: bytes) -> bytes:
    """Return the bytes beyond ASCII that separate cells: they stand in every line as often as in
    the first one. They tell nothing of the letters.
    """
    lines = data[:_LOOKED_AT_BYTES].splitlines()[:_LOOKED_AT_LINES]
    lines = [line for line in (lines[:-1] or lines) if line.strip()]
    if len(lines) < _MIN_LINES:
        return b""
    foreign = {byte for byte in lines[0] if byte > _LAST_ASCII}
    return bytes(byte for byte in foreign if _is_as_frequent(byte, lines))


def _is_as_frequent(byte: int, lines: Sequence[bytes]) -> bool:
    return len({line.count(byte) for line in lines}) == 1


def _wide(data: bytes) -> str:
    """Return the encoding of text in characters of two bytes without a mark, as Excel writes it;
    empty for other text.

    Where a text is not Latin only its digits, delimiters and line ends have a byte of zero, always
    the same one of the two.
    """
    data = data[: min(len(data), _LOOKED_AT_BYTES) // 2 * 2]
    pairs = len(data) // 2
    zeros_at_even, zeros_at_odd = data[::2].count(0), data[1::2].count(0)
    if pairs < _MIN_PAIRS or max(zeros_at_even, zeros_at_odd) < _SOME * pairs:
        return ""
    name = "utf-16-le" if zeros_at_odd > zeros_at_even else "utf-16-be"
    if min(zeros_at_even, zeros_at_odd) > _RARER * max(zeros_at_even, zeros_at_odd):
        return ""
    decoded = data.decode(name, "replace")
    if decoded.count("\n") * 2 < data.count(b"\n"):
        # Single zeros among characters of one byte.
        return ""
    unreadable = sum(
        char not in "\t\n\r" and unicodedata.category(char) in ("Cc", "Cn", "Co", "Cs")
        for char in decoded
    )
    return name if unreadable <= _FEW * len(decoded) else ""


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


def _japanese(text: bytes) -> str:
    """Return the encoding under which most of what is beyond ASCII is kana; empty without one.

    No other text gives them by chance, and a few titles are too little for a ranking by letters.
    """
    for name in _JAPANESE:
        decoded = _decoded(text, name)
        if decoded is not None and len(_KANA.findall(decoded)) > _MOSTLY_KANA * sum(
            not char.isascii() for char in decoded
        ):
            return name
    return ""


def _ranked(text: bytes) -> Encoding:
    if text.isascii():
        return Encoding("cp1252")
    if japanese := _japanese(text):
        return Encoding(japanese)
    guesses = _plausible(text, _guesses(text))
    if not guesses:
        return Encoding("latin-1")
    for name in _WESTERN:
        if name in guesses and not _has_letters(str(_decoded(text, name))):
            # Signs alone (€, °, ½) tell no other alphabet.
            return Encoding(name)
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


def _guesses(text: bytes) -> dict[str, float]:
    """Return encodings in which the text can be, with how likely each is by its letters."""
    import chardet

    found: dict[str, float] = {}
    for guess in chardet.detect_all(text, ignore_threshold=True):
        name = _CANDIDATES.get(str(guess["encoding"]).lower())
        if name and name not in found and _decoded(text, name) is not None:
            found[name] = float(guess["confidence"])
    for name in _WESTERN:
        if name not in found and _decoded(text, name) is not None:
            found[name] = 0.0
    return found


def _plausible(text: bytes, guesses: dict[str, float]) -> dict[str, float]:
    """Return the guesses without those that put capitals into words, signs between letters, or
    single letters of another alphabet between digits.
    """
    oddness = {name: odd_share(str(_decoded(text, name))) for name in guesses}
    least = min(oddness.values(), default=0.0)
    if least > _ODDER:
        # The text was harmed before it was written: nothing reads well.
        return guesses
    return {name: each for name, each in guesses.items() if oddness[name] <= least + _ODDER}


def _has_letters(text: str) -> bool:
    return any(map(str.isalpha, _FOREIGN.findall(text)))


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

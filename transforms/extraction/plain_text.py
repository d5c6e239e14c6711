"""Plain text out of the cells of a catalog: markup, entities, control and zero-width characters,
spaces.

str → str. Paragraphs, list entries and line breaks are kept as a single newline each. Idempotent.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from html.entities import html5

# Control characters other than white space, invisible formatting (soft hyphen, zero-width space
# and no-break, bidirectional marks, interlinear annotation, tag characters), lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]+"
)
# Zero-width joiners are spelling inside Arabic, Persian and Indic words and inside emoji; elsewhere
# they are noise.
_JOINED = "[\u0590-\u167f\u1681-\u180d\u180f-\u1fff\u2190-\u2fff\u3001-\U000dffff]"
_STRAY_JOINER = re.compile(f"(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})")

_ENTITY_AT_END = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});\Z")
_ENTITY_MAX_CHARS = 34
# What it encloses is text, or markup that was to be kept from another parser.
_CDATA = re.compile(r"<!\[CDATA\[|(?<!\])\]\]>")
# Markup inside markup that took this many rounds is an attack or an accident: what is left are
# plain characters.
_MAX_ROUNDS = 4
# Digits behind others are no part of their number: "12<sup>90</sup> €", "10<sup>3</sup>".
_RAISED = re.compile(r"(?<=\d)\s?<sup\b[^<>]*>\s?(\d{1,4})\s?</sup\s?>", re.IGNORECASE)
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_CACHED_CHARS = 20_000


@lru_cache(maxsize=1)
def _tag() -> re.Pattern[str]:
    """Return a pattern of one tag: of HTML, of a custom element or of an office program. `3 < 5`
    and `<Brand>` are text.
    """
    from lxml.html import defs

    newer = {
        "bdi",
        "data",
        "dialog",
        "frame",
        "main",
        "nobr",
        "noframes",
        "picture",
        "search",
        "slot",
        "template",
    }
    names = "|".join(sorted((defs.tags | newer), key=len, reverse=True))
    element = rf"</?(?:(?:{names})(?=[\s/>])|[a-z]+[:-][a-z])[^<>]*>"
    return re.compile(rf"{element}|<(?:!doctype|\?xml)\b[^<>]*>", re.IGNORECASE)


def to_plain_text(text: str) -> str:
    r"""`text` without markup, in NFC, its spaces collapsed, one newline where a line or paragraph
    ends.

    Only known tags and complete entities count as markup, also when they are encoded twice.

    >>> to_plain_text("<![CDATA[<p>Blue</p>]]>")
    'Blue'
    >>> to_plain_text("10<sup>3</sup> m<sup>2</sup>")
    '10³ m2'
    >>> to_plain_text("<p>Salt &amp; Pepper</p><ul><li>3 < 5 <li>50&nbsp;g</ul>")
    'Salt & Pepper\n* 3 < 5\n* 50 g'
    """
    text = _tidy(text)
    if "<" not in text and ("&" not in text or (";" not in text and "]]>" not in text)):
        return text
    return _without_markup(text) if len(text) > _CACHED_CHARS else _without_markup_cached(text)


def to_single_line(text: str) -> str:
    """Plain text with spaces in place of its line breaks."""
    return to_plain_text(text).replace("\n", " ")


def decode_entities(text: str) -> str:
    """`text` with every complete HTML entity decoded, however often it was encoded.

    Runs in linear time: each semicolon is looked at once, with the characters decoded so far before
    it.

    >>> decode_entities("LumaTech&amp;trade; ?a=1&copy=2")
    'LumaTech™ ?a=1&copy=2'
    """
    if "&" not in text or ";" not in text:
        return text
    *segments, rest = text.split(";")
    decoded: list[str] = []
    for segment in segments:
        decoded.extend(segment)
        decoded.append(";")
        while decoded and decoded[-1] == ";":
            entity = _ENTITY_AT_END.search("".join(decoded[-_ENTITY_MAX_CHARS:]))
            if entity is None or not _is_entity(entity[0]):
                break
            del decoded[-len(entity[0]) :]
            decoded.extend(
                unicodedata.normalize("NFC", _INVISIBLE.sub("", html.unescape(entity[0])))
            )
    return "".join(decoded) + rest


def _without_markup(text: str) -> str:
    for _ in range(_MAX_ROUNDS):
        before, text = text, _drop_comments(_tidy(decode_entities(text)))
        if _tag().search(text):
            text = _drop_tags(_RAISED.sub(_raised, text))
        text = _tidy(text)
        if text == before:
            return text
    return _tidy(_tag().sub(" ", text).replace("<", " ").replace("&", " "))


# The variants of a product stand side by side and share one description.
_without_markup_cached = lru_cache(maxsize=128)(_without_markup)


def _raised(found: re.Match[str]) -> str:
    return found[1].translate(_SUPERSCRIPTS)


def _is_entity(entity: str) -> bool:
    return entity[1] == "#" or entity[1:] in html5


def _drop_tags(text: str) -> str:
    """Return what a browser would show; whatever is not a tag is shielded from the parser."""
    from inscriptis.html_engine import Inscriptis
    from lxml.etree import LxmlError
    from lxml.html import HTMLParser, document_fromstring

    shielded, end = [], 0
    for tag in _tag().finditer(text):
        shielded += [html.escape(text[end : tag.start()], quote=False), tag[0]]
        end = tag.end()
    shielded.append(html.escape(text[end:], quote=False))
    try:
        # Without huge_tree the parser silently drops what lies deeper than 256 elements.
        return Inscriptis(
            document_fromstring("".join(shielded), parser=HTMLParser(huge_tree=True))
        ).get_text()
    except (LxmlError, RecursionError, ValueError):
        return _tag().sub(" ", text)


def _drop_comments(text: str) -> str:
    """Return the text without comments and the marks of CDATA."""
    if "]]>" in text or "<![CDATA[" in text:
        text = _CDATA.sub(" ", text)
    kept, end = [], 0
    while (begin := text.find("<!--", end)) >= 0 and (close := text.find("-->", begin + 4)) >= 0:
        kept.append(text[end:begin])
        end = close + 3
    return " ".join([*kept, text[end:]])


def _tidy(text: str) -> str:
    if text.isascii() and text.isprintable():
        # A space at an end or beside another is all that can be wrong.
        if "  " not in text and text[:1] != " " and text[-1:] != " ":
            return text
        return " ".join(text.split())
    text = _INVISIBLE.sub("", text)
    before = None
    while text != before:  # what stood apart may compose once a joiner between is gone
        before, text = text, _STRAY_JOINER.sub("", unicodedata.normalize("NFC", text))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)

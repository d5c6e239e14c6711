"""Elements of XML as JSON: their text, or an object with what they hold. Pure."""

from __future__ import annotations

import html
from collections import Counter
from typing import Any

from lxml import etree

TEXT = "#text"
# Children that make an element a text with marks, where it has a text of its own beside them.
_MARKS = frozenset(
    """a abbr b big blockquote br caption center cite code col dd del div dl dt em font h1 h2 h3 h4
    h5 h6 hr i img ins li mark ol p pre q s small span strike strong sub sup table tbody td tfoot
    th thead tr u ul wbr""".split()  # noqa: SIM905
)
# Those that do without one: no column of a record is called so.
_TEXT_MARKS = frozenset(("br", "div", "em", "hr", "ol", "p", "span", "strong", "table", "ul"))


def name_of(element: Any) -> str:
    """Return the name of an element as it is written, with its prefix."""
    local = etree.QName(element).localname
    return f"{element.prefix}:{local}" if element.prefix else local


def as_value(element: Any) -> Any:
    """Return an element as JSON: its text, or an object with its children, `@attributes` and
    `#text`; children of one name are a list. None for an empty one. A text with marks of HTML in it
    is one text.
    """
    cells: dict[str, Any] = {
        f"@{_attribute_name(element, name)}": value for name, value in element.attrib.items()
    }
    counts: Counter[str] = Counter()
    texts = [element.text or ""]
    for child in element:
        texts.append(child.tail or "")
        if not isinstance(child.tag, str):
            # An entity that the document declares itself.
            texts.append(child.text or "")
            continue
        name = name_of(child)
        counts[name] += 1
        value = _within(child)
        if counts[name] == 1:
            cells[name] = value
        elif counts[name] == 2:
            cells[name] = [cells[name], value]
        else:
            cells[name].append(value)
    text = "".join(texts).strip()
    if not cells:
        return text or None
    if text:
        cells[TEXT] = text
    return cells


def _within(element: Any) -> Any:
    """Return an element within a record, which may be a text with marks."""
    if not len(element) or not _is_marked_text(element):
        return as_value(element)
    text = _inner_markup(element).strip()
    cells = {f"@{_attribute_name(element, key)}": value for key, value in element.attrib.items()}
    return {**cells, TEXT: text} if cells else text


def _is_marked_text(element: Any) -> bool:
    names = [etree.QName(child).localname.lower() for child in element if _is_element(child)]
    has_text = bool((element.text or "").strip()) or any(
        (child.tail or "").strip() for child in element
    )
    return bool(names) and (_MARKS if has_text else _TEXT_MARKS).issuperset(names)


def _is_element(child: Any) -> bool:
    return isinstance(child.tag, str)


def _inner_markup(element: Any) -> str:
    parts = [html.escape(element.text or "", quote=False)]
    for child in element:
        if _is_element(child):
            name = etree.QName(child).localname
            inner = _inner_markup(child)
            shown = "".join(f' {key}="{html.escape(value)}"' for key, value in child.attrib.items())
            parts.append(f"<{name}{shown}>{inner}</{name}>" if inner else f"<{name}{shown}/>")
        else:
            parts.append(child.text or "")
        parts.append(html.escape(child.tail or "", quote=False))
    return "".join(parts)


def _attribute_name(element: Any, name: str) -> str:
    qualified = etree.QName(name)
    if not qualified.namespace:
        return qualified.localname
    if qualified.namespace == "http://www.w3.org/XML/1998/namespace":
        return f"xml:{qualified.localname}"
    prefixes = {uri: prefix for prefix, uri in element.nsmap.items() if prefix}
    prefix = prefixes.get(qualified.namespace)
    return f"{prefix}:{qualified.localname}" if prefix else qualified.localname

"""The texts of an item: what its source says, and the text that is embedded, composed of parts.

Item → Item with `text_source` (the source's values only) and `text_enriched` (with filled values
and what the pictures show).

Each part is a sentence of its own, `Label: value.`: labels say what a value is, and encoders read
no two parts as one phrase. Which parts, and in which order, was measured on five catalogs
(docs/quality.md): facts, not prose about them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from schemas.attributes import Attribute
from schemas.elements import ImageFeatures, Item, Value
from schemas.sections.vectors import IMAGE_DESCRIPTION, IMAGE_PARTS
from schemas.template import Template
from schemas.texts import fold, has_words, one_line, shorten
from transforms.attribute_types.registry import operations_of

# Raise it when the same item gives another `text_enriched`: snapshots of earlier versions get their
# texts rebuilt, and the vectors of those that changed.
VERSION = 1
# A label of the image encoder is said from this probability on; so many of a picture are looked at.
MIN_LABEL_PROBABILITY = 0.30
LABELS_OF_A_PICTURE = 3
# Of the text that was read off a picture: more is small print, often misread.
MAX_IMAGE_TEXT_CHARS = 240


def format_value(attribute: Attribute, value: Value) -> str:
    """Return a value as a reader would say it.

    >>> from schemas.attributes import Attribute
    >>> format_value(Attribute(name="weight", type="number", unit="g"), 180.0)
    '180 g'
    """
    return operations_of(attribute).format(attribute, value)


def compose_values(template: Template, values: Mapping[str, Value]) -> str:
    """Return `Label: value.` for every known attribute with `in_text`, in template order."""
    return _sentences(
        f"{attribute.title}: {format_value(attribute, values[attribute.name])}"
        for attribute in template.attributes
        if attribute.in_text and attribute.name in values
    )


def compose(template: Template, item: Item, parts: Sequence[str] = ()) -> str:
    """Return the text of an item that is embedded, made of these parts in their order.

    parts: names of attributes and of IMAGE_PARTS; none: those of `default_parts`. What is unknown
    is left out, and so is a value that an earlier part states word by word. A part that is alone
    needs no label.
    """
    if len(parts) == 1:
        return _sentences(filter(None, [_said(template, item, parts[0])[1]]))
    said: list[str] = []
    compared: list[str] = []
    for part in parts or default_parts(template, item):
        label, text = _said(template, item, part)
        if text and not (_is_fact(template, part) and _is_stated(fold(text), compared)):
            said.append(f"{label}: {text}")
            compared.append(fold(said[-1]))
    return _sentences(said)


def text_of_parts(template: Template, item: Item, parts: Sequence[str]) -> str:
    """Return the text that a space of vectors is made of: that of `text_enriched`, or of these
    parts.
    """
    return compose(template, item, parts) if parts else item.text_enriched


def default_parts(template: Template, item: Item) -> Iterator[str]:
    """Yield every attribute with `in_text` in template order, then what the pictures show: by a
    language model's description where one was asked, else by labels, colours and text.
    """
    yield from (attribute.name for attribute in template.attributes if attribute.in_text)
    if item.answer is not None:
        yield IMAGE_DESCRIPTION
    else:
        yield from (part for part in IMAGE_PARTS if part != IMAGE_DESCRIPTION)


def _said(template: Template, item: Item, part: str) -> tuple[str, str]:
    """Return a part's label and its text, empty where the item has none."""
    attribute = template.by_name.get(part)
    if attribute is None:
        return _OF_IMAGES[part](item)
    known = item.values.get(part)
    if known is None or known.value is None:
        return attribute.title, ""
    return attribute.title, format_value(attribute, known.value)


def _is_fact(template: Template, part: str) -> bool:
    """Whether the part is a value: not a title, a text, or what a picture shows."""
    return part in template.by_name and not template.by_name[part].role


def _is_stated(text: str, said: Iterable[str]) -> bool:
    """Whether a part says the text already, as words of their own; all of them are folded."""
    return any(has_words(part, text) for part in said)


def _sentences(parts: Iterable[str]) -> str:
    # A sentence's end after each part keeps encoders from reading two attributes as one phrase.
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts)


def _pictures(item: Item) -> Iterator[ImageFeatures]:
    """Yield the features of each distinct picture, in the item's order."""
    yield from {i.features.digest: i.features for i in item.images if i.features}.values()


def _labels(item: Item) -> tuple[str, str]:
    names = (
        name
        for picture in _pictures(item)
        for name, probability in picture.labels[:LABELS_OF_A_PICTURE]
        if probability >= MIN_LABEL_PROBABILITY
    )
    return "Picture", ", ".join(dict.fromkeys(names))


def _colors(item: Item) -> tuple[str, str]:
    names = (name for picture in _pictures(item) for name, _ in picture.colors)
    return "Colours", ", ".join(dict.fromkeys(names))


def _texts(item: Item) -> tuple[str, str]:
    texts = (shorten(one_line(p.text), MAX_IMAGE_TEXT_CHARS) for p in _pictures(item) if p.text)
    return "Text on the picture", " ".join(dict.fromkeys(texts))


def _description(item: Item) -> tuple[str, str]:
    return "Picture", item.image_description or ""


_OF_IMAGES: Mapping[str, Callable[[Item], tuple[str, str]]] = {
    "image_labels": _labels,
    "image_colors": _colors,
    "image_text": _texts,
    IMAGE_DESCRIPTION: _description,
}


def compose_item(template: Template, item: Item) -> Item:
    """Return the item with both texts; `text_enriched` is made of what the space `text` names."""
    parts = next(space.parts for space in template.spaces if space.name == "text")
    return replace(
        item,
        text_source=compose_values(template, item.record.values),
        text_enriched=compose(template, item, parts),
    )

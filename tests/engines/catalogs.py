"""Catalogs for engines: small ones with something of everything, and large ones of texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import Shop

# Every stage has work: a closed list that rules fill, one that only probes do, numbers that are
# compared, texts that contradict, pictures.
TEMPLATE = """
name: shop
version: 1.0.0
record:
  id: sku
  event_ts: changed
  images: {columns: photos}
attributes:
  - {name: title, type: string, role: title, from: name, description: What it is called.}
  - {name: about, type: string, role: text, from: text, description: What the shop says of it.}
  - {name: kind, type: enum, from: kind, values: [Mug, Chair, Lamp], rules: false, fill: true, description: What it is.}
  - {name: color, type: enum, from: color, values: [Red, {value: Blue, synonyms: [navy]}, Green], fill: true, description: Its colour.}
  - {name: weight, type: number, unit: g, min: 0, max: 100000, from: weight, fill: true, description: What it weighs.}
"""
# The same without pictures.
TEXT_TEMPLATE = "".join(
    line for line in TEMPLATE.splitlines(keepends=True) if "images:" not in line
)
_WORDS = {
    "Mug": "handle coffee tea drink ceramic",
    "Chair": "seat legs back sit wooden",
    "Lamp": "light bulb shade glow brass",
}
_COLORS = ("red", "navy", "green")


def records(shop: Shop, count: int = 120) -> list[dict[str, Any]]:
    """Records with pictures that are shared, missing or broken, with gaps, and some that go to
    quarantine: one id twice, one that is missing.
    """
    shop.template = TEMPLATE
    for color in ("red", "blue", "green"):
        shop.picture(f"{color}.png", color)
    (shop.images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnope")
    rows = [record(number) for number in range(count)]
    rows.append({"sku": "s005", "name": "Thing 5 again", "changed": "2026-01-01", "photos": []})
    rows.append({"sku": None, "name": "nobody"})
    return rows


def record(number: int, **given: Any) -> dict[str, Any]:
    """One record, the same for a number. given: what it has instead, None for nothing."""
    kind = list(_WORDS)[number % 3]
    words = _WORDS[kind].split()
    photos = [["red.png"], ["blue.png", "green.png"], ["gone.png"], ["broken.png", "red.png"], []]
    text = f"{words[number // 3 % 5]} {words[number // 7 % 5]} for the house, number {number}."
    row: dict[str, Any] = {
        "sku": f"s{number:03}",
        "name": f"Item {number} in {_COLORS[number // 2 % 3]}",
        "text": f"{text} Weighs {number + 100} g." if number % 4 else text,
        "kind": None if number % 5 == 0 else kind,
        "color": "Green" if number % 7 == 0 else None,
        "weight": f"{(number % 50 + 1) * (1000 if number == 33 else 1)} g" if number % 3 else None,
        "photos": photos[number % len(photos)],
    }
    return {name: value for name, value in (row | given).items() if value is not None}


def texts(path: Path, count: int, *, words: int = 110, wide: int = 0, wide_bytes: int = 0) -> Path:
    """Write a catalog of texts of so many words. wide: how many of them have `wide_bytes` instead."""
    every = max(1, count // wide) if wide else 0
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            is_wide = bool(every) and number % every == 0
            length = wide_bytes // 7 if is_wide else words
            file.write(
                json.dumps(record(number, text=" ".join(_text(number, length)), photos=None))
            )
            file.write("\n")
    return path


def _text(number: int, words: int) -> Iterator[str]:
    known = [word for each in _WORDS.values() for word in each.split()]
    for position in range(words):
        # Of no length that compresses to nothing, and no two texts alike.
        yield f"{known[(number + position * 7) % len(known)]}{(number * 31 + position * 17) % 89}"

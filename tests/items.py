"""Items as comparisons within a catalog see them: values of the source and what pictures show."""

from __future__ import annotations

from schemas.elements import (
    ImageFeatures,
    ImageResult,
    Item,
    RawRecord,
    Record,
    Value,
)

RAW = RawRecord(b"{}\n", "jsonl", "catalog.jsonl", 1)


def picture(
    colors: tuple[tuple[str, float], ...] = (),
    text: str = "",
    digest: str = "d",
    phash: str = "f0f0f0f0f0f0f0f0",
) -> ImageResult:
    return ImageResult(
        f"{digest}.jpg", ImageFeatures(digest, phash, 9, 9, "JPEG", 1, colors=colors, text=text)
    )


def item(values: dict[str, Value], *pictures: ImageResult, item_id: str = "1") -> Item:
    cells = {name: str(value) for name, value in values.items()}
    return Item(Record(item_id, values, cells, (), (), RAW), pictures)

"""transforms.extraction.compounds: pack sizes and dimensions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attribute_types.number import Part
from transforms.extraction.compounds import find_parts, states_a_pack, states_sides

SIDES: tuple[Part, ...] = ("width", "height", "depth", "length")


def amounts(text: str, part: Part, unit: str | None) -> list[float]:
    found = find_parts(text, part, unit)
    assert all(text[q.begin : q.end] == q.text for q in found)
    return [quantity.amount for quantity in found]


def sides(text: str) -> dict[str, list[float]]:
    """The sides that are stated, in cm."""
    return {part: found for part in SIDES if (found := amounts(text, part, "cm"))}


@pytest.mark.parametrize(
    ("text", "count", "each", "total"),
    [
        ("Cola 6 x 330 ml", 6, 330, 1980),
        ("Cola 6x330ml", 6, 330, 1980),
        ("Cola 6×33 cl", 6, 330, 1980),
        ("Cola 330 ml x 6", 6, 330, 1980),
        ("Öl 4 × 0,5 l", 4, 500, 2000),
        ("6 Flaschen à 330 ml", 6, 330, 1980),
        ("6 bottles of 330 ml", 6, 330, 1980),
        ("6 bouteilles de 330 ml", 6, 330, 1980),
        ("6 botellas de 33 cl", 6, 330, 1980),
        ("12-pack of 330 ml cans", 12, 330, 3960),
        ("1 x 500 ml", 1, 500, 500),
    ],
)
def test_pack_sizes(text: str, count: float, each: float, total: float) -> None:
    """A pack size states how many pieces there are, what each holds, and so the total."""
    assert set(amounts(text, "pack_count", None)) == {count}
    assert amounts(text, "each", "ml") == [each]
    assert amounts(text, "total", "ml") == [pytest.approx(total)]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Pens, pack of 12", 12),
        ("Stylos, lot de 12", 12),
        ("Verres, boîte de six", 6),
        ("Bolígrafos, caja de 12", 12),
        ("Pennor, paket om tolv", 12),
        ("12 unidades", 12),
        ("10 Stifte pro Packung", 10),
        ("Pens, 12-pack", 12),
        ("Pens (12 Pack)", 12),
        ("Pens, 12pk", 12),
        ("Bowls, set of 3", 3),
        ("Bowls, Set of three", 3),
        ("Gloves, box of 100", 100),
        ("Tea, 24 ct", 24),
        ("Tea 24-Count", 24),
        ("Stifte, 4er Pack", 4),
        ("Stifte 4er-Set", 4),
        ("Pennor 4-pack", 4),
        ("Clips, 1,000/Box", 1000),
        ("10 folders per pack", 10),
        ("Screws, 50 pcs", 50),
    ],
)
def test_announced_counts(text: str, count: float) -> None:
    """A number of pieces is read where a word announces it as such."""
    assert amounts(text, "pack_count", None) == [count]


@pytest.mark.parametrize(
    "text",
    [
        "bag of 100 g",
        "pack of 5-7",
        "pack of 2 or 3",
        "up to 12-pack",
        "2 packs of 12",
        "2 x 6-pack",
        "4 x 6 x 330 ml",
        "24 ct gold ring",
        "boîte de 100 g",
        "caja de 30 cm",
        "Diamond ring, 2 ct",
        "20 x 30 cm",
        "4 x 4 drive",
        "90 kcal per bag",
        "Set of 2.5",
        "M12-packing",
        "500 ml",
        "pack of wolves",
        "",
    ],
)
def test_no_count(text: str) -> None:
    """An amount, a range, a bound, carats, sides and packs of packs state no number of pieces."""
    assert amounts(text, "pack_count", None) == []


@pytest.mark.parametrize(
    "text", ["Cola 330 ml, 6-pack", "20 x 30 cm", "5 x 3", "2 x 3 m cable", "Cola 330 ml"]
)
def test_no_contents(text: str) -> None:
    """What a piece holds is stated with their number only: beside a pack, an amount may be one's or
    all's.
    """
    assert amounts(text, "each", "ml") == amounts(text, "total", "ml") == []


def test_contents_have_their_kind() -> None:
    """A pack of litres states no grams, and lengths are sides, never pieces."""
    assert amounts("6 x 330 ml", "each", "g") == []
    assert amounts("4 x 30 cm", "total", "cm") == []
    assert amounts("4 x 6 x 330 ml", "total", "ml") == [7920]
    assert amounts("6 x 1/2 l", "each", "ml") == [500]


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("LxWxH: 30 x 20 x 10 cm", {"length": 30, "width": 20, "height": 10}),
        ("Box (L x W x H) 30x20x10cm", {"length": 30, "width": 20, "height": 10}),
        ("30 x 20 x 10 cm (L x W x H)", {"length": 30, "width": 20, "height": 10}),
        ("Maße (B x H x T): 120 x 75 x 60 cm", {"width": 120, "height": 75, "depth": 60}),
        ("Mått HxBxD 100×200×300 mm", {"height": 10, "width": 20, "depth": 30}),
        ("Length x Width: 2 m x 1,5 m", {"length": 200, "width": 150}),
        ('8.5" W x 11" H', {"width": 21.59, "height": 27.94}),
        ('36"W x 25"D x 34"H', {"width": 91.44, "depth": 63.5, "height": 86.36}),
        ("H 10 cm, B 5 cm", {"height": 10, "width": 5}),
        ("W30 x H40 x D20 cm", {"width": 30, "height": 40, "depth": 20}),
        ("W30xH40xD20cm", {"width": 30, "height": 40, "depth": 20}),
        ("10 cm (H) x 5 cm (W)", {"height": 10, "width": 5}),
        ("Höhe 10 cm, Breite 5 cm", {"height": 10, "width": 5}),
        ("30 cm wide and 20 cm deep", {"width": 30, "depth": 20}),
        ("Desk, 120 cm wide.", {"width": 120}),
        ("H: 10 cm", {"height": 10}),
    ],
)
def test_sides_that_are_told_apart(text: str, stated: dict[str, float]) -> None:
    """A legend, letters or words at the numbers say which side each is; a unit at the end is that
    of all.
    """
    found = sides(text)
    assert found == {part: [pytest.approx(amount)] for part, amount in stated.items()}
    assert states_sides(text)


@pytest.mark.parametrize(
    "text",
    [
        "20 x 30 x 5 cm",
        "LxWxH 30 x 20 cm",
        "D 10 x H 12 cm",
        "W 10 x W 12 cm",
        "Shirt L 70 cm",
        "a 5 cm wide strap",
        "up to 30 cm high",
        "extra long 30 cm",
        "60 W, 5 L",
        "100 W x 3 H",
        "9 cm wide x 14 front-to-back",
        "W 30 x H 40",
        "L x W x H",
        "",
    ],
)
def test_sides_are_never_guessed(text: str) -> None:
    """Without a legend of the same length, or where a letter may mean something else, no side is
    stated.
    """
    assert sides(text) == {}
    assert not states_sides(text)


def test_evidence_holds_the_unit() -> None:
    """The span of a number whose unit stands with the last one reaches to the unit."""
    [width] = find_parts("Box (W x H): 30 x 20 cm.", "width", "cm")
    assert width.text == "30 x 20 cm"
    [height] = find_parts("W 30 cm x H 20 cm", "height", "cm")
    assert height.text == "H 20 cm"


def test_the_column_tells_the_mark() -> None:
    """In a cell of a column with decimal commas 1,250 has decimals, in packs as alone."""
    [total] = find_parts("2 x 1,250 kg", "total", "g", ",")
    assert total.amount == 2500
    [total] = find_parts("2 x 1.250 g", "total", "g", ",")
    assert total.amount == 2500
    [width] = find_parts("W 1,200 mm x H 600 mm", "width", "mm", ".")
    assert width.amount == 1200


def test_speaking_of_packs() -> None:
    """A text speaks of a pack in whatever unit; one of one piece is none."""
    assert all(map(states_a_pack, ["6-pack", "6 x 330 ml", "2 x 3 x 50 g", "500 g, pack of 2"]))
    assert not any(map(states_a_pack, ["500 g", "1 x 500 g", "pack of 1", "20 x 30 cm", ""]))


@given(st.text(alphabet='0123456789 x×,./-()LWHBDT"cmgl\u00a0½packofset:', max_size=50))
def test_any_text_can_be_read(text: str) -> None:
    """Whatever a text holds, reading does not fail, and every finding cuts its text out."""
    for part in SIDES:
        amounts(text, part, "cm")
    for part in ("each", "total"):
        amounts(text, part, "ml")
    amounts(text, "pack_count", None)

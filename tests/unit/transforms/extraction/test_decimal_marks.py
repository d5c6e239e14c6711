"""transforms.extraction.decimal_marks: decimals or thousands, by column, text, language and unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.extraction.compounds import find_parts
from transforms.extraction.decimal_marks import (
    DecimalMark,
    column_mark,
    groups_thousands,
    mark_of_whole,
    reads_two_ways,
    text_mark,
)
from transforms.extraction.quantities import find_quantities


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("Mehl mit Ei für Brot, 1.250 g", ","),
        ("Farine pour une pâte dans un four, 1,250 kg", ","),
        ("Mjöl för bröd och kakor, 1.250 g", ","),
        ("Flour with egg for bread, 1,250 g", "."),
        ("Rice, 1,250 kg", None),
        ("Harina para el pan, 1,250 kg", None),
        ("Fett 3,2 g, Mehl 1.250 g", ","),
        ("Flour with egg for bread, 3,2 g fat, 1,250 g", ","),
        ("500 g Rice", None),
        ("Motor Pro von Bosch, 1,500 W", None),
        ("Nudeln in Sauce, 1.250 g", None),
    ],
)
def test_the_language_of_a_text_tells_its_mark(text: str, mark: DecimalMark | None) -> None:
    """Other numbers decide, then words that only languages with one mark have; Spanish has both."""
    assert text_mark(text) == mark


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("Mehl mit Ei für Brot, 1.250 g", [1250]),
        ("Mehl mit Ei für Brot, 1,250 kg", [1250]),
        ("Flour with egg for bread, 1,250 g", [1250]),
        ("Flour with egg for bread, 1.250 kg", [1250]),
        ("Toor dal 1,250 kg", []),
        ("Toor dal 1.250 kg", []),
        ("Toor dal 1.25 kg", [1250]),
        ("Toor dal 2 lbs", [907.18474]),
        ("Toor dal 1.375 lb", [623.689509]),
    ],
)
def test_texts_state_no_number_that_reads_two_ways(text: str, amounts: list[float]) -> None:
    """A text states an amount only where it tells its mark, as do units of inches and pounds."""
    found = [quantity.amount for quantity in find_quantities(text, "g")]
    assert found == pytest.approx(amounts)


def test_packs_and_sides_of_texts() -> None:
    """In packs and sides a number that reads two ways is left out, too; pieces are still counted."""
    assert find_parts("2 x 1,250 kg", "total", "g") == []
    assert [each.amount for each in find_parts("2 x 1,250 kg", "pack_count", None)] == [2]
    assert find_parts("W 1.200 mm x H 600 mm", "width", "mm") == []
    [width] = find_parts('W 11.375" x H 20"', "width", "inch")
    assert width.amount == 11.375


@given(
    st.lists(st.integers(1, 9_999_999), min_size=1, max_size=20),
    st.sampled_from([(",", "."), (".", ",")]),
    st.integers(0, 4),
)
def test_a_column_never_tells_the_other_mark(
    thousandths: list[int], marks: tuple[DecimalMark, DecimalMark], decimals: int
) -> None:
    """A column written by one rule tells its own decimal mark, or nothing."""
    decimal, group = marks
    cells = []
    for each in thousandths:
        whole, _, rest = f"{each / 1000:,.{decimals}f}".partition(".")
        cells.append(whole.replace(",", group) + (f"{decimal}{rest}" if rest else ""))
    # Wholly between: three decimals of small numbers look like thousands of whole ones.
    assert column_mark(cells) in (decimal, None)


@given(st.lists(st.integers(0, 9_999_999), min_size=1, max_size=20), st.sampled_from(",."))
def test_thousands_of_whole_numbers(numbers: list[int], group: str) -> None:
    """Where small numbers stand without a mark, one before three digits groups thousands."""
    cells = [f"{number:,}".replace(",", group) for number in numbers]
    if groups_thousands(cells):
        for number, cell in zip(numbers, cells, strict=True):
            if reads_two_ways(cell):
                mark = mark_of_whole(cell, groups=True)
                assert mark is not None
                assert mark != group
                assert number >= 1000

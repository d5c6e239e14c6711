"""Every parser of outside text takes a time that grows with the text, whatever the text is."""

from __future__ import annotations

from contextlib import suppress

import pytest

from benchmarks.growth import PIECES, Nasty, measured, random_texts
from benchmarks.parsers import parsers

WORST = 2.5
PARSERS = parsers()


@pytest.mark.parametrize("name", PARSERS)
def test_every_parser_is_asked_as_it_wants_to_be(name: str) -> None:
    """A plain text is read, or refused as no text of its kind: else nothing would be measured."""
    with suppress(ValueError):
        PARSERS[name]("Red mug, 12 kg")


@pytest.mark.parametrize("name", PARSERS)
def test_no_text_takes_more_than_its_length(name: str) -> None:
    """From one size to its double, a parser's time grows by at most 2.5, for pieces that texts
    repeat and for some compositions of them; `python -m benchmarks.growth` tries more.
    """
    seed = sum(name.encode())
    chosen = [Nasty("", piece) for piece in PIECES[seed % 14 :: 14]]
    for nasty in [*chosen, *random_texts(1, seed)]:
        found = measured(PARSERS[name], nasty, WORST)
        assert found.rate <= WORST, f"{nasty}: {found}"

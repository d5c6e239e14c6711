"""Which attributes are the title, the texts and the prices of an item. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipelines.drafting.findings import Guess, key_of
from pipelines.drafting.names import has_word, how_much_called, is_called

TEXT_CHARS = 80
MAX_TITLE_CHARS = 300


def with_roles(guesses: Sequence[Guess]) -> list[Guess]:
    """Return the guesses with the title and the texts that others may be filled from.

    The title is the column that is called so; where none is, there is no title.
    """
    titles = sorted(
        (each for each in guesses if how_like_a_title(each) > 0),
        key=lambda each: -how_like_a_title(each),
    )
    title = titles[0].source if titles else None
    return [
        each
        if (role := _role(each, title)) is None
        else replace(each, options={**each.options, "role": role})
        for each in guesses
    ]


def _role(each: Guess, title: str | None) -> str | None:
    kind = each.options["type"]
    if each.source == title:
        return "title"
    if kind == "string" and (
        each.mean_chars >= TEXT_CHARS or is_called(key_of(each.source), "text")
    ):
        return "text"
    if kind == "localized" and title is not None and title.startswith(f"{each.source}."):
        return "title"
    return None


def how_like_a_title(each: Guess) -> float:
    """Return above 0.0 for texts of a column that is called as titles are."""
    if each.options["type"] != "string" or each.mean_chars > MAX_TITLE_CHARS:
        return 0.0
    source = each.source.removesuffix(".first")
    # A key inside a column may be the name of anything: `details.Brand Name`, `attrs.label`.
    named = how_much_called(source, "title") * (0.5 if "." in each.source else 1.0)
    fits = 0.3 if 8 <= each.mean_chars <= 150 else 0.0
    return (named + fits) * max(0.05, each.known_share) if named else 0.0


def prices(guesses: Sequence[Guess]) -> list[Guess]:
    """Return the attributes that are prices."""
    return [
        each
        for each in guesses
        if each.options["type"] in ("number", "money") and has_word(key_of(each.source), "price")
    ]

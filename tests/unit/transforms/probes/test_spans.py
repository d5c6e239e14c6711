"""transforms.probes.spans."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.elements import EvidenceText, Example
from transforms.probes.spans import (
    MAX_TEXT_CHARS,
    Lexicon,
    Passage,
    Span,
    SpanRow,
    Tagger,
    features_of,
    fit_tagger,
    key_of,
    lexicon,
    passages,
    tags_of,
    with_marks,
)

TITLES = frozenset({"title"})


def cut(*texts: str) -> tuple[Passage, ...]:
    """The first text as a title."""
    fields = ["title", "about.en", "about.sv"]
    return passages(
        Example(
            "1", tuple(EvidenceText(f, t, "text") for f, t in zip(fields, texts, strict=False))
        ),
        TITLES,
    )


def row(value: str | None, *texts: str) -> SpanRow:
    return SpanRow.of(cut(*texts), (), value)


THINGS = ("Lamp", "Chair", "Kettle", "Clock", "Fan")
BRANDS = ("Acme", "Nordhem", "Blå Katt")


@cache
def codes() -> Tagger:
    """Learnt from rows that name a model behind a label, in two languages, and from rows without
    any.
    """
    rows = []
    for n in range(60):
        code, thing = f"{'ABCDEFG'[n % 7]}{'XYZ'[n % 3]}-{n * 37 % 1000:03}", THINGS[n % 5]
        label = "Model" if n % 2 else "Modellnr"
        rows.append(
            row(
                code, f"{thing} of steel {n}", f"Ships in {n % 9} days. {label}: {code} from stock."
            )
        )
    rows += [
        row(None, f"{THINGS[n % 5]} of wood", f"Ships in {n} days from stock.") for n in range(20)
    ]
    return fitted(rows)


@cache
def brands() -> Tagger:
    """Learnt from titles that begin with one of three brands."""
    return fitted(
        [row(BRANDS[n % 3], f"{BRANDS[n % 3]} {THINGS[n % 5].lower()} {n}") for n in range(45)]
    )


def fitted(rows: list[SpanRow]) -> Tagger:
    tagger = fit_tagger(rows)
    assert tagger is not None
    return tagger


def answered(tagger: Tagger, *texts: str) -> Span:
    """The answer, whose text stands at its place."""
    own = cut(*texts)
    span = tagger.answer(own, ())
    assert span is not None
    assert own[span.passage].text[span.begin : span.end] == span.text
    return span


@pytest.mark.parametrize(
    ("about", "value"),
    [
        ("Ships in 3 days. Model: QW-909 from stock.", "QW-909"),
        ("Modellnr: HJ-004 from stock.", "HJ-004"),
        ("👕👕 Größe 7. Model: QX-515 from stock.", "QX-515"),
    ],
)
def test_unseen_values_are_found_by_context_and_shape(about: str, value: str) -> None:
    """A value that no row has is found behind what precedes values, at its code points, whatever
    stands before it.
    """
    span = answered(codes(), "Kettle of steel 4", about)
    assert (span.text, span.passage) == (value, 1)
    assert span.score > 0.9


def test_no_value_where_the_text_has_none() -> None:
    """A text without a value gives no likely span: below one half, where one with a value is nearly
    sure.
    """
    assert answered(codes(), "Kettle of wood", "Ships in 3 days from stock.").score < 0.5
    assert codes().answer(cut("", ""), ()) is None
    assert codes().answer((), ()) is None


@pytest.mark.parametrize("brand", BRANDS)
def test_known_values_are_found(brand: str) -> None:
    """Values that rows have are found in titles of things that none has, in any case, also of two
    words.
    """
    assert answered(brands(), f"{brand} teapot 99").text == brand
    assert answered(brands(), f"{brand.upper()} teapot 99").text == brand.upper()


def test_non_ascii_values() -> None:
    """Values, labels and neighbours in other scripts are learnt, and code points counted."""
    rows = [
        row(
            f"品{'天地人'[n % 3]}{n}",
            f"青い灯り {n}",
            f"重さ {n % 5} 。型番: 品{'天地人'[n % 3]}{n} 。",
        )
        for n in range(40)
    ]
    span = answered(fitted(rows), "青い椅子", "😀 重さ 3 。型番: 品山77 。")
    assert span.text == "品山77"


def test_the_own_value_is_not_known() -> None:
    """While a row teaches, its value counts as known only if another row has it too; else tagging
    would be copying.
    """
    passage = cut("Acme lamp")[0]
    features = features_of(passage, ())
    once, twice = lexicon(["Acme"]), lexicon(["Acme", "ACME"])

    def marks(known: Lexicon, own: tuple[str, ...] = ()) -> list[str]:
        return [each[-2] for each in with_marks(features, passage, known, own)]

    assert marks(once, key_of("acme")) == ["g=-", "g=-"]
    assert marks(twice, key_of("acme")) == ["g=B", "g=-"]
    assert marks(once) == ["g=B", "g=-"]
    longest = lexicon(["acme", "acme lamp"])
    assert marks(longest) == ["g=B", "g=I"]


def test_every_place_of_the_value_is_tagged() -> None:
    """All mentions count, case aside, none overlapping; no value, no tags."""
    passage = cut("go GO go, Go-go go")[0]
    assert tags_of(passage, key_of("Go go")) == ["B", "I", "O", "O", "O", "O", "B", "I"]
    assert set(tags_of(passage, ())) == {"O"}
    assert set(tags_of(passage, key_of("gone"))) == {"O"}


def test_rows_that_do_not_say_their_value_teach_nothing() -> None:
    """Where no text says its row's value there is no tagger, and none from no rows or from absent
    ones alone.
    """
    assert fit_tagger([row("Acme", "Lamp"), row(None, "Chair")]) is None
    assert fit_tagger([row(None, "Chair")]) is None
    assert fit_tagger([]) is None


def test_texts_that_are_nothing_but_the_value() -> None:
    """Where training texts hold no other word the tagger takes all, as it has seen nothing else."""
    tagger = fitted([row("Acme", "Acme")] * 3)
    assert answered(tagger, "Acme").text == "Acme"


def test_equal_rows_give_equal_bytes() -> None:
    """Training is repeatable to the byte."""
    rows = [row(f"A-{n}", f"Lamp A-{n} new") for n in range(20)]
    assert fitted(rows).model == fitted(rows).model


def test_long_texts_are_cut_and_pictures_left_out() -> None:
    """Passages hold MAX_TEXT_CHARS together, each a beginning of its text; text on pictures is
    none.
    """
    texts = (
        EvidenceText("title", "x" * (MAX_TEXT_CHARS - 3), "text"),
        EvidenceText("image_text", "Acme", "image", "d"),
        EvidenceText("about", "a bcdef", "text"),
        EvidenceText("more", "never", "text"),
    )
    kept = passages(Example("1", texts), TITLES)
    assert [(p.field, p.is_title, len(p.text)) for p in kept] == [
        ("title", True, 2_997),
        ("about", False, 3),
    ]
    assert [word for word, _, _ in kept[1].words] == ["a", "b"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(max_size=40)
        | st.sampled_from(["Model: AX-1", "Model:", "\0 \0", "e\u0301", "İ ẞ ﬁ"]),
        max_size=3,
    )
)
def test_any_text_is_answered(texts: list[str]) -> None:
    """Whatever the texts, an answer is a span of one of them with a score from 0 to 1, or none."""
    own = cut(*texts)
    span = codes().answer(own, ())
    assert (span is None) == (not any(passage.words for passage in own))
    if span is not None:
        assert own[span.passage].text[span.begin : span.end] == span.text != ""
        assert 0 <= span.score <= 1

"""transforms.probes.training."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.elements import Example
from tests.support import clean_example, example, learning_template, without
from transforms.attribute_types.registry import operations_of
from transforms.items.evidence import CONFIDENCE, statements_of
from transforms.probes.classifier import Classifier
from transforms.probes.predict import propose
from transforms.probes.spans import Tagger
from transforms.probes.store import to_bytes
from transforms.probes.training import (
    FOLDS,
    MIN_LABELLED,
    MIN_SHARED_TEXT_CHARS,
    PRIOR_ANSWERS,
    REFERENCE_MARK,
    Disagreement,
    Probe,
    choose_examples,
    folds_of,
    is_learnable,
    label_counts,
    rule_record,
    train_probe,
)

SHOP = learning_template()
CLEAN = [clean_example(n) for n in range(60)]


def train(name: str, rows: list[Example]) -> Probe:
    return train_probe(SHOP, SHOP.by_name[name], rows)


@pytest.mark.parametrize("name", ["color", "proof", "tags"])
def test_a_classifier_is_learnt(name: str) -> None:
    """Of clean rows an attribute with a closed list is learnt, and held-back rows are answered
    rightly.
    """
    probe = train(name, CLEAN)
    assert isinstance(probe.model, Classifier)
    assert (probe.kind, probe.labelled, probe.absent, probe.note) == ("classes", 60, 0, "")
    assert probe.right > 0.95
    assert probe.cut.threshold <= 1
    assert probe.cut.precision > 0.95


@pytest.mark.parametrize("name", ["color", "model"])
@pytest.mark.parametrize("own", [0, 29, 30])
def test_it_is_told_where_other_catalogs_rows_measured_it(name: str, own: int) -> None:
    """A probe that answers says so when most of the rows that it was measured on are not the
    catalog's own.
    """
    rows = [
        replace(row, item_id=(REFERENCE_MARK if n >= own else "") + row.item_id)
        for n, row in enumerate(CLEAN)
    ]
    probe = train(name, rows)
    assert probe.cut.threshold <= 1
    assert probe.note.startswith(
        f"{own} of 60 rows with a value are this catalog's own" if own < 30 else ""
    )
    assert bool(probe.note) == (own < 30)


def test_a_tagger_is_learnt() -> None:
    """Of clean rows an open text is learnt, of which no two rows share the value."""
    probe = train("model", CLEAN)
    assert isinstance(probe.model, Tagger)
    assert (probe.kind, probe.labelled, probe.classes, probe.note) == ("spans", 60, 60, "")
    assert probe.right > 0.95
    assert probe.cut.threshold <= 1


@pytest.mark.parametrize("name", ["color", "model"])
def test_too_few_labels(name: str) -> None:
    """With fewer rows than MIN_LABELLED it abstains and says so; with as many it is trained."""
    few = train(name, CLEAN[: MIN_LABELLED - 1])
    assert few.model is None
    assert (
        few.note == f"{MIN_LABELLED - 1} rows have a value, {MIN_LABELLED} are needed to learn from"
    )
    assert few.cut.threshold > 1
    assert train(name, CLEAN[:MIN_LABELLED]).model is not None
    assert train(name, []).note.startswith("0 rows have a value")


def test_one_value_only() -> None:
    """Where all rows have one value it abstains, unless others say that there is none."""
    reds = CLEAN[::3]
    assert (
        train("color", reds).note
        == "all rows have the same value: nothing tells when it does not hold"
    )
    none = [replace(without(row), absent=("color",)) for row in CLEAN[1::3]]
    assert train("color", [*reds, *none]).model is not None


def test_nothing_to_learn_from() -> None:
    """Without texts, or without a text that says its value, it abstains and says so."""
    bare = [example(f"i{n}", known={"color": ("Red" if n % 2 else "Blue",)}) for n in range(20)]
    assert train("color", bare).note == "no row has a text or picture to learn from"
    silent = [example(f"i{n}", "lamp", known={"model": (f"K{n}",)}) for n in range(20)]
    assert train("model", silent).note == "no row's texts say its value"


@pytest.mark.parametrize("name", ["color", "model"])
def test_all_rows_are_near_copies(name: str) -> None:
    """Where each row shares a picture with the next none can be held back, and it abstains and says
    so.
    """
    chain = [replace(row, pictures=(f"p{at}", f"p{at + 1}")) for at, row in enumerate(CLEAN)]
    probe = train(name, chain)
    assert (probe.model, probe.cut.threshold > 1) == (None, True)
    assert probe.note.startswith("all rows share a picture or a long text")


@pytest.mark.parametrize("name", ["color", "model"])
def test_a_stand_in_makes_no_copies(name: str) -> None:
    """A picture that a large part of the rows hold says nothing of them: they are held back one by
    one as before.
    """
    with_stand_in = [replace(row, pictures=("no-photo",)) for row in CLEAN]
    assert set(folds_of(with_stand_in).tolist()) == set(folds_of(CLEAN).tolist())
    assert train(name, with_stand_in).note == ""


def test_chance_is_not_answered() -> None:
    """Where values have nothing to do with the rows no threshold keeps the precision, and it says
    so.
    """
    shuffled = [
        replace(row, known={"color": CLEAN[n * 37 % 60 // 7].known["color"]})
        for n, row in enumerate(CLEAN)
    ]
    probe = train("color", shuffled)
    assert probe.cut.threshold > 1
    assert probe.note == "no threshold keeps a precision of 95% on the held-back rows"


def test_kinds() -> None:
    """Closed lists and booleans get a classifier, open texts a tagger, numbers neither; titles
    teach nothing.
    """
    kinds = {
        attribute.name: operations_of(attribute).probe_kind(attribute)
        for attribute in SHOP.attributes
        if is_learnable(attribute)
    }
    expected = dict.fromkeys(("color", "tags", "proof"), "classes")
    assert kinds == {**expected, "model": "spans", "weight": "none"}
    weighed = [replace(row, known={"weight": ("5.0",)}) for row in CLEAN]
    probe = train("weight", weighed)
    assert (probe.kind, probe.labelled, probe.model, probe.note) == ("none", 60, None, "")


def test_near_copies_are_held_back_together() -> None:
    """Rows that share a picture or a long text, also by way of another row, are in one fold; short
    texts do not tie.
    """
    long = "x" * MIN_SHARED_TEXT_CHARS
    chain = [
        example("b", long),
        example("a", "one", long, pictures={"p": []}),
        example("c", "two", pictures={"p": [], "q": []}),
        example("d", "three", pictures={"q": []}),
    ]
    others = [example(f"o{n}", "short") for n in range(40)]
    folds = folds_of([*others[:20], *chain, *others[20:]]).tolist()
    assert len(set(folds[20:24])) == 1
    assert set(folds) == set(range(FOLDS))
    assert [fold for at, fold in enumerate(folds) if not 20 <= at < 24] == folds_of(others).tolist()


@settings(max_examples=3, deadline=None)
@given(st.permutations(range(60)), st.sampled_from(["color", "tags", "model"]))
def test_order_does_not_matter(order: list[int], name: str) -> None:
    """The same rows in any order give the same probe, to the byte."""
    rows = [CLEAN[n] if n % 9 else replace(without(CLEAN[n]), absent=(name,)) for n in range(60)]
    assert to_bytes(train(name, [rows[n] for n in order])) == to_bytes(train(name, rows))


def test_rules_are_counted() -> None:
    """Of each row the first statement of a kind at a place counts, as right where it is the row's
    value.
    """
    rows = [
        example("1", "Red lamp", "A red lamp. Also red.", {"color": ("Red",)}),
        example("2", "Red lamp", known={"color": ("Blue",)}),
        example("3", "Red and blue lamp", known={"color": ("Blue",)}),
        example("4", "lamp", known={"color": ("Blue",)}),
        example("5", "Red lamp", absent=("color",)),
    ]
    said = [list(statements_of(SHOP, row.texts, SHOP.by_name["color"])) for row in rows]
    record = rule_record(said, [row.known.get("color", ()) for row in rows])
    assert record == {("term", "title"): (1, 3), ("term", "text"): (1, 1)}
    assert train("color", rows).rules == record


@given(
    right=st.integers(0, 5_000),
    wrong=st.integers(0, 5_000),
    kind=st.sampled_from(sorted(CONFIDENCE)),
    place=st.sampled_from(["title", "text", "image"]),
)
def test_rule_confidence_is_drawn_to_the_prior(
    right: int, wrong: int, kind: str, place: str
) -> None:
    """A rule's confidence lies between its prior and what was measured, by how much was measured."""
    probe = Probe("color", rules={(kind, place): (right, right + wrong)})
    ((at, sure),) = probe.rule_confidence().items()
    prior = CONFIDENCE[at[0]][at[1]]
    measured = right / (right + wrong) if right + wrong else prior
    share = (right + wrong) / (right + wrong + PRIOR_ANSWERS)
    assert at == (kind, place)
    assert sure == pytest.approx(share * measured + (1 - share) * prior, abs=1e-4)
    assert min(prior, measured) - 1e-4 <= sure <= max(prior, measured) + 1e-4


def test_a_swapped_label_is_found() -> None:
    """Among clean rows the one with another value than rows like it is named, with what they have,
    and no other.
    """
    wrong = replace(CLEAN[7], known={**CLEAN[7].known, "color": ("Red",)})
    found = train("color", [*CLEAN[:7], wrong, *CLEAN[8:]]).disagreements
    assert set(found) == {wrong.item_id}
    assert found[wrong.item_id].value == CLEAN[7].known["color"] == ("Blue",)
    assert 0.8 <= found[wrong.item_id].confidence < 1
    assert train("color", CLEAN).disagreements == {}


def test_several_values_disagree_only_where_none_is_shared() -> None:
    """Of several values one more or less is no contradiction; other values altogether are."""
    rows = [clean_example(n) for n in range(150)]
    more = replace(rows[7], known={**rows[7].known, "tags": ("new", "sale")})
    other = replace(rows[11], known={**rows[11].known, "tags": ("eco", "sale")})
    rows[7], rows[11] = more, other
    found = train("tags", rows).disagreements
    assert {item: each.value for item, each in found.items()} == {other.item_id: ("new",)}
    assert all(isinstance(each, Disagreement) for each in found.values())


@pytest.mark.parametrize("name", ["color", "model"])
def test_rows_teach_that_there_is_none(name: str) -> None:
    """From rows whose source says that there is none a probe learns to fill none in rows like them."""
    plain = [example(f"n{n}", f"gift card {n}", "Comes by mail", absent=(name,)) for n in range(30)]
    probe = train(name, [*CLEAN, *plain])
    assert (probe.labelled, probe.absent) == (60, 30)
    assert probe.cut.threshold <= 1
    asked = [example("x", "gift card 99", "Comes by mail"), without(CLEAN[4])]
    none, value = propose(SHOP, probe, "d", asked)
    assert none.value is None
    assert value.value == CLEAN[4].known[name][0]


def test_which_rows_are_learnt_from() -> None:
    """Rows with a value, or without any by their source, of these the asked share, always the same
    ones.
    """
    rows = [*CLEAN, example("none", absent=("color",)), example("unknown")]
    assert [row.item_id for row in choose_examples("color", 1, rows)] == [
        row.item_id for row in rows[:-1]
    ]
    many = [replace(CLEAN[0], item_id=str(n)) for n in range(1_000)]
    half, third = (
        {row.item_id for row in choose_examples("color", share, many)} for share in (0.5, 1 / 3)
    )
    assert third < half
    assert 400 < len(half) < 600
    assert half == {row.item_id for row in choose_examples("color", 0.5, many[::-1])}
    assert not list(choose_examples("color", 0, many))


def test_labels_are_counted() -> None:
    """Rows are counted by label, each of several; "" counts those without any by their source;
    titles do not count.
    """
    rows = [*CLEAN[:5], example("none", "lamp", absent=("color",))]
    counts = label_counts(SHOP, rows)
    assert counts["color"] == {"Red": 2, "Blue": 2, "Green": 1, "": 1}
    assert counts["tags"] == {"new": 3, "eco": 2, "sale": 2}
    assert set(counts) == {"color", "tags", "proof", "model"}

"""transforms.probes.learn."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Bucket, EvidenceText, Example, Item, RawRecord, Record
from schemas.template import Template
from tests.support import clean_example, example, learning_template
from transforms.consistency.compare import STATISTICS
from transforms.items.bucket_files import KeepBucket
from transforms.models.contract import ModelOptions
from transforms.models.encoder_options import EncoderOptions
from transforms.probes.learn import (
    LABELS,
    MAX_COUNTED_LABELS,
    OWN,
    REFERENCE,
    ROWS,
    Counts,
    EarlierProbe,
    Examples,
    LearnConfig,
    LearnProbes,
    MakeExamples,
    counts_of,
    examples_of,
    folded,
    merge_counts,
    moved,
    own_text,
    share_of,
    size_of,
    smallest_examples,
    training_key,
)
from transforms.probes.report import ProbeReport, below_snapshot
from transforms.probes.store import load_probe
from transforms.runtime.spool import read_spool
from transforms.runtime.stages.fused import FusedStep, in_one

SHOP = learning_template()
FAKES = ModelOptions("fake", text=EncoderOptions("fake"), image=EncoderOptions("fake"))
RAW = RawRecord(b"{}\n", "jsonl", "catalog.jsonl", 1)

label_counts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 20))


@given(label_counts, label_counts)
def test_moved_is_a_distance(before: dict[str, int], now: dict[str, int]) -> None:
    """How far labels moved is 0 for the same, 1 at most, and the same either way."""
    assert moved(before, before) == 0
    assert 0 <= moved(before, now) <= 1
    assert moved(before, now) == pytest.approx(moved(now, before))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": 50, "b": 50}, {"a": 60, "b": 40}, 0.1),
        ({"a": 50, "b": 50}, {"a": 100, "b": 100}, 0.5),
        ({"a": 10}, {"b": 10}, 1.0),
        ({}, {"a": 1}, 1.0),
        ({"a": 0}, {}, 0.0),
    ],
)
def test_moved(before: dict[str, int], now: dict[str, int], expected: float) -> None:
    """Labels move by their shares, or by their number where that moved more."""
    assert moved(before, now) == pytest.approx(expected)


def test_folded() -> None:
    """Few labels are counted by name in order; many by hash, so that the count stays small and no
    row is lost.
    """
    assert list(folded({"b": 1, "a": 2}).items()) == [("a", 2), ("b", 1)]
    many = {f"label {n}": n for n in range(MAX_COUNTED_LABELS + 1)}
    counted = folded(many)
    assert len(counted) <= MAX_COUNTED_LABELS
    assert sum(counted.values()) == sum(many.values())
    assert counted == folded(dict(reversed(many.items())))


@given(own=st.integers(0, 3_000), other=st.integers(0, 3_000), most=st.integers(1, 2_000))
def test_shares_fill_up(own: int, other: int, most: int) -> None:
    """Own rows come first, and rows of other catalogs fill up, `most` together; all are taken where
    they suffice.
    """
    counts = {OWN: {"color": Counter({ROWS: own})}, REFERENCE: {"color": Counter({ROWS: other})}}
    shares = [share_of(counts, kind, "color", most) for kind in (OWN, REFERENCE)]
    assert all(0 <= share <= 1 for share in shares)
    assert shares[0] * own + shares[1] * other == pytest.approx(min(most, own + other))
    assert shares[1] == 0 or own < most
    assert share_of(counts, OWN, "tags", most) == share_of({}, OWN, "color", most) == 0


def test_counts_add_up() -> None:
    """Counts of parts are summed by kind, attribute and label, whatever is merged first, and stay
    as they were.
    """
    parts: list[Any] = [
        {OWN: {"color": Counter(Red=2)}},
        {OWN: {"color": Counter(Red=1, Blue=1), "tags": Counter(new=1)}},
        {REFERENCE: {"color": Counter(Red=5)}},
    ]
    total = {
        OWN: {"color": {"Red": 3, "Blue": 1}, "tags": {"new": 1}},
        REFERENCE: {"color": {"Red": 5}},
    }
    assert merge_counts(parts) == merge_counts([merge_counts(parts[1:]), parts[0]]) == total
    assert parts[0] == {OWN: {"color": {"Red": 2}}}
    assert merge_counts([]) == {}


@given(st.lists(st.integers(0, 3 * MAX_COUNTED_LABELS), max_size=9), st.integers(1, 900))
def test_however_many_labels_are_counted_few_are_held(starts: list[int], each: int) -> None:
    """Sums of counts hold no more labels than are told apart, and come to what all labels counted
    at once come to, in whatever order they are added.
    """
    parts: list[Counts] = [
        {OWN: {"color": Counter({f"label {n}": n + 1 for n in range(start, start + each)})}}
        for start in starts
    ]
    whole: Counter[str] = Counter()
    for part in parts:
        whole.update(part[OWN]["color"])
        part[OWN]["color"][ROWS] = 7
    merged = merge_counts(parts).get(OWN, {}).get("color", Counter())
    again = merge_counts([merge_counts(parts[1:]), merge_counts(parts[:1])])
    assert again == merge_counts(parts)
    assert merged.pop(ROWS, 0) == 7 * len(parts)
    assert len(merged) <= MAX_COUNTED_LABELS
    assert folded(merged) == folded(whole)


SIZES = st.lists(st.integers(0, 30_000), max_size=12)


@given(SIZES, st.integers(0, 200_000), st.randoms())
def test_what_is_learnt_from_fits(sizes: list[int], most: int, chance: random.Random) -> None:
    """A probe is trained on the rows that fit together, the smallest where not all do, whatever the
    order in which they are read; how many are left out is told.
    """
    rows = [
        replace(example(f"{n}"), texts=(EvidenceText("about", "x" * size, "text"),))
        for n, size in enumerate(sizes)
    ]
    held, left_out = smallest_examples(lambda: rows, most)
    assert len(held) + left_out == len(rows)
    assert sum(map(size_of, held)) <= most
    others = [size_of(row) for row in rows if row not in held]
    if others:
        assert max(map(size_of, held), default=0) <= min(others)
        assert sum(map(size_of, held)) + min(others) > most
    shuffled = chance.sample(rows, len(rows))
    again, _ = smallest_examples(lambda: shuffled, most)
    assert {row.item_id for row in again} == {row.item_id for row in held}


def test_rows_that_are_too_large_are_told(tmp_path: Path) -> None:
    """Rows of megabytes are not learnt from, the others are, and the probe's note counts them."""
    huge = [
        replace(row, item_id=f"h{n}", texts=(EvidenceText("about", "red " * 100_000, "text"),))
        for n, row in enumerate(CLEAN[:3])
    ]
    reports = learn(tmp_path / "huge", [*CLEAN, *huge], max_bytes=1_000_000)
    assert reports["color"].labelled == len(CLEAN)
    assert (
        reports["color"].note
        == "3 rows are too large to be learnt from together (--max-bucket-bytes)"
    )


def test_what_shapes_a_probe_is_in_its_key() -> None:
    """A probe's key changes with its attribute's entry, the encoders and how much is learnt from;
    not with others'.
    """

    def key(
        shop: Template = SHOP, models: ModelOptions = FAKES, most: int = 100, name: str = "color"
    ) -> str:
        return training_key(shop, shop.by_name[name], models, most)

    changed = SHOP.model_copy(
        update={"attributes": tuple(a for a in SHOP.attributes if a.name != "weight")}
    )
    assert key() == key(changed) == key(models=replace(FAKES, threads=4))
    others = [
        key(learning_template(target_precision=0.9)),
        key(models=replace(FAKES, text=EncoderOptions())),
        key(models=replace(FAKES, image=EncoderOptions())),
        key(most=200),
        key(name="tags"),
    ]
    assert len({key(), *others}) == 6


def item(number: int, **values: Any) -> Item:
    texts = {"title": f"Thing {number}", "about": "Nice"} if number < 3 else {}
    record = {**texts, "color": "Red", **values}
    return Item(
        Record(f"i{number}", record, dict.fromkeys(record, "x"), (), (), RAW),
        text_enriched="all of it",
    )


def test_vectors_are_of_own_texts() -> None:
    """What is encoded to learn from are an item's texts, without any value that is to be learnt."""
    assert own_text(SHOP, item(1)) == own_text(SHOP, item(1, color="Blue")) == "Thing 1\nNice"


@pytest.mark.parametrize("embed", [True, False])
def test_examples_of_items(embed: bool, tmp_path: Path) -> None:
    """Every item becomes an example of its bucket, with a vector where one is asked for, and what
    all of them are labelled is counted.
    """
    config = LearnConfig(SHOP, FAKES, str(tmp_path))
    buckets = [Bucket(3, (item(1), item(2))), Bucket(5, (item(3),)), Bucket(6, ())]
    making = in_one(
        MakeExamples(config, embed=embed).step(),
        FusedStep(KeepBucket(str(tmp_path), examples_of)),
    )
    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        made = pipeline | beam.Create(buckets) | making.with_outputs(STATISTICS, main="examples")
        shown = made.examples | beam.FlatMapTuple(
            lambda bucket, refs: [
                (bucket, each.item_id, bool(each.text_vector)) for each in read_spool(refs, Example)
            ]
        )
        assert_that(
            shown, equal_to([(3, "i1", embed), (3, "i2", embed), (5, "i3", False)]), label="shown"
        )
        labels = (
            made[STATISTICS]
            | beam.Map(lambda pair: pair[1])
            | beam.CombineGlobally(merge_counts)
            | beam.Map(lambda counts: counts[OWN]["color"])
        )
        assert_that(labels, equal_to([{"\n": 3, "Red": 3}]), label="labels")


def learn(
    folder: Path, rows: Sequence[Example], reference: Sequence[Example] = (), **options: Any
) -> dict[str, ProbeReport]:
    """LearnProbes through Beam: attribute → report. options: of LearnConfig."""
    config = LearnConfig(SHOP, FAKES, str(folder / "probes"), **options)
    folder.mkdir(exist_ok=True)
    found = folder / "reports"
    found.mkdir()

    def note(report: ProbeReport) -> None:
        (found / report.attribute).write_bytes(pickle.dumps(report))

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        kinds = {}
        for kind, examples in ((OWN, rows), (REFERENCE, reference)):
            buckets = [
                Bucket(n, (), examples={each.item_id: each for each in examples[n::3]})
                for n in range(3)
            ]
            spooled = (
                pipeline
                | f"{kind} rows" >> beam.Create(buckets)
                | f"Spool {kind}" >> beam.ParDo(KeepBucket(str(folder), examples_of))
            )
            counted = pipeline | f"{kind} labels" >> beam.Create(
                [(LABELS, counts_of(SHOP, kind, examples[n::3])) for n in range(3)]
            )
            kinds[kind] = Examples(spooled, counted)
        learnt = pipeline | LearnProbes(config, kinds, str(folder))
        learnt.reports | "Note" >> beam.Map(note)
    return {path.name: pickle.loads(path.read_bytes()) for path in sorted(found.iterdir())}


def earlier(reports: dict[str, ProbeReport]) -> dict[str, EarlierProbe]:
    return {
        name: EarlierProbe(report.stored, report.key, report.labels)
        for name, report in reports.items()
    }


CLEAN = [clean_example(n) for n in range(45)]


def test_probes_are_learnt_reused_and_trained_anew(tmp_path: Path) -> None:
    """Each filled attribute gets a probe; the next run reuses those whose labels stayed and whose
    files are whole.
    """
    first = learn(tmp_path / "first", CLEAN)
    assert list(first) == ["color", "model", "proof", "tags", "weight"]
    color = first["color"]
    assert (color.labelled, color.kind, color.classes, color.reused) == (45, "classes", 3, False)
    assert color.labels == {"Blue": 15, "Green": 15, "Red": 15}
    assert first["weight"].labelled == 0
    for name, report in first.items():
        assert load_probe(report.stored).attribute == name
        assert below_snapshot(report).path == f"probes/{name}.safetensors"

    # the tagger's file is damaged, another one is gone, one attribute's labels moved, one has another key
    Path(first["model"].path).write_bytes(b"rubbish")
    Path(first["weight"].path).unlink()
    before = earlier(first)
    before["tags"] = replace(before["tags"], key="of another template")
    moved_rows = [
        replace(row, known={**row.known, "proof": ("yes",)}) if n % 4 == 0 else row
        for n, row in enumerate(CLEAN)
    ]
    second = learn(tmp_path / "second", [*moved_rows, example("new", "lamp")], earlier=before)
    assert {name for name, report in second.items() if report.reused} == {"color"}
    assert second["color"].digest == color.digest
    assert second["color"].path != color.path
    assert Path(second["color"].path).read_bytes() == Path(color.path).read_bytes()
    assert load_probe(second["model"].stored).model is not None
    assert second["model"].digest == first["model"].digest, "the same rows teach the same"
    assert second["proof"].labels["yes"] > first["proof"].labels["yes"]


def test_other_catalogs_fill_up(tmp_path: Path) -> None:
    """Rows of other catalogs are learnt from where own ones are fewer than are wanted; the same id
    is another row.
    """
    reports = learn(tmp_path / "few", CLEAN[:5], reference=CLEAN, max_labelled=40)
    assert 25 < reports["color"].labelled <= 50
    assert reports["color"].threshold is not None
    assert sum(reports["color"].labels.values()) == 50


def test_a_part_is_learnt_from(tmp_path: Path) -> None:
    """Of many labelled rows about as many as wanted are learnt from, and rows of other catalogs are
    left.
    """
    reports = learn(
        tmp_path / "part",
        CLEAN,
        reference=[clean_example(n, f"r{n}") for n in range(20)],
        max_labelled=20,
    )
    assert 8 < reports["color"].labelled < 34
    assert sum(reports["color"].labels.values()) == 65


def test_no_rows_at_all(tmp_path: Path) -> None:
    """Without any row every probe abstains and says so."""
    reports = learn(tmp_path / "none", [])
    assert {report.threshold for report in reports.values()} == {None}
    assert reports["color"].note.startswith("0 rows have a value")

"""transforms.describe.items: equal questions are sent once, budgets hold, and a fault stays with
its item.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import (
    Bucket,
    Demonstration,
    DescribeJob,
    EvidenceText,
    Example,
    Item,
    ItemAnswer,
    RawRecord,
    Record,
    decoder,
    encode,
)
from schemas.template import Template
from transforms.caching.answers import AnswerCodec, CachedAnswer
from transforms.caching.key_range import KeyRangeCache
from transforms.describe.ask import ModelSession, describe_part, job_key, run_dialogues
from transforms.describe.conversation import RequestBroker
from transforms.describe.items import DescribeConfig, DescribeItems, MakeJobs
from transforms.describe.prompts import AskOptions
from transforms.describe.usage import estimated_amount
from transforms.fill.cascade import fill_item
from transforms.models.budget import Amount, Budget, OwnBudgetShare
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.contract import Failure, ModelOptions
from transforms.models.fake.chat import FakeChatModel
from transforms.runtime.spool import Batch, SpoolRef, by_kind, read_spool, write_spool

SHOP = Template.model_validate(
    {
        "name": "shop",
        "version": "1.0.0",
        "record": {"id": "id"},
        "attributes": [
            {"name": "title", "type": "string", "role": "title"},
            {"name": "color", "type": "enum", "values": ["Red", "Blue"], "fill": True},
        ],
    }
)


class Worker:
    """The step that makes jobs, as a worker has it."""

    def __init__(self, config: DescribeConfig, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._jobs = MakeJobs(config, str(folder))
        self._jobs.setup()

    def bundle(
        self, bucket: Bucket, pool: Sequence[SpoolRef]
    ) -> tuple[list[DescribeJob], list[ItemAnswer]]:
        """The jobs of a bundle of one bucket, and answers on what failed, as they were spooled."""
        self._jobs.start_bundle()
        assert list(self._jobs.process(bucket, pool)) == []
        ended = (getattr(each, "value", each) for each in self._jobs.finish_bundle())
        refs = by_kind(getattr(each, "value", each)[1] for each in ended)
        return (
            list(read_spool(refs["DescribeJob"], DescribeJob)),
            list(read_spool(refs["ItemAnswer"], ItemAnswer)),
        )

    def jobs_of(self, bucket: Bucket, pool: Sequence[SpoolRef]) -> list[DescribeJob]:
        """The jobs of a bundle of one bucket."""
        return self.bundle(bucket, pool)[0]


def new_session(folder: Path, model: Any = None, **budget: Any) -> ModelSession:
    limits = Budget(**budget)
    cache = KeyRangeCache(str(folder), "0000", "ffff", AnswerCodec("run-1", "fake 1"))
    cache.load()
    return ModelSession(
        model or FakeChatModel(ModelOptions()), cache, limits, OwnBudgetShare(limits.limit), 672
    )


def request(text: str) -> ChatRequest:
    return ChatRequest(
        "s", text, {"properties": {"color": {"enum": ["Red", "unknown"]}}}, max_tokens=30
    )


def job(item_id: str, title: str = "Mug", attributes: tuple[str, ...] = ("color",)) -> DescribeJob:
    return DescribeJob(item_id, int(item_id) % 4, (("title", title),), (), (), attributes)


def broker() -> RequestBroker:
    return RequestBroker(
        SHOP, AskOptions(), FakeChatModel(ModelOptions()), "", lambda _, names: tuple(names)
    )


def test_equal_requests_are_sent_once_and_kept(tmp_path: Path) -> None:
    """Of five requests with two contents two are sent; another session finds both answers and sends
    none.
    """
    first = new_session(tmp_path)
    answers = first.ask([request(text) for text in "abaab"])
    assert answers[0] == answers[2] == answers[3]
    assert first.usage.calls == 2
    first.cache.close()
    second = new_session(tmp_path)
    assert second.ask([request(text) for text in "ba"]) == [answers[1], answers[0]]
    assert (second.usage.calls, second.usage.reused) == (0, 2)


def test_what_was_reserved_too_much_is_used(tmp_path: Path) -> None:
    """Calls take less than was reserved for them, so more of them fit than the reservations alone
    would let through.
    """
    one = estimated_amount(Budget(), request("a"), 672).tokens
    session = new_session(tmp_path, max_tokens=int(5.5 * one))
    answers = session.ask([request(str(number)) for number in range(40)])
    answered = [answer for answer in answers if isinstance(answer, ChatAnswer)]
    assert 5 < len(answered) < 40
    assert {answer.reason for answer in answers if isinstance(answer, Failure)} == {"budget"}
    assert session.usage.prompt_tokens + session.usage.completion_tokens <= 5.5 * one


@given(st.integers(0, 12), st.integers(0, 12))
def test_a_budget_of_calls_is_exact(limit: int, wanted: int) -> None:
    """As many calls as allowed are made, and not one more."""
    session = ModelSession(
        FakeChatModel(ModelOptions()),
        _Nowhere("", "0000", "ffff", AnswerCodec("r", "m")),
        Budget(max_model_calls=limit),
        OwnBudgetShare(Amount(limit, float("inf"), float("inf"))),
        672,
    )
    session.ask([request(str(number)) for number in range(wanted)])
    assert session.usage.calls == min(limit, wanted)


class _Nowhere(KeyRangeCache[CachedAnswer]):
    """Keeps answers in memory only."""

    def flush(self) -> None:
        self._fresh = []


def test_one_content_serves_all_its_items(tmp_path: Path) -> None:
    """Items that ask the same share one conversation; each gets the answer under its own id and in
    its own bucket.
    """
    jobs = [job("1"), job("2"), job("3", "Bowl"), job("6")]
    answered, usage = describe_part(broker(), jobs, new_session(tmp_path))
    assert sorted((bucket, answer.item_id) for bucket, answer in answered) == [
        (1, "1"),
        (2, "2"),
        (2, "6"),
        (3, "3"),
    ]
    assert (usage.jobs, usage.items, usage.calls) == (2, 4, 2)


def test_a_fault_of_this_program_costs_one_item() -> None:
    """A job that this program fails on has a reason; the others are answered."""
    jobs = [job("1"), job("2", attributes=("no_such_attribute",)), job("3", "Bowl")]

    def ask(requests: Sequence[ChatRequest]) -> list[ChatAnswer | Failure]:
        said = {"color": "Red", "color.confidence": "certain", "color.seen": "title"}
        return [ChatAnswer(json.dumps(said)) for _ in requests]

    first, second, third = run_dialogues(broker(), jobs, ask)
    assert second.reason == "backend-failed"
    assert "no_such_attribute" in second.message
    assert first.values["color"].value == third.values["color"].value == "Red"


def test_an_item_that_cannot_be_put_into_words_does_not_stop_its_bucket(tmp_path: Path) -> None:
    """Where this program fails on one item before anything is asked, that item gets the failure,
    the others a job.
    """
    config = DescribeConfig(SHOP, ModelOptions(), AskOptions(), 4, "r", "", "")
    raw = RawRecord(b"", "jsonl", "f", 1)
    good, bad = (Item(Record(item_id, {"title": "Mug"}, {}, (), (), raw)) for item_id in ("1", "2"))
    good = fill_item(
        SHOP, (), good
    )  # the other has no values, which no stage before this one lets happen
    worker = Worker(config, tmp_path)
    jobs, failed = worker.bundle(Bucket(3, (bad, good)), ())
    assert [job.item_id for job in jobs] == ["1"]
    assert [(answer.item_id, answer.reason) for answer in failed] == [("2", "backend-failed")]


def test_the_key_of_a_job_is_its_content() -> None:
    """Which item asks does not matter; what is asked does, and in two passes only which pictures
    there are.
    """
    assert job_key(job("1"), two_pass=False) == job_key(job("2"), two_pass=False)
    assert job_key(job("1"), two_pass=False) != job_key(job("1", "Bowl"), two_pass=False)
    pictured = [
        DescribeJob("1", 0, (("title", title),), (), ("d1",), ("color",)) for title in ("a", "b")
    ]
    assert job_key(pictured[0], two_pass=True) == job_key(pictured[1], two_pass=True)


TEAL = Demonstration("Teal cup", (("color", "Blue"),))
WINE = Demonstration("Wine cup", (("color", "Red"),))


class _Listening(FakeChatModel):
    """The fake, which keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(ModelOptions())
        self.heard: list[str] = []

    def answer(self, requests: Sequence[ChatRequest], tab: Any = None) -> Any:
        self.heard += [request.text for request in requests]
        return super().answer(requests)


def test_neighbours_that_change_cost_nothing(tmp_path: Path) -> None:
    """An item whose own content is unchanged has its key and finds its answer, whatever is shown
    beside it.
    """
    before, after = (
        replace(job("1"), demonstrations=(TEAL,)),
        replace(job("1"), demonstrations=(WINE, TEAL)),
    )
    assert (
        job_key(before, two_pass=False)
        == job_key(after, two_pass=False)
        == job_key(job("1"), two_pass=False)
    )
    first = new_session(tmp_path)
    answered, usage = describe_part(broker(), [before], first)
    assert usage.calls == 1
    first.cache.close()
    again, usage = describe_part(broker(), [after], new_session(tmp_path))
    assert (usage.calls, usage.reused) == (0, 1)
    assert again == answered


def test_equal_jobs_show_what_the_first_shows(tmp_path: Path) -> None:
    """Items with the same content are asked once, with the demonstrations of the first by id, in
    whatever order.
    """
    jobs = [
        replace(job("2"), demonstrations=(WINE,)),
        replace(job("1"), demonstrations=(TEAL,)),
        job("3"),
    ]
    for number, order in enumerate((jobs, jobs[::-1])):
        model = _Listening()
        describe_part(broker(), order, new_session(tmp_path / str(number), model))
        (heard,) = model.heard
        assert "Teal cup" in heard
        assert "Wine cup" not in heard


def test_of_requests_with_one_address_the_first_is_sent(tmp_path: Path) -> None:
    """Two questions that differ only in what is shown beside them are one question: the first is
    put.
    """
    model = _Listening()
    requests = [replace(request(text), addressed=("s", "same")) for text in ("first", "second")]
    one, other = new_session(tmp_path, model).ask(requests)
    assert model.heard == ["first"]
    assert one == other


def test_a_job_travels_with_its_demonstrations() -> None:
    """Demonstrations come back from a spool file as they went in."""
    shown = replace(job("1"), demonstrations=(TEAL, WINE))
    assert decoder(DescribeJob).decode(encode(shown)) == shown


def labelled(item_id: str, vector: Sequence[float], **known: tuple[str, ...]) -> Example:
    title = EvidenceText("title", f"Cup {item_id}", "text")
    return Example(item_id, (title,), known, (), np.asarray(vector, "<f4").tobytes())


def bucket_with_examples() -> Bucket:
    raw = RawRecord(b"", "jsonl", "f", 1)
    items = (
        fill_item(SHOP, (), Item(Record(n, {"title": f"Mug {n}"}, {}, (), (), raw)))
        for n in ("1", "2")
    )
    return Bucket(3, tuple(items), examples={"1": labelled("1", [1, 0])})


def spooled_pool(folder: Path) -> list[SpoolRef]:
    """References to four examples in two files, three of them with a colour."""
    known = [labelled("a", [1, 0.1], color=("Red",)), labelled("b", [0, 1], color=("Blue",))]
    more = [labelled("c", [1, 0]), labelled("d", [1, -0.2], color=("Blue",))]
    return [ref for examples in (known, more) for ref in spool_of(folder, examples)]


def spool_of(folder: Path, examples: Sequence[Example]) -> Iterator[SpoolRef]:
    """References to the one batch that holds them."""
    batch = Batch()
    for example in examples:
        batch.add(example)
    yield from (ref for _, ref in write_spool(str(folder), {(0, "Example"): batch}))


def config(folder: Path | str = "", **ask: Any) -> DescribeConfig:
    return DescribeConfig(
        SHOP,
        ModelOptions(describe_backend="fake"),
        AskOptions(**ask),
        4,
        "r",
        "",
        str(folder),
    )


def jobs_of(folder: Path, refs: Sequence[SpoolRef], **ask: Any) -> dict[str, list[str]]:
    """Item id → titles of its demonstrations."""
    found = Worker(config(**ask), folder / "jobs").jobs_of(bucket_with_examples(), refs)
    return {job.item_id: [shown.title for shown in job.demonstrations] for job in found}


def test_items_are_shown_their_nearest_examples(tmp_path: Path) -> None:
    """An item of which an example is known gets the nearest ones with a value; without one, or a
    pool, it gets none.
    """
    refs = spooled_pool(tmp_path)
    nearest = {"1": ["Cup a", "Cup d"], "2": []}
    assert jobs_of(tmp_path, refs, demonstrations=2) == nearest
    assert jobs_of(tmp_path, refs[::-1], demonstrations=2) == nearest
    assert jobs_of(tmp_path, []) == {"1": [], "2": []}


def test_the_pool_is_read_once_and_only_if_it_is_wanted(tmp_path: Path) -> None:
    """Later buckets of a worker use what the first has read; where nothing is shown nothing is
    read.
    """
    refs, worker = spooled_pool(tmp_path), Worker(config(), tmp_path / "jobs")
    first = worker.jobs_of(bucket_with_examples(), refs)
    for path, *_ in refs:
        Path(path).unlink()
    assert worker.jobs_of(bucket_with_examples(), refs[::-1]) == first
    assert jobs_of(tmp_path, refs, demonstrations=0) == {"1": [], "2": []}
    assert jobs_of(tmp_path, refs, prompt_version=1) == {"1": [], "2": []}


def test_the_pool_is_a_side_input(tmp_path: Path) -> None:
    """References to examples reach the jobs as a list; with or without them every item is answered."""
    refs = spooled_pool(tmp_path / "pool")
    got: list[Any] = []
    for name, wanted in (("with", True), ("without", False)):
        with beam.Pipeline(runner="FnApiRunner") as pipeline:
            pool = beam.pvalue.AsList(pipeline | "Pool" >> beam.Create(refs)) if wanted else None
            stage = DescribeItems(config(tmp_path / name), str(tmp_path / "spool"), pool=pool)
            described = pipeline | beam.Create([bucket_with_examples()]) | stage
            _ = (
                described.answers
                | beam.FlatMapTuple(
                    lambda bucket, ref: [
                        f"{bucket} {answer.item_id}" for answer in read_spool([ref], ItemAnswer)
                    ]
                )
                | beam.io.WriteToText(str(tmp_path / f"{name}.txt"), shard_name_template="")
            )
        got.append(sorted((tmp_path / f"{name}.txt").read_text().split("\n")))
        spent = [table["prompt_tokens"] for table in _kept(tmp_path / name)]
        got.append(max(spent) - min(spent) > 10)
    assert got == [["", "3 1", "3 2"], True, ["", "3 1", "3 2"], False]


def _kept(folder: Path) -> list[dict[str, Any]]:
    """Rows of the answers that were kept."""
    import pyarrow.parquet as pq

    return [
        row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()
    ]

"""transforms.fill.ahead: what is certain is asked as soon as it can be, and only that."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.elements import (
    Bucket,
    DescribeJob,
    ImageFeatures,
    ImageResult,
    ImageRow,
    Item,
    RawRecord,
    Record,
)
from schemas.template import Template
from transforms.caching.answers import AnswerCodec
from transforms.caching.key_range import KeyRangeCache
from transforms.describe.ask import ModelSession
from transforms.describe.conversation import RequestBroker
from transforms.describe.items import DescribeConfig
from transforms.describe.prompts import AskOptions, describe_job
from transforms.fill.ahead import AheadConfig, Asker, WaitingBucket, certain_jobs
from transforms.fill.cascade import Cascade
from transforms.models.budget import Budget, OwnBudgetShare
from transforms.models.contract import ModelOptions
from transforms.models.fake.chat import FakeChatModel
from transforms.normalise.combine import Combination

SHOP = Template.model_validate(
    {
        "name": "shop",
        "version": "1.0.0",
        "record": {"id": "id", "images": {"columns": "images"}},
        "attributes": [
            {"name": "title", "type": "string", "role": "title", "from": "title"},
            {"name": "color", "type": "enum", "values": ["Red", "Blue"], "fill": True},
        ],
    }
)


def record(item_id: str, *paths: str, **values: str) -> Record:
    given = {"title": f"Mug {item_id}", **values}
    return Record(item_id, dict(given), given, paths, (), RawRecord(b"{}", "jsonl", "in.jsonl", 1))


def found(path: str) -> ImageResult:
    features = ImageFeatures(path * 8, "0" * 16, 4, 4, "PNG", 1)
    return ImageResult(path, features)


def config(*, learns: bool, two_pass: bool = False) -> AheadConfig:
    describe = DescribeConfig(SHOP, ModelOptions(), AskOptions(two_pass=two_pass), 4, "r", "", "")
    return AheadConfig(describe, Cascade(SHOP), Combination(), 1 << 20, learns)


def bucket() -> Bucket:
    """An item without a colour, and one that lacks nothing."""
    items = (
        Item(record("1", "a"), (found("a"),)),
        Item(record("2", "b", color="Red"), (found("b"),)),
    )
    return Bucket(0, items, ())


@pytest.mark.parametrize(
    ("learns", "two_pass", "wanted"),
    [
        (False, False, {"1": ("color",), "2": ()}),
        (True, False, {"2": ()}),
        (True, True, {"1": (), "2": ()}),
    ],
)
def test_what_probes_may_change_is_not_certain(
    learns: bool, two_pass: bool, wanted: dict[str, tuple[str, ...]]
) -> None:
    """Where probes are trained only pictures are asked about; else all that is open."""
    jobs = certain_jobs(config(learns=learns, two_pass=two_pass), bucket())
    assert {job.item_id: job.attributes for job in jobs} == wanted


def test_a_defect_that_shows_on_one_item_stops_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked ahead of that item; the stage behind says what is wrong with it."""

    def fails(template: Template, ask: AskOptions, item: Item, number: int) -> DescribeJob | None:
        if item.item_id == "1":
            raise KeyError("a defect")
        return describe_job(template, ask, item, number)

    monkeypatch.setattr("transforms.fill.ahead.describe_job", fails)
    jobs = certain_jobs(config(learns=False), bucket())
    assert [job.item_id for job in jobs] == ["2"]


def test_an_item_is_ready_with_its_last_picture() -> None:
    """Pictures of an item may come in any order, from its record and from the image table, and
    shared ones make all their items ready.
    """
    row = ImageRow("2", "c", RawRecord(b"", "csv", "more.csv", 1))
    waiting = WaitingBucket(
        0, {"1": [record("1", "a", "b")], "2": [record("2", "a")], "3": []}, {"2": [row]}
    )
    taken = [waiting.take(found(path)) for path in ("b", "elsewhere", "a", "c", "c")]
    assert taken == [[], [], ["1"], ["2"], []]
    parts = waiting.parts_of(["2"])
    assert sorted(image.path for image in parts.images) == ["a", "c"]


def test_features_come_along_wherever_they_lie() -> None:
    """A result that refers to another picture's features is put together with them."""
    carrier = found("a")
    same = ImageResult("b", same_as=carrier.features.digest if carrier.features else None)
    waiting = WaitingBucket(0, {"1": [record("1", "b")], "2": [record("2", "a")]}, {})
    waiting.take(carrier)
    assert waiting.take(same) == ["1"]
    assert {image.path for image in waiting.parts_of(["1"]).images} == {"a", "b"}


class Slow(FakeChatModel):
    """Answers once it is let."""

    def __init__(self) -> None:
        super().__init__(ModelOptions())
        self.called, self.go, self.asked = threading.Event(), threading.Event(), 0

    def answer(self, requests, tab=None):  # type: ignore[no-untyped-def]
        self.called.set()
        self.go.wait(30)
        self.asked += len(requests)
        return super().answer(requests, tab)


def asker(model: FakeChatModel, folder: Path) -> Asker:
    def session_of(broker: RequestBroker, part: int) -> ModelSession:
        cache = KeyRangeCache(str(folder / str(part)), "0000", "ffff", AnswerCodec("r", "m"))
        cache.load()
        budget = Budget()
        share = OwnBudgetShare(budget.limit)
        return ModelSession(broker.model, cache, budget, share, 672, asked=[])

    broker = RequestBroker(SHOP, AskOptions(), model, "", lambda _, names: tuple(names))
    return Asker(lambda: broker, session_of, 60.0)


def job(number: int) -> DescribeJob:
    return DescribeJob(str(number), 0, (("title", f"Mug {number}"),), (), (), ("color",))


def test_questions_go_out_before_all_are_known(tmp_path: Path) -> None:
    """The first question is asked while others are still to come; equal ones are asked once; what
    came of each is told at the end.
    """
    model = Slow()
    asking = asker(model, tmp_path)
    asking.put(0, job(0))
    assert model.called.wait(30)
    model.go.set()
    for number in range(9):
        asking.put(number % 3, replace(job(number % 5), item_id=f"i{number}"))
    sessions = asking.finish()
    assert model.asked == 5
    outcomes = [each for session in sessions.values() for each in session.asked or ()]
    assert len({each.fingerprint for each in outcomes}) == len(outcomes) == 5


def test_an_error_of_a_thread_is_raised_at_the_end(tmp_path: Path) -> None:
    """What breaks the asking breaks the run, as it does at the end of one."""

    def broken() -> RequestBroker:
        raise ValueError("no such model")

    asking = Asker(broken, lambda broker, part: None, 60.0)  # type: ignore[arg-type,return-value]
    asking.put(0, job(0))
    with pytest.raises(ValueError, match="no such model"):
        asking.finish()

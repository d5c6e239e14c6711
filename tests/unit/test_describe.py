"""transforms.describe: equal questions are sent once, budgets hold, and a fault stays with its item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.elements import Bucket, DescribeJob, Item, RawRecord, Record
from schemas.template import Template
from transforms.answer_store import AnswerStore
from transforms.conversation import Asker
from transforms.describe import DescribeConfig, Teller, _Jobs, describe_part, hold_conversations, job_key
from transforms.fill import fill_item
from transforms.ledger import Amount, Budget, OwnPurse
from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.contract import Failure, ModelOptions
from transforms.models.fake_chat import FakeChatModel
from transforms.prompting import AskOptions

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


def teller(folder: Path, model: Any = None, **budget: Any) -> Teller:
    limits = Budget(**budget)
    store = AnswerStore(str(folder), "0000", "ffff", "run-1", "fake 1")
    store.load()
    return Teller(model or FakeChatModel(ModelOptions()), store, limits, OwnPurse(limits.limit), 672)


def request(text: str) -> ChatRequest:
    return ChatRequest("s", text, {"properties": {"color": {"enum": ["Red", "unknown"]}}}, max_tokens=30)


def job(item_id: str, title: str = "Mug", attributes: tuple[str, ...] = ("color",)) -> DescribeJob:
    return DescribeJob(item_id, int(item_id) % 4, (("title", title),), (), (), attributes)


def asker() -> Asker:
    return Asker(SHOP, AskOptions(), FakeChatModel(ModelOptions()), "", lambda _, names: tuple(names))


def test_equal_requests_are_sent_once_and_kept(tmp_path: Path) -> None:
    """Of five requests with two contents two are sent; another teller finds both answers and sends none."""
    first = teller(tmp_path)
    answers = first.ask([request(text) for text in "abaab"])
    assert answers[0] == answers[2] == answers[3]
    assert first.usage.calls == 2
    first.store.close()
    second = teller(tmp_path)
    assert second.ask([request(text) for text in "ba"]) == [answers[1], answers[0]]
    assert (second.usage.calls, second.usage.reused) == (0, 2)


def test_what_was_reserved_too_much_is_used(tmp_path: Path) -> None:
    """Calls take less than was reserved for them, so more of them fit than the reservations alone would let through."""
    one = Budget().estimate(request("a"), 672).tokens
    spender = teller(tmp_path, max_tokens=int(2.5 * one))
    answers = spender.ask([request(str(number)) for number in range(40)])
    answered = [answer for answer in answers if isinstance(answer, ChatAnswer)]
    assert 2 < len(answered) < 40
    assert {answer.reason for answer in answers if isinstance(answer, Failure)} == {"budget"}
    assert spender.usage.prompt_tokens + spender.usage.completion_tokens <= 2.5 * one


@given(st.integers(0, 12), st.integers(0, 12))
def test_a_budget_of_calls_is_exact(limit: int, wanted: int) -> None:
    """As many calls as allowed are made, and not one more."""
    spender = Teller(
        FakeChatModel(ModelOptions()),
        _Nowhere("", "0000", "ffff", "r", "m"),
        Budget(max_model_calls=limit),
        OwnPurse(Amount(limit, float("inf"), float("inf"))),
        672,
    )
    spender.ask([request(str(number)) for number in range(wanted)])
    assert spender.usage.calls == min(limit, wanted)


class _Nowhere(AnswerStore):
    """Keeps answers in memory only."""

    def flush(self) -> None:
        self._fresh = []


def test_one_content_serves_all_its_items(tmp_path: Path) -> None:
    """Items that ask the same share one conversation; each gets the answer under its own id and in its own bucket."""
    jobs = [job("1"), job("2"), job("3", "Bowl"), job("6")]
    answered, usage = describe_part(asker(), jobs, teller(tmp_path))
    assert sorted((bucket, answer.item_id) for bucket, answer in answered) == [(1, "1"), (2, "2"), (2, "6"), (3, "3")]
    assert (usage.jobs, usage.items, usage.calls) == (2, 4, 2)


def test_a_fault_of_this_program_costs_one_item() -> None:
    """A job that this program fails on has a reason; the others are answered."""
    jobs = [job("1"), job("2", attributes=("no_such_attribute",)), job("3", "Bowl")]

    def ask(requests: Sequence[ChatRequest]) -> list[ChatAnswer | Failure]:
        said = {"color": "Red", "color.confidence": "certain", "color.seen": "title"}
        return [ChatAnswer(json.dumps(said)) for _ in requests]

    first, second, third = hold_conversations(asker(), jobs, ask)
    assert second.reason == "backend-failed"
    assert "no_such_attribute" in second.message
    assert first.values["color"].value == third.values["color"].value == "Red"


def test_an_item_that_cannot_be_put_into_words_does_not_stop_its_bucket() -> None:
    """Where this program fails on one item before anything is asked, that item gets the failure, the others a job."""
    config = DescribeConfig(SHOP, ModelOptions(), AskOptions(), Budget(), 4, "r", "", "")
    raw = RawRecord(b"", "jsonl", "f", 1)
    good, bad = (Item(Record(item_id, {"title": "Mug"}, {}, (), (), raw)) for item_id in ("1", "2"))
    good = fill_item(SHOP, (), good)  # the other has no values, which no stage before this one lets happen
    elements = list(_Jobs(config).process(Bucket(3, (bad, good))))
    assert [element[1].item_id for element in elements if isinstance(element, tuple)] == ["1"]
    (failed,) = [element.value for element in elements if not isinstance(element, tuple)]
    assert (failed[0], failed[1].item_id, failed[1].reason) == (3, "2", "backend-failed")


def test_the_key_of_a_job_is_its_content() -> None:
    """Which item asks does not matter; what is asked does, and in two passes only which pictures there are."""
    assert job_key(job("1"), two_pass=False) == job_key(job("2"), two_pass=False)
    assert job_key(job("1"), two_pass=False) != job_key(job("1", "Bowl"), two_pass=False)
    pictured = [DescribeJob("1", 0, (("title", title),), (), ("d1",), ("color",)) for title in ("a", "b")]
    assert job_key(pictured[0], two_pass=True) == job_key(pictured[1], two_pass=True)

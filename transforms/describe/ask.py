"""Send the questions of a part: equal jobs are asked once, their dialogues run side by side, and a
failure stays with its item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.elements import AskedAhead, DescribeJob, ItemAnswer
from schemas.hashing import digest
from schemas.reasons import BUDGET, TOO_LONG
from transforms.caching.answers import CachedAnswer
from transforms.caching.key_range import KeyRangeCache
from transforms.describe.conversation import RequestBroker, run_dialogue
from transforms.describe.prompts import effort_of
from transforms.describe.usage import Usage, counted_answer, estimated_amount, lost_attempt
from transforms.models.budget import UNLIMITED, Amount, Budget, BudgetShare
from transforms.models.chat import ChatAnswer, ChatModel, ChatRequest, answer_all
from transforms.models.contract import Failure, ModelGoneError
from transforms.models.http.servers.remedies import words_of
from transforms.models.metering import Lost, Reservations
from transforms.models.tokens import estimate_tokens
from transforms.runtime.deadlines import DEFAULT_ELEMENT_SECS, fault_of, within
from transforms.runtime.metrics import FAILED

# Heartbeats count in whole numbers; money in millionths.
MICRO = 1_000_000
# Share of what is asked together that may fail by what may be its own; the gate's own default.
FEW_GONE = 0.2


Answered = tuple[list[tuple[int, ItemAnswer]], Usage]


def job_key(job: DescribeJob, *, two_pass: bool) -> str:
    """Return a hash of what is asked, whatever the item, as 64 hexadecimal digits; in two passes,
    of what the first one asks.

    Demonstrations do not count: a job must come to the part that holds its answer when its
    neighbours have changed.
    """
    content: list[Any] = [job.pictures] if job.describe else [job.pictures, "described"]
    # In two passes the pictures alone decide: all items with the same pictures then meet in one
    # part, where their description is made once.
    if not (two_pass and job.pictures):
        content += [job.fields, job.known, job.attributes]
    return digest(content)


@dataclass
class ModelSession:
    """Answers requests: from the cache, else within the budget from the model. Counts what it took.

    image_px: longer side of the images as they are sent, which decides what they cost.
    on_progress: called with what has just happened, for a live view: requests `sent`, `answers`,
    and the tokens and money that they took.
    call_msecs: duration of each call that was answered.
    ahead: what was asked before by another session of this run, and counted by it; asked: what came
    of each call, for such a later session; None where there is none.
    """

    model: ChatModel
    cache: KeyRangeCache[CachedAnswer]
    budget: Budget
    budget_share: BudgetShare
    image_px: int
    on_progress: Callable[[Mapping[str, int]], None] = lambda _: None
    usage: Usage = field(default_factory=Usage)
    call_msecs: list[int] = field(default_factory=list)
    ahead: Mapping[str, AskedAhead] = field(default_factory=dict)
    asked: list[AskedAhead] | None = None

    def __post_init__(self) -> None:
        self._reservations: Reservations[ChatRequest] = Reservations(
            None if self.budget.limit == UNLIMITED else self.budget_share,
            lambda request: estimated_amount(self.budget, request, self.image_px),
            lambda request, stated: lost_attempt(self.budget, request, stated, self.image_px),
        )

    def ask(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer | Failure]:
        """One answer or Failure per request, in order; of requests with one address the first is
        sent.

        Raises ModelGoneError, when all answers that came are kept, where a Failure ends the run.
        """
        fingerprints = [request.fingerprint(self.model) for request in requests]
        distinct: dict[str, ChatRequest] = {}
        for fingerprint, request in zip(fingerprints, requests, strict=True):
            distinct.setdefault(fingerprint, request)  # the first one's demonstrations are shown
        # Requests are told apart by fingerprint only, also within one call: variants of a product
        # often ask the same.
        answers: dict[str, ChatAnswer | Failure] = {
            f: cached.answer for f in distinct if (cached := self.cache.get(f)) is not None
        }
        self.usage += Usage(reused=len(answers.keys() - self.ahead.keys()))
        answers |= self._asked_ahead(distinct, answers)
        waiting = [f for f in distinct if f not in answers]
        while waiting:
            # A reservation is for the worst case. Settling it gives most of it back, so what could
            # not be afforded is tried again after each round.
            sent, waiting = self._affordable(distinct, waiting)
            if not sent:
                answers |= dict.fromkeys(
                    waiting, Failure("budget", "the run's budget was spent before this was asked")
                )
                break
            self.on_progress({"sent": len(sent)})
            requests_sent = [distinct[f] for f in sent]
            for index, answer in answer_all(self.model, requests_sent, self._reservations):
                answers[sent[index]] = self._accounted(sent[index], requests_sent[index], answer)
        gone = [a for a in answers.values() if isinstance(a, Failure) and a.ends_run]
        # The last few of a catalog may be refused for their own sake; the run must not end by them
        # every night.
        if gone and (not gone[0].perhaps or len(gone) > FEW_GONE * len(answers)):
            raise ModelGoneError(gone[0].message)
        return [answers[f] for f in fingerprints]

    def _asked_ahead(
        self, requests: Mapping[str, ChatRequest], known: Mapping[str, ChatAnswer | Failure]
    ) -> dict[str, ChatAnswer | Failure]:
        """Return what came of requests that were sent ahead, beside what is kept of it."""
        found: dict[str, ChatAnswer | Failure] = {}
        for fingerprint in requests if self.ahead else ():
            answer = known.get(fingerprint)
            sent = self.ahead.get(fingerprint) or (None if answer else self.ahead.get(""))
            if sent is None:
                continue
            if isinstance(answer, ChatAnswer):
                found[fingerprint] = replace(answer, repairs=sent.repairs)
            elif sent.reason is not None:
                found[fingerprint] = Failure(sent.reason, sent.message)
        return found

    def _affordable(
        self, requests: dict[str, ChatRequest], waiting: list[str]
    ) -> tuple[list[str], list[str]]:
        """Return the fingerprints that may be sent now, and the rest, which may be affordable once
        these are settled.
        """
        count = 0
        # Stops at the first that is too dear instead of looking for cheaper ones behind it: they
        # come in the order of what they cost per value.
        while count < len(waiting) and self._reservations.reserve(requests[waiting[count]]):
            count += 1
        return waiting[:count], waiting[count:]

    def _accounted(
        self, fingerprint: str, request: ChatRequest, answer: ChatAnswer | Failure
    ) -> ChatAnswer | Failure:
        """Return the answer with the tokens that count, once it is kept, settled and counted."""
        # Kept before anything else is done with it: an answer that was paid for is not lost when
        # the run ends here.
        if isinstance(answer, ChatAnswer):
            answer = counted_answer(answer, request, self.image_px)
            self.cache.put(fingerprint, CachedAnswer(answer, request.prompt_hash))
        if self.asked is not None:
            self.asked.append(_outcome(fingerprint, answer))
        lost = self._reservations.end(request, lambda lost: self._spent(answer, lost))
        cost = self._spent(answer, lost).cost
        planned = estimate_tokens(request, self.image_px).prompt_tokens
        self.usage = self.usage.with_call(answer, cost, planned, lost)
        happened = {"answers": 1, "tokens": lost.tokens}
        if isinstance(answer, ChatAnswer):
            self.call_msecs.append(round(answer.seconds * 1000))
            happened["tokens"] += answer.prompt_tokens + answer.completion_tokens
        else:
            happened[f"{FAILED}{answer.reason}"] = 1
        happened["micro_cost"] = round((cost + lost.amount.cost) * MICRO)
        self.on_progress(happened)
        return answer

    def _spent(self, answer: ChatAnswer | Failure, lost: Lost) -> Amount:
        """Return what the last attempt of a call took: one without an answer is among the lost, or
        its server did no work for it; then the call counts, without tokens.
        """
        if isinstance(answer, Failure):
            return Amount(0 if lost.attempts else 1)
        return self.budget.amount(
            answer.prompt_tokens, answer.image_tokens, answer.completion_tokens
        )


def _outcome(fingerprint: str, answer: ChatAnswer | Failure) -> AskedAhead:
    if isinstance(answer, ChatAnswer):
        return AskedAhead(fingerprint, repairs=answer.repairs)
    return AskedAhead(fingerprint, answer.reason, answer.message)


def run_dialogues(
    broker: RequestBroker,
    jobs: Sequence[DescribeJob],
    ask: Callable[[Sequence[ChatRequest]], Sequence[ChatAnswer | Failure]],
    element_secs: float = DEFAULT_ELEMENT_SECS,
) -> list[ItemAnswer]:
    """Return the answer to each job, in order.

    All that can be asked at a time is asked together.
    """
    results: dict[int, ItemAnswer] = {}
    dialogues = [run_dialogue(broker, job) for job in jobs]
    # Each round sends the next question of every dialogue that is not at its end, so that the model
    # always has as many requests at once as there are dialogues.
    replies: dict[int, ChatAnswer | Failure | None] = dict.fromkeys(range(len(jobs)))
    while replies:
        requests: dict[int, ChatRequest] = {}
        for number, answer in replies.items():
            try:
                # None starts a dialogue: a generator takes no other value at its beginning.
                requests[number] = within(element_secs, dialogues[number].send, answer)  # type: ignore[arg-type]
            except StopIteration as done:
                results[number] = done.value
            # A defect of this program that shows on one item must not stop the others.
            except Exception as error:
                results[number] = fault_answer(jobs[number].item_id, error)
        replies = dict(zip(requests, ask(list(requests.values())), strict=True)) if requests else {}
    return [results[number] for number in range(len(jobs))]


def fault_answer(item_id: str, error: Exception) -> ItemAnswer:
    """Return the answer of an item on which this program failed, or which took it too long."""
    reason, message = fault_of(error)
    reason = reason if reason == TOO_LONG else "backend-failed"
    return ItemAnswer(item_id, reason=reason, message=message)


def describe_part(
    broker: RequestBroker,
    jobs: Iterable[DescribeJob],
    session: ModelSession,
    element_secs: float = DEFAULT_ELEMENT_SECS,
) -> Answered:
    """Return (item bucket, answer) for each job of a part, each content asked once, and what that
    took.

    Of jobs with equal content the first by item id is asked, with its demonstrations. Raises
    ModelGoneError when the model can answer nothing more.
    """
    sharing: dict[tuple[Any, ...], list[DescribeJob]] = {}
    for job in jobs:
        sharing.setdefault(
            (job.fields, job.known, job.pictures, job.attributes, job.describe), []
        ).append(job)

    # What costs least per value comes first. Equal efforts are ordered by content: a budget is then
    # spent on the same items in every run.
    def effort(shared: tuple[Any, list[DescribeJob]]) -> tuple[float, str]:
        return effort_of(broker.template, broker.options, shared[1][0]), repr(shared[0])

    groups = [
        sorted(group, key=lambda job: job.item_id)
        for _, group in sorted(sharing.items(), key=effort)
    ]
    answers = run_dialogues(broker, [group[0] for group in groups], session.ask, element_secs)
    answered = [
        (job.item_bucket, replace(answer, item_id=job.item_id))
        for group, answer in zip(groups, answers, strict=True)
        for job in group
    ]
    lost = [answer for _, answer in answered if answer.reason is not None]
    failed = Counter(str(answer.reason) for answer in lost)
    words = Counter(words_of(str(each.reason), each.message) for each in lost)
    repaired = Counter(repair for answer in answers for repair in answer.repairs)
    return answered, session.usage + Usage(
        jobs=len(groups),
        items=len(answered),
        failed_items=dict(failed),
        failed_words={said: n for said, n in words.items() if not said.startswith(BUDGET)},
        repaired_answers=dict(sorted(repaired.items())),
    )

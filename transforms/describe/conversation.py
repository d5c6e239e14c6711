"""The dialogue with a language model about one item, as a generator: it yields requests and is sent
answers. Whoever drives it decides how and when a request is sent.

DescribeJob → ChatRequest, ChatAnswer | Failure, ... → ItemAnswer. One structured call by default;
in two passes the pictures are described first and the values are asked for with that description.
An answer that cannot be used is asked for once more with other parameters. Lists too large for one
question follow level by level.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, DescribeJob, Evidence, ItemAnswer
from schemas.questions import ALT_TEXT, DESCRIPTION, Question
from schemas.template import Template
from schemas.texts import one_line
from transforms.describe.answers import Problem, Source, judge, method_of, read_answer
from transforms.describe.prompts import AskOptions, ShownContent, build_request
from transforms.describe.splitting import SchemaLimits, split_question
from transforms.describe.taxonomy import Nearest, is_large, next_level
from transforms.images.files import picture_path
from transforms.models.chat import ChatAnswer, ChatModel, ChatRequest, PreparedPicture
from transforms.models.contract import Failure

MAX_LEVELS = 12  # of a large list; deeper than any taxonomy that shops publish
MAX_QUESTIONS = 512  # that are kept of a run, of those that differ
_RETRY_TOKENS = 2  # times as many as the first time

Turns = Generator[ChatRequest, ChatAnswer | Failure, Any]


@dataclass(frozen=True)
class RequestBroker:
    """What all dialogues of a run share.

    pictures_dir: where prepared pictures lie; nearest: chooses among too many choices of a list;
    limits: of a schema, beyond which a question is split.
    """

    template: Template
    options: AskOptions
    model: ChatModel
    pictures_dir: str
    nearest: Nearest
    limits: SchemaLimits = field(default_factory=SchemaLimits)
    # Of many items the same is asked; what follows from a question is derived once.
    _questions: dict[tuple[Any, ...], tuple[Question, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def questions(
        self, attributes: Sequence[Attribute], places: tuple[str, ...], *, describe: bool
    ) -> tuple[Question, ...]:
        """Return what is asked at once for these attributes, in parts where that is too much."""
        key = (tuple(attribute.name for attribute in attributes), places, describe)
        known = self._questions.get(key)
        if known is None:
            if len(self._questions) >= MAX_QUESTIONS:
                self._questions.clear()
            whole = Question(tuple(attributes), places=places, describe=describe)
            known = self._questions[key] = tuple(split_question(whole, self.limits))
        return known


@dataclass(frozen=True, slots=True)
class _Reply:
    """A usable answer: what was asked, the content that obeys the schema, the answer as it came,
    its provenance, and what had to be repaired.

    faults: names of attributes whose values were wrong → what was; again: what was said of these
    when they were asked for once more.
    """

    question: Question
    content: Mapping[str, Any]
    answer: ChatAnswer
    source: Source
    repairs: tuple[str, ...]
    faults: Mapping[str, str] = field(default_factory=dict)
    again: _Reply | Problem | None = None


def run_dialogue(
    broker: RequestBroker, job: DescribeJob
) -> Generator[ChatRequest, ChatAnswer | Failure, ItemAnswer]:
    """Yield every request about one item; return what came of them."""
    shown = _shown_content(broker, job)
    repairs: list[str] = []
    attributes = [broker.template.by_name[name] for name in job.attributes]
    small = [attribute for attribute in attributes if not is_large(attribute)]
    result = ItemAnswer(
        job.item_id,
        method=method_of(broker.model.model),
        model=broker.model.model,
        prompt_hash=broker.options.prompt().hash,
    )
    if broker.options.two_pass and shown.pictures:
        reply = yield from _ask(
            broker,
            Question(describe=True),
            replace(shown, texts={}, known={}, demonstrations=()),
            repairs,
        )
        result = _with_description(result, reply)
        # Without a description the second question would have nothing to see the pictures by.
        if isinstance(reply, Problem):
            return replace(_with_values(result, attributes, reply), repairs=tuple(repairs))
        shown = replace(shown, pictures=(), caption=result.description)
    # After a first pass no pictures are left here, so nothing is described a second time.
    describe = job.describe and bool(shown.pictures)
    if small or describe:
        for part in broker.questions(small, shown.places, describe=describe):
            reply = yield from _ask(broker, part, shown, repairs)
            result = _with_description(result, reply) if part.describe else result
            result = _with_values(result, part.attributes, reply)
    for attribute in attributes:
        if is_large(attribute):
            found = yield from _descend(broker, attribute, shown, result.description, repairs)
            if isinstance(found, Problem):
                result = _with_values(result, [attribute], found)
            else:
                result = replace(result, values={**result.values, attribute.name: found})
    return replace(result, repairs=tuple(repairs))


def _shown_content(broker: RequestBroker, job: DescribeJob) -> ShownContent:
    pictures = tuple(PreparedPicture(d, picture_path(broker.pictures_dir, d)) for d in job.pictures)
    return ShownContent(
        dict(job.fields),
        dict(job.known),
        pictures,
        digests=job.pictures,
        demonstrations=job.demonstrations,
    )


def _ask(
    broker: RequestBroker, question: Question, shown: ShownContent, repairs: list[str]
) -> Turns:
    """Put a question, once more if its answer cannot be used, or what is wrong of it; return a
    _Reply or the last Problem.

    What an answer had to be freed from to be read is added to `repairs`.
    """
    reply = yield from _attempt(broker, question, shown, broker.options)
    # What most often makes an answer unusable: chance, its length, and what is asked beside the
    # values. The second request has less of each.
    cooler = replace(broker.options, temperature=0.0)
    if isinstance(reply, Problem) and reply.of_answer:
        reply = yield from _attempt(
            broker, replace(question, lean=True), shown, cooler, _RETRY_TOKENS
        )
    elif isinstance(reply, _Reply) and reply.faults:
        wrong = tuple(each for each in question.attributes if each.name in reply.faults)
        lean = replace(question, attributes=wrong, describe=False, lean=True)
        # An alternative text may be at fault too, which is not asked for again.
        if wrong:
            again = yield from _attempt(broker, lean, shown, cooler, _RETRY_TOKENS)
            reply = replace(reply, again=again)
    if isinstance(reply, _Reply):
        repairs.extend(reply.repairs)
        repairs.extend(["single values"] if reply.faults else [])
    return reply


def _attempt(
    broker: RequestBroker,
    question: Question,
    shown: ShownContent,
    options: AskOptions,
    token_factor: int = 1,
) -> Turns:
    """Put a question once; return a _Reply or the Problem."""
    request = build_request(broker.template, options, question, shown)
    request = replace(request, max_tokens=token_factor * request.max_tokens)
    answer = yield request
    if isinstance(answer, Failure):
        return Problem(answer.reason, answer.message)
    read = read_answer(answer, request.schema)
    if isinstance(read, Problem):
        return read
    source = Source(
        broker.template,
        broker.model.model,
        request.prompt_hash,
        request.fingerprint(broker.model),
        shown.texts,
        shown.digests,
        caption=bool(shown.caption),
    )
    return _Reply(question, read.content, answer, source, read.repairs, read.faults)


def _judged(reply: _Reply | Problem, attribute: Attribute) -> AttributeValue:
    if isinstance(reply, Problem):
        return AttributeValue(None, reason=reply.reason)
    if attribute.name in reply.faults:
        return _judged_again(reply, attribute)
    return judge(reply.question, attribute, reply.content, reply.answer, reply.source)


def _judged_again(reply: _Reply, attribute: Attribute) -> AttributeValue:
    """Return the value of an attribute whose first answer was wrong: by the second, or unknown."""
    again = reply.again
    if isinstance(again, _Reply) or (isinstance(again, Problem) and not again.of_answer):
        return _judged(again, attribute)
    return AttributeValue(
        None,
        method=method_of(reply.source.model),
        model=reply.source.model,
        prompt_hash=reply.source.prompt_hash,
        fingerprint=reply.source.fingerprint,
        evidence=Evidence("", text=reply.faults[attribute.name]),
        reason="answer-off-schema",
    )


def _descend(
    broker: RequestBroker,
    attribute: Attribute,
    shown: ShownContent,
    described: str,
    repairs: list[str],
) -> Turns:
    """Ask for the value of a large list, level by level; return an AttributeValue, or the Problem
    of the level that failed.

    Its confidence is that of the least sure level.
    """
    paths = [choice.value for choice in attribute.values]
    query = " ".join([*shown.texts.values(), described])
    node, confidence = "", 1.0
    for _ in range(MAX_LEVELS):
        step = next_level(paths, node, query, broker.nearest)
        question = Question((attribute,), {attribute.name: tuple(step.choices)}, shown.places)
        reply = yield from _ask(broker, question, shown, repairs)
        if isinstance(reply, Problem):
            return reply
        judged = _judged(reply, attribute)
        confidence = min(confidence, judged.confidence or 0.0)
        choice = reply.content[attribute.name]
        deeper = isinstance(choice, str) and choice in step.choices and step.choices[choice] is None
        if not deeper or judged.value is None:
            return judged if judged.value is None else replace(judged, confidence=confidence)
        node = str(choice)
    # The levels ran out before a value was reached.
    return AttributeValue(None, reason="model-unknown")


def _with_description(result: ItemAnswer, reply: _Reply | Problem) -> ItemAnswer:
    if isinstance(reply, Problem):
        return _with_problem(result, reply)
    return replace(
        result,
        description=one_line(reply.content[DESCRIPTION], invisible="dropped"),
        alt_text=one_line(reply.content.get(ALT_TEXT, ""), invisible="dropped"),
        fingerprint=reply.source.fingerprint,
        described=reply.source.pictures,
    )


def _with_values(
    result: ItemAnswer, attributes: Sequence[Attribute], reply: _Reply | Problem
) -> ItemAnswer:
    judged = {attribute.name: _judged(reply, attribute) for attribute in attributes}
    result = replace(result, values=result.values | judged)
    return _with_problem(result, reply) if isinstance(reply, Problem) else result


def _with_problem(result: ItemAnswer, problem: Problem) -> ItemAnswer:
    return replace(result, reason=problem.reason, message=problem.message, raw=problem.raw)

"""A conversation with a language model about one item, as a generator: it yields requests and is
sent answers.

DescribeJob → ChatRequest, ChatAnswer | Failure, ... → ItemAnswer. One structured call by default;
in two passes the pictures are described first and the values are asked for with that description.
An answer that cannot be used is asked for once more with other parameters. Lists too large for one
question follow level by level.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.attributes import Attribute
from schemas.elements import AttributeValue, Demonstration, DescribeJob, ItemAnswer
from schemas.questions import ALT_TEXT, DESCRIPTION, Question, picture_place
from schemas.template import Template
from schemas.texts import one_line
from transforms.describe.answers import Problem, Source, judge, method_of, read_answer
from transforms.describe.prompts import AskOptions, build_request
from transforms.describe.taxonomy import Nearest, is_large, next_level
from transforms.images.files import picture_path
from transforms.models.chat import ChatAnswer, ChatModel, ChatRequest, PreparedPicture
from transforms.models.contract import Failure

MAX_LEVELS = 12
_RETRY_TOKENS = 2  # times as many as the first time

Turns = Generator[ChatRequest, ChatAnswer | Failure, Any]


@dataclass(frozen=True)
class RequestBroker:
    """What all conversations of a run share. pictures_dir: where prepared pictures lie."""

    template: Template
    options: AskOptions
    model: ChatModel
    pictures_dir: str
    nearest: Nearest


@dataclass(frozen=True, slots=True)
class _Heard:
    """A usable answer: what was asked, the checked content, the answer as it came, and its
    provenance.
    """

    question: Question
    content: Mapping[str, Any]
    answer: ChatAnswer
    source: Source


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the model is shown with a question."""

    texts: Mapping[str, str]
    known: Mapping[str, str]
    pictures: tuple[PreparedPicture, ...] = ()
    caption: str = ""
    digests: tuple[str, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        count = len(self.pictures) or (1 if self.caption and self.digests else 0)
        return (*self.texts, *(picture_place(number) for number in range(1, count + 1)))


def run_dialogue(
    asker: RequestBroker, job: DescribeJob
) -> Generator[ChatRequest, ChatAnswer | Failure, ItemAnswer]:
    """Everything that is asked about one item, and what came of it."""
    shown, attributes = (
        _shown(asker, job),
        [asker.template.by_name[name] for name in job.attributes],
    )
    small = [attribute for attribute in attributes if not is_large(attribute)]
    result = ItemAnswer(
        job.item_id,
        method=method_of(asker.model.model),
        model=asker.model.model,
        prompt_hash=asker.options.prompt().hash,
    )
    if asker.options.two_pass and shown.pictures:
        heard = yield from _ask(
            asker, Question(describe=True), replace(shown, texts={}, known={}, demonstrations=())
        )
        result = _with_description(result, heard)
        if isinstance(heard, Problem):
            return _with_values(result, attributes, heard)
        shown = replace(shown, pictures=(), caption=result.description)
    describe = job.describe and bool(shown.pictures)
    if small or describe:
        heard = yield from _ask(
            asker, Question(tuple(small), places=shown.places, describe=describe), shown
        )
        result = _with_description(result, heard) if describe else result
        result = _with_values(result, small, heard)
    for attribute in attributes:
        if is_large(attribute):
            found = yield from _descend(asker, attribute, shown, result.description)
            if isinstance(found, Problem):
                result = _with_values(result, [attribute], found)
            else:
                result = replace(result, values={**result.values, attribute.name: found})
    return result


def _shown(asker: RequestBroker, job: DescribeJob) -> _Shown:
    pictures = tuple(PreparedPicture(d, picture_path(asker.pictures_dir, d)) for d in job.pictures)
    return _Shown(
        dict(job.fields),
        dict(job.known),
        pictures,
        digests=job.pictures,
        demonstrations=job.demonstrations,
    )


def _ask(asker: RequestBroker, question: Question, shown: _Shown) -> Turns:
    """One question, put once more if its answer cannot be used: _Heard, or the last Problem."""
    heard = yield from _attempt(asker, question, shown, asker.options)
    if isinstance(heard, Problem) and heard.of_answer:
        cooler = replace(asker.options, temperature=0.0)
        heard = yield from _attempt(
            asker, replace(question, lean=True), shown, cooler, _RETRY_TOKENS
        )
    return heard


def _attempt(
    asker: RequestBroker, question: Question, shown: _Shown, options: AskOptions, longer: int = 1
) -> Turns:
    request = build_request(
        asker.template,
        options,
        question,
        texts=shown.texts,
        known=shown.known,
        pictures=shown.pictures,
        caption=shown.caption,
        demonstrations=shown.demonstrations,
    )
    request = replace(request, max_tokens=longer * request.max_tokens)
    answer = yield request
    if isinstance(answer, Failure):
        return Problem(answer.reason, answer.message)
    content = read_answer(answer, request.schema)
    if isinstance(content, Problem):
        return content
    source = Source(
        asker.template,
        asker.model.model,
        request.prompt_hash,
        request.fingerprint(asker.model),
        shown.texts,
        shown.digests,
        caption=bool(shown.caption),
    )
    return _Heard(question, content, answer, source)


def _judged(heard: _Heard | Problem, attribute: Attribute) -> AttributeValue:
    if isinstance(heard, Problem):
        return AttributeValue(None, reason=heard.reason)
    return judge(heard.question, attribute, heard.content, heard.answer, heard.source)


def _descend(asker: RequestBroker, attribute: Attribute, shown: _Shown, described: str) -> Turns:
    """The value of a large list, level by level: an AttributeValue, or the Problem of the level
    that failed.

    Its confidence is that of the least sure level.
    """
    paths = [choice.value for choice in attribute.values]
    query = " ".join([*shown.texts.values(), described])
    node, confidence = "", 1.0
    for _ in range(MAX_LEVELS):
        step = next_level(paths, node, query, asker.nearest)
        question = Question((attribute,), {attribute.name: tuple(step.choices)}, shown.places)
        heard = yield from _ask(asker, question, shown)
        if isinstance(heard, Problem):
            return heard
        judged = _judged(heard, attribute)
        confidence = min(confidence, judged.confidence or 0.0)
        said = heard.content[attribute.name]
        deeper = isinstance(said, str) and said in step.choices and step.choices[said] is None
        if not deeper or judged.value is None:
            return judged if judged.value is None else replace(judged, confidence=confidence)
        node = str(said)
    return AttributeValue(None, reason="model-unknown")


def _with_description(result: ItemAnswer, heard: _Heard | Problem) -> ItemAnswer:
    if isinstance(heard, Problem):
        return _with_problem(result, heard)
    return replace(
        result,
        description=one_line(heard.content[DESCRIPTION], invisible="dropped"),
        alt_text=one_line(heard.content.get(ALT_TEXT, ""), invisible="dropped"),
        fingerprint=heard.source.fingerprint,
        described=heard.source.pictures,
    )


def _with_values(
    result: ItemAnswer, attributes: Sequence[Attribute], heard: _Heard | Problem
) -> ItemAnswer:
    judged = {attribute.name: _judged(heard, attribute) for attribute in attributes}
    result = replace(result, values=result.values | judged)
    return _with_problem(result, heard) if isinstance(heard, Problem) else result


def _with_problem(result: ItemAnswer, problem: Problem) -> ItemAnswer:
    return replace(result, reason=problem.reason, message=problem.message, raw=problem.raw)

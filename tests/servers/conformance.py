"""What becomes of 24 items at a server: asked by the real client in the real dialogue, one value in each form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from schemas.elements import DescribeJob, ItemAnswer
from schemas.questions import CONFIDENCE_WORDS
from schemas.template import Template
from transforms.caching.answers import AnswerCodec
from transforms.caching.key_range import KeyRangeCache
from transforms.describe.ask import ModelSession, describe_part
from transforms.describe.conversation import RequestBroker
from transforms.describe.prompts import AskOptions
from transforms.describe.splitting import SchemaLimits
from transforms.describe.usage import Usage
from transforms.images.files import picture_path
from transforms.models import build_chat_model
from transforms.models.budget import Budget, OwnBudgetShare
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelGoneError, ModelOptions
from transforms.models.http.servers.known import schema_limits

ITEMS = 24
# A value of each kind that a schema can hold, bounds included.
TEMPLATE = {
    "name": "shop",
    "version": "1.0.0",
    "record": {"id": "sku", "images": {"columns": "photos"}},
    "attributes": [
        {"name": "title", "type": "string", "role": "title"},
        {"name": "color", "type": "enum", "values": ["Red", "Blue"], "fill": True},
        {"name": "tags", "type": "multi_enum", "values": ["new", "sale", "eco"], "fill": True},
        {"name": "weight", "type": "number", "unit": "g", "min": 0, "max": 9999, "fill": True},
        {"name": "note", "type": "string", "fill": True},
    ],
}


@dataclass(frozen=True)
class Outcome:
    """What became of the items. calls: that reached the server; reasons: of the items that were lost.

    values: (item, attribute) → value, of those that were filled; measured: whether the probability of
    tokens counted for any. usage: as the run would account for it; ended: what ended it, if anything did.
    """

    kept: int
    calls: int
    reasons: dict[str, int]
    message: str
    measured: bool
    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    ended: str = ""


class Asked(Protocol):
    """A server that items are asked of: where it is, and how many calls reached it."""

    @property
    def url(self) -> str: ...

    @property
    def calls(self) -> int: ...


def ask_items(
    emulator: Asked,
    folder: Path,
    *,
    template: dict[str, Any] = TEMPLATE,
    items: int = ITEMS,
    sees: bool = True,
    marker: str = "",
    marked: Iterable[int] = (0,),
    **chat: Any,
) -> Outcome:
    """Ask about items whose pictures and titles are their own.

    folder: for pictures and answers; sees: whether pictures are shown; marker: in the text of the items `marked`; chat: further
    options of the model.
    """
    folder.mkdir(exist_ok=True)
    before = emulator.calls
    options = ChatOptions(
        **{
            "model": getattr(emulator, "model", "tiny"),
            "endpoint": emulator.url,
            "api_key_env": "NO_KEY_IS_HERE",
            "max_retries": 1,
            "timeout_secs": 20,
            **chat,
        }
    )
    models = ModelOptions(describe_backend="openai", chat=options)
    loaded = Template.model_validate(template)
    model = build_chat_model(models)
    broker = RequestBroker(
        loaded,
        AskOptions(),
        model,
        str(folder),
        lambda _, names: names,
        SchemaLimits(*schema_limits(models)),
    )
    jobs = [_job(loaded, folder, number, sees=sees) for number in range(items)]
    for number in marked if marker else ():
        jobs[number] = replace(jobs[number], fields=(("title", f"Thing {number} {marker}"),))
    model.load()
    try:
        answers, usage = _answers(broker, folder, jobs)
    except ModelGoneError as error:
        return Outcome(0, emulator.calls - before, {}, str(error), measured=False, ended=str(error))
    finally:
        model.close()
    return replace(_outcome(answers, emulator.calls - before), usage=usage)


def _job(template: Template, folder: Path, number: int, *, sees: bool) -> DescribeJob:
    digest = f"{number:02x}".ljust(64, "0")
    path = Path(picture_path(str(folder), digest))
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (56, 56), (number, 9, 9)).save(path, "JPEG")
    return DescribeJob(
        f"s{number:02}",
        0,
        (("title", f"Thing {number}"),),
        (),
        (digest,) if sees else (),
        tuple(each.name for each in template.attributes if each.fill),
        describe=sees,
    )


def _answers(
    broker: RequestBroker, folder: Path, jobs: list[DescribeJob]
) -> tuple[list[ItemAnswer], Usage]:
    cache = KeyRangeCache(str(folder / "answers"), "0000", "ffff", AnswerCodec("run-1", "m"))
    cache.load()
    session = ModelSession(broker.model, cache, Budget(), OwnBudgetShare(Budget().limit), 56)
    try:
        answered, usage = describe_part(broker, jobs, session)
    finally:
        cache.close()
    return [answer for _, answer in answered], usage


def _outcome(answers: list[ItemAnswer], calls: int) -> Outcome:
    lost = [answer for answer in answers if answer.reason is not None]
    values = {
        (answer.item_id, name): value
        for answer in answers
        for name, value in answer.values.items()
        if value.value is not None
    }
    return Outcome(
        len(answers) - len(lost),
        calls,
        dict(Counter(str(answer.reason) for answer in lost)),
        lost[0].message if lost else "",
        any(value.confidence not in CONFIDENCE_WORDS.values() for value in values.values()),
        {key: value.value for key, value in values.items()},
    )

"""Questions to a language model: Item → DescribeJob, what is asked about it, and (question, shown
content) → ChatRequest. Pure.

Text of a catalog stands in a prompt only as strings of a JSON object, in which the characters that
chat templates and special tokens are made of are written as escapes: it cannot close its fence,
open a turn or name a picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from prompts.library import Prompt, load_prompt
from schemas.attribute_types.contract import UNKNOWN
from schemas.attributes import Attribute
from schemas.elements import Demonstration, DescribeJob, Item, ItemAnswer
from schemas.questions import (
    ALT_TEXT,
    DESCRIPTION,
    MAX_ALT_TEXT_CHARS,
    MAX_DESCRIPTION_CHARS,
    NOWHERE,
    Question,
    picture_place,
)
from schemas.template import Template
from schemas.texts import one_line
from transforms.attribute_types.registry import operations_of
from transforms.describe.taxonomy import is_large
from transforms.items.evidence import evidence_texts
from transforms.items.open_values import is_open
from transforms.items.text import format_value
from transforms.models.chat import ChatRequest, PreparedPicture
from transforms.models.tokens import PIXELS_PER_TOKEN_SIDE, TYPICAL_CHARS_PER_TOKEN
from transforms.runtime.options import check_ranges, option

PROMPT = "describe-item"
MAX_KNOWN_CHARS = 200
# The key of a demonstration's title among its values: with a dot, as no attribute can be named.
_SHOWN_TITLE = "item.title"
_DEMONSTRATIONS = "demonstrations"
# The characters of `<|im_start|>`, `<image>`, `[INST]`, `<｜User｜>`: written as escapes, no
# tokenizer takes them for special tokens. The separators among them end a line for some readers.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>[]\u2028\u2029\uff5c"})


@dataclass(frozen=True, slots=True)
class AskOptions:
    """How items are put to a language model.

    demonstrations: shown by prompts that have a place for them.
    Raises ValueError that names the option of a value outside its range.
    """

    prompt_version: int = option(
        0,
        "version of prompts/describe-item; 0: the latest",
        flag="--describe-prompt",
        rebuilds=True,
    )
    two_pass: bool = option(
        False,
        "describe the images first, then fill from that description and the texts: two calls per "
        "item, but items that share images share the first",
        rebuilds=True,
        asks=True,
    )
    max_pictures: int = option(
        4,
        "images of an item that the model is shown",
        minimum=0,
        maximum=16,
        rebuilds=True,
        asks=True,
    )
    image_px: int = option(
        672,
        "longer side of an image as the model is shown it, in pixels",
        flag="--describe-image-px",
        minimum=56,
        maximum=736,
        rebuilds=True,
        asks=True,
    )
    max_text_chars: int = option(
        6_000,
        "characters of an item's texts, all together",
        minimum=0,
        maximum=100_000,
        rebuilds=True,
        asks=True,
    )
    max_answer_tokens: int = option(
        1_024,
        "tokens of an answer; a retry gets twice as many",
        minimum=16,
        maximum=32_768,
        rebuilds=True,
    )
    temperature: float = option(
        0.0,
        "sampling temperature; 0: the likeliest token",
        minimum=0,
        maximum=2,
        rebuilds=True,
        asks=True,
    )
    # Neither rebuilds nor asks again: the nearest items change with every run of a living catalog.
    demonstrations: int = option(
        3,
        "items with known values, the nearest ones, shown to the model as examples",
        minimum=0,
        maximum=10,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        self.prompt()  # a version that does not exist is reported before anything runs

    def prompt(self) -> Prompt:
        """Return the prompt that is used.

        Raises PromptError, a ValueError, listing what there is.
        """
        return load_prompt(PROMPT, self.prompt_version or None)

    @property
    def shown_demonstrations(self) -> int:
        """Number of demonstrations wanted in a request; version 1 of the prompt shows none."""
        return self.demonstrations if _DEMONSTRATIONS in self.prompt().variables else 0


@dataclass(frozen=True, slots=True)
class ShownContent:
    """What the model is shown with a question.

    texts: field → text; known: attribute → value as text, context that is not asked for.
    pictures: ready to be sent; caption: a description in their place; digests: of the pictures,
    also where only their caption is shown.
    """

    texts: Mapping[str, str]
    known: Mapping[str, str]
    pictures: tuple[PreparedPicture, ...] = ()
    caption: str = ""
    digests: tuple[str, ...] = ()
    demonstrations: tuple[Demonstration, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Where the model can have seen a value: the texts' fields, and `image 1`, ..."""
        # A caption does not say which picture it speaks of, so it counts as one place.
        count = len(self.pictures) or (1 if self.caption and self.digests else 0)
        return (*self.texts, *(picture_place(number) for number in range(1, count + 1)))


def describe_job(
    template: Template, options: AskOptions, item: Item, item_bucket: int
) -> DescribeJob | None:
    """Return what is to be asked about an item, or None when there is nothing to ask.

    What `item.answer` holds of an earlier run is not asked again.
    """
    fields = tuple(_cut(template, item, options.max_text_chars))
    digests = dict.fromkeys(
        image.features.digest for image in item.images if image.features is not None
    )
    pictures = tuple(digests)[: options.max_pictures]
    kinds = {kind for kind, there in (("text", fields), ("image", pictures)) if there}
    earlier = ItemAnswer(item.item_id) if item.answer is None else item.answer
    attributes = tuple(
        a.name
        for a in template.attributes
        if is_open(a, item) and kinds & set(a.evidence) and a.name not in earlier.values
    )
    describe = bool(pictures) and not earlier.description
    if not attributes and not describe:
        return None
    # For a description alone the pictures are enough: without texts it is shared with every item
    # that has the same pictures.
    known = tuple(_known(template, item)) if attributes else ()
    return DescribeJob(
        item.item_id,
        item_bucket,
        fields if attributes else (),
        known,
        pictures,
        attributes,
        describe,
    )


def effort_of(template: Template, options: AskOptions, job: DescribeJob) -> float:
    """Return about how many tokens an answer costs for each value that it may give; a budget is
    spent on the least first.
    """
    attributes = [template.by_name[name] for name in job.attributes]
    pictures = len(job.pictures) * (options.image_px / PIXELS_PER_TOKEN_SIDE) ** 2
    texts = sum(len(text) for _, text in (*job.fields, *job.known))
    shown = pictures + texts / TYPICAL_CHARS_PER_TOKEN
    lists = (
        # 4: the quotes, the comma and the space around a choice in a list.
        sum(len(choice.value) + 4 for a in attributes if not is_large(a) for choice in a.values)
        / TYPICAL_CHARS_PER_TOKEN
    )
    # A large list takes calls of its own, in which everything is shown again.
    calls = 1 + sum(is_large(attribute) for attribute in attributes)
    return (calls * shown + lists) / max(1, len(attributes))


def _cut(template: Template, item: Item, max_chars: int) -> Iterator[tuple[str, str]]:
    """Yield (field, text) of the item's own texts, titles first, up to `max_chars` characters in
    all.
    """
    # Text read from pictures is left out: the model sees the pictures themselves.
    left = max_chars
    for text in evidence_texts(template, item):
        if text.source == "text" and left > 0:
            yield text.field, text.text[:left]
            left -= len(text.text)


def _known(template: Template, item: Item) -> Iterator[tuple[str, str]]:
    """Yield (attribute, value as text) of what the item has and what helps to judge the rest."""
    for attribute in template.attributes:
        value = item.values[attribute.name].value
        if (
            value is not None
            and not attribute.role
            and attribute.in_text
            and operations_of(attribute).is_context
        ):
            yield attribute.name, format_value(attribute, value)[:MAX_KNOWN_CHARS]


def fence(content: Mapping[str, str]) -> str:
    r"""Return texts from outside as a JSON object whose strings hold no character that a chat
    template takes for its own.

    >>> print(fence({"title": "Mug <|im_end|> [INST]"}))
    {"title": "Mug \u003c|im_end|\u003e \u005bINST\u005d"}
    """
    # Escaped after dumping: outside strings, a flat object of strings has none of these characters.
    return json.dumps(dict(content), ensure_ascii=False).translate(_ESCAPES)


def build_request(
    template: Template,
    options: AskOptions,
    question: Question,
    shown: ShownContent,
) -> ChatRequest:
    """Return the request that puts `question` with what the model is shown.

    Its address is that of the same request without demonstrations, together with how many are
    wanted (`ChatRequest.fingerprint`): the nearest items change with every run, and an answer that
    was paid for must still be found.
    """
    prompt = options.prompt()
    places = ", ".join(json.dumps(place) for place in question.places)
    wanted = options.shown_demonstrations if question.attributes else 0
    demonstrations = list(_fenced_demonstrations(question, shown.demonstrations))[:wanted]
    variables: dict[str, Any] = dict(
        subject=template.describe.subject,
        record=fence(shown.texts) if shown.texts else "",
        known=fence(shown.known) if shown.known else "",
        pictures=[picture_place(number) for number, _ in enumerate(shown.pictures, start=1)],
        caption=fence({"description": shown.caption}) if shown.caption else "",
        describe=question.describe,
        attributes=[_attribute_variables(question, attribute) for attribute in question.attributes],
        places=places,
        nowhere=NOWHERE,
        unknown=UNKNOWN,
        lean=question.lean,
        description_key=DESCRIPTION,
        max_description_chars=MAX_DESCRIPTION_CHARS,
        alt_text_key=ALT_TEXT,
        max_alt_text_chars=MAX_ALT_TEXT_CHARS,
        # Rendering refuses variables that a version of the prompt does not name.
        **{name: [] for name in (_DEMONSTRATIONS,) if name in prompt.variables},
    )
    turns = alone = prompt.render_turns(**variables)
    if demonstrations:
        turns = prompt.render_turns(**variables | {_DEMONSTRATIONS: demonstrations})
    return ChatRequest(
        turns["system"],
        turns["user"],
        question.schema,
        shown.pictures,
        preparation=f"jpeg {options.image_px} px",
        prompt_hash=prompt.hash,
        max_tokens=options.max_answer_tokens,
        temperature=options.temperature,
        addressed=(alone["system"], alone["user"], f"{wanted} demonstrations") if wanted else (),
    )


def _fenced_demonstrations(
    question: Question, demonstrations: Sequence[Demonstration]
) -> Iterator[str]:
    """Yield the demonstrations that show a value of what is asked, each fenced."""
    names = {attribute.name for attribute in question.attributes}
    for demonstration in demonstrations:
        values = {name: value for name, value in demonstration.values if name in names}
        if values:
            yield fence({_SHOWN_TITLE: demonstration.title, **values})


def _attribute_variables(question: Question, attribute: Attribute) -> dict[str, str]:
    """Return what the prompt's line about an attribute is made of."""
    return {
        "name": attribute.name,
        "description": _sentence(attribute.description or attribute.title),
        "allowed": attribute.spec.answer_hint(attribute, question.offered(attribute)),
    }


@lru_cache(maxsize=1024)
def _sentence(text: str) -> str:
    about = one_line(text, invisible="dropped")
    return about if about.endswith((".", "!", "?")) else f"{about}."

"""What a response that is no answer says of the request: parameters that it names, and words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from transforms.models.http.messages import entry

# Statuses by which servers refuse a parameter. 403: "not allowed to request logprobs from this
# model" (OpenAI); 404: no provider behind it takes the parameters (OpenRouter); 500: a picture
# without a projector (llama.cpp).
REFUSING = frozenset({400, 403, 404, 422, 500, 501})
MAX_CHARS = 20_000

# How a message names a capability. Fields that are sent under several names stand in `_SENT_AS`.
_NAMED: Mapping[str, re.Pattern[str]] = {
    "temperature": re.compile(r"\btemperature\b", re.IGNORECASE),
    "seed_field": re.compile(r"\b(random_)?seed\b", re.IGNORECASE),
    "logprobs": re.compile(r"\b(top_)?logprobs?\b|\blog[- ]prob", re.IGNORECASE),
    "length_field": re.compile(r"\bmax_(completion_)?tokens\b"),
    "system_role": re.compile(
        r"\bsystem['\"`]?[ _](role|message|prompt|instruction)"
        r"|\brole\b.{0,40}\bsystem\b|developer instruction is not enabled",
        re.IGNORECASE,
    ),
    "response_format": re.compile(
        r"response_?(format|schema)|json_schema|json_object|structured output|json mode|grammar"
        r"|guided",
        re.IGNORECASE,
    ),
    "pictures": re.compile(
        r"\bimages?\b|image_url|\bpictures?\b|\bvision\b|multi-?modal|mmproj", re.IGNORECASE
    ),
    "thinking_switch": re.compile(
        r"reasoning_effort|chat_template_kwargs|enable_thinking|\bthinking\b", re.IGNORECASE
    ),
}
# A limit that is named because a request goes beyond it is no unknown parameter.
_TOO_LARGE = re.compile(
    r"too (large|long|high|many)|exceed|context (length|window)|at most \d|less than or equal",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"unsupported|not supported|unknown|unrecognized|not permitted|instead", re.IGNORECASE
)
# What no request gets past, whatever its form: kind → how servers say it.
ENDING: Mapping[str, re.Pattern[str]] = {
    "credit": re.compile(
        r"insufficient[ _](quota|credit|balance|funds)|credit balance is too low"
        r"|billing[ _](hard|not)[ _]|budget[ _]has[ _]been[ _]exceeded|budget_exceeded"
        r"|exceeded.{0,20}budget|payment required|out of credits|arrears"
        r"|reached your (specified )?(api )?usage limit|monthly (included )?credits"
        r"|spend(ing)?[ _]limit",
        re.IGNORECASE,
    ),
    # Names of models hold dots; a sentence ends with one before a blank.
    "model": re.compile(
        r"model_not_found|model_decommissioned|model([^.]|\.(?=\S)){0,80}(not found|not exist"
        r"|decommissioned|deprecated|retired|no longer (available|supported))"
        r"|(no such|unknown|invalid) model|invalid model name|access to model"
        r"|deploymentnotfound|no healthy deployments for this model",
        re.IGNORECASE,
    ),
    "key": re.compile(
        r"api_key_invalid|api key (not valid|(has )?expired)"
        r"|(invalid|incorrect|missing|wrong|no)[ _]api[ _-]?key|no connected db"
        r"|invalid (x-)?(api-)?key|authentication[ _]?error|invalid (bearer|access) token"
        r"|invalid proxy server token|missing authentication|unauthenticated",
        re.IGNORECASE,
    ),
}
# What else a refusal may be about: no other way of asking helps.
_OF_SOMETHING_ELSE = re.compile(
    r"api[ _-]?key|credential|unauthori|authenticat|quota|credit|billing|budget|balance|content"
    r"[ _]?(filter|policy|management)|safety|moderat|flagged|context (length|window)"
    r"|too (large|long|many)|rate limit",
    re.IGNORECASE,
)
# Of pictures in general; a format or a size is one picture's.
SEES_NOTHING = re.compile(
    r"\b(images?|image_url|pictures?|vision|multi-?modal\w*)\b(?!.{0,30}(format|size|type))"
    r".{0,50}(not supported|unsupported|not enabled|not accepted|not available)"
    r"|(does not|doesn't|not|cannot|can't) (support|accept|handle|process|take) "
    r".{0,40}\b(images?|image_url|vision|multi-?modal)"
    r"|no (vision|multi-?modal|image) support|no \w+ (found )?that supports? (image|vision)"
    r"|not a (vision|multi-?modal)|mmproj|at most 0 image"
    r"|unknown (variant|type).{0,20}image_url"
    r"|content.{0,40}(should|must) be .{0,12}string",
    re.IGNORECASE,
)
# What a gateway says where its upstream answered with null for choices.
_NO_CHOICES = re.compile(r"\bchoices\b.{0,30}(not a list|is null|NoneType|none\b)", re.IGNORECASE)
_MAX_VALUES = re.compile(r"at most (\d+) enum values|(\d+) enum values in total", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was refused.

    params: that a field of the error names; message: its words, of the whole body where it has no
    message. Nothing in it is trusted.
    """

    status: int
    params: tuple[str, ...]
    message: str

    def names(self, capability: str) -> bool:
        """Whether it names a capability, which must be a key of _NAMED."""
        pattern = _NAMED[capability]
        if any(pattern.search(param) for param in self.params):
            return capability != "length_field" or not self._is_about_size()
        if capability == "length_field" and self._is_about_size():
            return False
        return pattern.search(self.message) is not None

    def keywords(self, used: frozenset[str]) -> frozenset[str]:
        """Return the keywords of a schema that it names, of those that were used."""
        words = set(re.findall(r"[A-Za-z]+", " ".join((*self.params, self.message))))
        # In camel case a word is no word of prose; the others are, unless a schema is spoken of.
        of_schema = re.search(r"schema|response_format|grammar|propert", self.message)
        return frozenset(
            word for word in used & words if of_schema or re.search("[a-z][A-Z]", word)
        )

    @property
    def max_values(self) -> int:
        """The number of listed values that it says is the most, 0 where it says none."""
        found = _MAX_VALUES.search(self.message)
        return int(next(filter(None, found.groups()))) if found else 0

    @property
    def sees_nothing(self) -> bool:
        """Whether it says that the model takes no pictures at all."""
        return SEES_NOTHING.search(self.message) is not None

    @property
    def gives_no_choices(self) -> bool:
        """Whether it says that somebody behind it gave null for choices: some servers have no other
        word for a schema that they do not know.
        """
        return _NO_CHOICES.search(self.message) is not None

    @property
    def wants_value(self) -> bool:
        """Whether it misses the field by which TGI is given a schema."""
        return bool(re.search(r"missing field .?value", self.message))

    @property
    def is_about_something_else(self) -> bool:
        """Whether it says that it is not about how the request is written."""
        every = (_OF_SOMETHING_ELSE, *ENDING.values())
        return any(pattern.search(self.message) for pattern in every)

    def _is_about_size(self) -> bool:
        return bool(_TOO_LARGE.search(self.message)) and not _UNKNOWN.search(self.message)


def read_refusal(status: int, body: bytes) -> Refusal:
    """Return what a response says that is no answer; also of errors that come with HTTP 200."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Refusal(status, (), body.decode("utf-8", "replace")[:MAX_CHARS])
    parts = list(_parts(document))
    params = tuple(text for kind, text in parts if kind == "param")
    words = " ".join(text for kind, text in parts if kind == "word")
    return Refusal(status, params, (words or body.decode("utf-8", "replace"))[:MAX_CHARS])


def _parts(document: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield ("param" or "word", text) of an error, however it is wrapped."""
    if depth > 6:
        return
    if isinstance(document, str):
        yield "word", document
    elif isinstance(document, list):
        for each in document[:32]:
            yield from _parts(each, depth + 1)
    elif isinstance(document, dict):
        param, loc = entry(document, "param"), entry(document, "loc")
        if isinstance(param, str) and param:
            yield "param", param
        if isinstance(loc, list):
            yield "param", ".".join(map(str, loc))
        # `input` repeats what was sent, so it is not looked at.
        for key in ("error", "message", "msg", "detail", "details", "code", "metadata", "raw"):
            if key in document:
                yield from _parts(document[key], depth + 1)

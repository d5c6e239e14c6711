"""The JSON objects in what a model wrote: alone, or in a fence, behind its thinking, amid prose.

Servers that decode by JSON Schema send the object alone. Others leave that to the model, and many
models wrap it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from transforms.extraction.structures.json_repair import mend_json

# What stands around the thoughts of a model; the opening mark is often part of the prompt.
_NAMES = "think|thinking|thought|reasoning|reflection|analysis|scratchpad|seed:think"
_THOUGHT_MARK = re.compile(
    rf"(?P<begin><(?:{_NAMES})>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|>analysis)"
    rf"|</(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```|~~~")
# White space, and marks that no one sees.
_BLANK = " \t\r\n\ufeff\u200b\u2060"
# An answer has kilobytes and one object; beyond this a text is not searched.
_MAX_CHARS, _MAX_OBJECTS = 1 << 18, 32


@dataclass(frozen=True, slots=True)
class FoundObject:
    """A JSON value within a text.

    begin, end: its span, in characters; repairs: what was in the way, in words: `thinking`,
    `fence`, `prose`, `invisible marks`, `text` (it stood in a JSON text), or what `mend_json`
    names.
    """

    value: Any
    begin: int
    end: int
    repairs: tuple[str, ...] = ()


def find_objects(text: str) -> list[FoundObject]:
    """Return the objects in a model's answer, in their order; none of those that it thought of.

    Raises ValueError, or RecursionError, as the parser does for the whole text, when there is none.

    >>> [found.value for found in find_objects('<think>{"a": 0}?</think> Here: {"a": 1}')]
    [{'a': 1}]
    """
    try:
        # The usual case. Python's parser reads NaN and Infinity, which no other reader does.
        whole = json.loads(text, parse_constant=_refuse, object_pairs_hook=_object_of)
    except TwiceError:
        raise
    except (ValueError, RecursionError) as error:
        begin, end, thought = _answer_span(text)
        found = list(_objects(text, begin, end)) if len(text) <= _MAX_CHARS else []
        if not found:
            raise error from None
    else:
        return (
            _within(text, whole) if isinstance(whole, str) else [FoundObject(whole, 0, len(text))]
        )
    around = text[begin : found[0].begin] + text[found[-1].end : end]
    repairs = _wrapping(around, thought=thought)
    return [
        FoundObject(each.value, each.begin, each.end, (*repairs, *each.repairs)) for each in found
    ]


class TwiceError(ValueError):
    """A key that comes twice, with different values: nobody knows which one was meant."""


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if found[name] != value:
                raise TwiceError(f"the key {name[:40]!r} comes twice with different values")
    return found


# Python's own parser is lenient in one thing that models do: a line break within a text.
_LENIENT = json.JSONDecoder(strict=False, object_pairs_hook=_object_of)


def _within(text: str, said: str) -> list[FoundObject]:
    """Return what a JSON text holds that is JSON itself; the text alone where it is none."""
    try:
        found = json.loads(said, parse_constant=_refuse, object_pairs_hook=_object_of)
    except TwiceError:
        raise
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return [FoundObject(said, 0, len(text))]
    return [FoundObject(found, 0, len(text), ("text",))]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _answer_span(text: str) -> tuple[int, int, bool]:
    """Return where the answer begins and ends, and whether thoughts were left out."""
    marks = list(_THOUGHT_MARK.finditer(text))
    if not marks:
        return 0, len(text), False
    last = marks[-1]
    # Thinking that never ended: what stands in it is no answer.
    return (0, last.start(), True) if last["begin"] else (last.end(), len(text), True)


def _objects(text: str, begin: int, end: int) -> Iterator[FoundObject]:
    position = begin
    for _ in range(_MAX_OBJECTS):
        position = text.find("{", position, end)
        if position < 0:
            return
        found = _object_at(text, position, end)
        if found is None:
            position += 1
        else:
            yield found
            position = found.end


def _object_at(text: str, begin: int, end: int) -> FoundObject | None:
    try:
        value, behind = _LENIENT.raw_decode(text, begin)
        if behind <= end and json.dumps(value, allow_nan=False):
            return FoundObject(value, begin, behind)
    except TwiceError:
        raise
    except (ValueError, RecursionError):
        pass
    after = _closing(text, begin, end)
    if after is None:
        return None
    try:
        value, mended = mend_json(text[begin:after].encode("utf-8", "replace"))
    except (orjson.JSONDecodeError, RecursionError):
        return None
    return FoundObject(value, begin, after, (mended,) if mended else ())


def _closing(text: str, begin: int, end: int) -> int | None:
    """Return the position behind the bracket that closes the one at `begin`, by JSON's quotes."""
    depth, quote, position = 0, "", begin
    while position < end:
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return position + 1
        position += 1
    return None


def _wrapping(around: str, *, thought: bool) -> tuple[str, ...]:
    """Return in words what stood around an object, besides white space."""
    fences = _FENCE.findall(around)
    # A fence names its language behind the marks.
    rest = re.sub(r"(?:```|~~~)[\w-]*", "", around)
    found = {
        "thinking": thought,
        "fence": bool(fences),
        "invisible marks": bool(set(around) & set("\ufeff\u200b\u2060")),
        "prose": bool(rest.strip(_BLANK)),
    }
    return tuple(name for name, there in found.items() if there)

"""What a server and its model accept of a request. How it is asked follows from that; what is asked
does not, so that kept answers are found whatever was learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

# Allowed values by capability, in the order in which they are tried; None: see `_parsed`.
VALUES: Mapping[str, tuple[str, ...] | None] = {
    "length_field": ("max_tokens", "max_completion_tokens"),
    "temperature": ("yes", "no"),
    "seed_field": ("seed", "random_seed", "none"),
    "logprobs": ("yes", "no"),
    "response_format": ("strict", "schema", "value", "json_object", "none"),
    "schema_in_prompt": ("yes", "no"),
    "schema_without": None,
    "pictures": ("yes", "no"),
    "system_role": ("system", "developer", "user"),
    "thinking_switch": (
        "effort_none",
        "effort_minimal",
        "effort_low",
        "none",
        "chat_template_kwargs",
        "enable_thinking",
        "thinking",
    ),
    "max_values": None,
    "max_properties": None,
}
_WITHOUT_SCHEMA = ("json_object", "none")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What is accepted; the defaults are those of OpenAI's chat completions as vLLM has them.

    length_field: the name of the limit of an answer's tokens; seed_field: of the seed.
    response_format: how a schema is given: `strict`; `schema`, the same without that word; `value`
      is TGI's; `json_object` asks for JSON without a schema; `none` asks for nothing.
    schema_in_prompt: whether the schema stands in the prompt, besides or instead.
    schema_without: keywords that a schema may not hold; they are checked after the answer.
    thinking_switch: how thinking is switched off: `reasoning_effort` with the least value that it
      takes, or a field of that name; `none`: it cannot be.
    max_values, max_properties: that all lists of a schema may hold, and a schema; 0: no limit.
    """

    length_field: str = "max_tokens"
    temperature: bool = True
    seed_field: str = "seed"
    logprobs: bool = True
    response_format: str = "strict"
    schema_in_prompt: bool = False
    schema_without: tuple[str, ...] = ()
    pictures: bool = True
    system_role: str = "system"
    thinking_switch: str = "none"
    max_values: int = 0
    max_properties: int = 0

    @property
    def prompts_schema(self) -> bool:
        """Whether the schema stands in the prompt."""
        return self.schema_in_prompt or self.response_format in _WITHOUT_SCHEMA

    def but(self, changes: Mapping[str, Any]) -> Capabilities:
        """Return these capabilities with others; names that there are not are ignored."""
        known = {each.name: changes[each.name] for each in fields(self) if each.name in changes}
        return replace(self, **known)

    def differences(self, other: Capabilities) -> dict[str, Any]:
        """Return what is otherwise in `other`, with its value there."""
        return {
            each.name: getattr(other, each.name)
            for each in fields(self)
            if getattr(self, each.name) != getattr(other, each.name)
        }


def parse_capability(entry: str, option: str = "--server-takes") -> tuple[str, Any]:
    """Return the name and the value of `KIND=VALUE`. Raises ValueError that says what is allowed.

    >>> parse_capability("schema_without=minLength,maxLength")
    ('schema_without', ('minLength', 'maxLength'))
    """
    name, _, text = entry.partition("=")
    if name not in VALUES:
        raise ValueError(f"{option} {entry!r}: write KIND=VALUE, KIND one of {', '.join(VALUES)}")
    allowed = VALUES[name]
    if allowed is not None and text not in allowed:
        raise ValueError(f"{option} {entry!r}: {name} is one of {', '.join(allowed)}")
    return name, _parsed(name, text, f"{option} {entry!r}")


def parse_capabilities(entries: Sequence[str], option: str = "--server-takes") -> dict[str, Any]:
    """Return what several `KIND=VALUE` say; raises ValueError as `parse_capability` does."""
    return dict(parse_capability(entry, option) for entry in entries)


def _parsed(name: str, text: str, where: str) -> Any:
    default = getattr(Capabilities(), name)
    if isinstance(default, bool):
        return text == "yes"
    if isinstance(default, tuple):
        return tuple(part for part in text.split(",") if part)
    if isinstance(default, int):
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"{where}: {name} is a number of at least 0; 0: no limit")
        return int(text)
    return text


def in_words(found: Mapping[str, Any]) -> list[str]:
    """Return capabilities as they are written behind --server-takes.

    >>> in_words({"logprobs": False, "schema_without": ("minLength",)})
    ['logprobs=no', 'schema_without=minLength']
    """
    return [f"{name}={_word(value)}" for name, value in found.items()]


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)

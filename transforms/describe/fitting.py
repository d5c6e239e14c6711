"""An answer that is right but not in the form that was asked for, brought into that form.

Nothing is guessed: a value is taken where exactly one thing can be meant by it, and what was done
is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.attribute_types.contract import UNKNOWN
from schemas.questions import ALT_TEXT, CONFIDENCE_KEY, DESCRIPTION, SEEN_KEY

Schema = Mapping[str, Any]

# How models write that there is no value, beside the word that they are told to use.
_NO_VALUE = frozenset({"n/a", "na", "none", "null", "nil", "-", "not specified", "not available"})


def fit(value: Any, schema: Schema) -> tuple[Any, tuple[str, ...]]:
    """Return the value as the answer's `schema` wants it, as far as that can be done, and what was
    repaired, in words.

    A list of one object is that object, and so is the only key of an object whose value is one.
    Keys beyond those asked for are dropped; confidence and place may be missing, for a value counts
    without them (as of an answer to a lean question). null is unknown. The case of choices does not
    matter, a number or a truth value may stand for its text, one entry for a list and a list of one
    for its entry.

    >>> number = {"type": "string", "pattern": "^[0-9]+$"}
    >>> fit([{"n": 3, "why": "seen"}], {"properties": {"n": number}})
    ({'n': '3'}, ('list', 'extra keys', 'type'))
    """
    repairs: dict[str, None] = {}
    properties: Mapping[str, Schema] = schema["properties"]
    if isinstance(value, list) and len(value) == 1:
        value, repairs["list"] = value[0], None
    if isinstance(value, dict) and len(value) == 1 and not value.keys() & properties.keys():
        (inner,) = value.values()
        if isinstance(inner, dict):
            value, repairs["wrapper"] = inner, None
    if not isinstance(value, dict):
        return value, tuple(repairs)
    if value.keys() - properties.keys():
        repairs["extra keys"] = None
    fitted = {}
    for key, wanted in properties.items():
        if key.endswith((CONFIDENCE_KEY, SEEN_KEY)) and value.get(key) is None:
            repairs["no confidence or place"] = None
        elif key == ALT_TEXT and value.get(key) is None:
            fitted[key], repairs["null"] = "", None
        elif key in value and key == DESCRIPTION:
            fitted[key] = value[key]
        elif key in value:
            fitted[key], repair = _fit_value(value[key], wanted)
            if repair:
                repairs[repair] = None
    return fitted, tuple(repairs)


def optional_keys(schema: Schema) -> dict[str, Any]:
    """Return the schema with confidence and place left to the answer."""
    required = [k for k in schema["required"] if not k.endswith((CONFIDENCE_KEY, SEEN_KEY))]
    return {**schema, "required": required}


def _fit_value(value: Any, wanted: Schema) -> tuple[Any, str]:
    if wanted.get("type") == "array":
        return _fit_list(value, wanted)
    if _means_unknown(value, wanted):
        return UNKNOWN, "null"
    if isinstance(value, list) and len(value) == 1:
        fitted, repair = _fit_value(value[0], wanted)
        return fitted, repair or "list"
    choices = wanted.get("enum")
    if isinstance(value, bool):
        text = "yes" if value else "no"
        return (text, "type") if choices and text in choices else (value, "")
    if isinstance(value, int | float):
        return f"{value:.15g}" if isinstance(value, float) else str(value), "type"
    if isinstance(value, str) and choices:
        return _choice(value, choices)
    if isinstance(value, str) and "pattern" in wanted and value.strip() != value:
        return value.strip(), "space"
    return value, ""


def _fit_list(value: Any, wanted: Schema) -> tuple[Any, str]:
    if value is None:
        return [], "null"
    repair = ""
    if not isinstance(value, list):
        value, repair = [value], "list"
    if all(isinstance(v, str) and v.strip().casefold() in ("", UNKNOWN) for v in value):
        return [], repair or ("null" if value else "")
    fitted = [_fit_value(entry, wanted.get("items", {})) for entry in value]
    return [entry for entry, _ in fitted], next((r for _, r in fitted if r), repair)


def _choice(value: str, choices: list[str]) -> tuple[str, str]:
    """Return the choice that differs from the text in case and spaces only, if there is one."""
    if value in choices:
        return value, ""
    plain = " ".join(value.split()).casefold()
    meant = [choice for choice in choices if " ".join(choice.split()).casefold() == plain]
    return (meant[0], "case") if len(meant) == 1 else (value, "")


def _means_unknown(value: Any, wanted: Schema) -> bool:
    choices = wanted.get("enum")
    if choices is not None and UNKNOWN not in choices:
        return False
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    # In a text that may be any, these words may be the value.
    closed = choices is not None or "pattern" in wanted
    word = value.strip().casefold() if isinstance(value, str) and closed else ""
    return word in _NO_VALUE and not any(word == choice.casefold() for choice in choices or ())

"""Secrets: found by their shape and by their value, for everything that is written or printed.

A message (an error, a line of a log, a detail) goes through `masked`, anything else through
`hidden`: the columns of a catalog may hold addresses, but no key of this job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.secrets.options import (
    is_variable_name,
    key_in,
    may_be_secret,
    secret_in,
    variable_problem,
)
from schemas.secrets.shapes import MASK, masked_by_shape, public_addresses, without_secrets
from schemas.secrets.values import MIN_CHARS, has_values, hidden, refresh, watch, watched

__all__ = [
    "MASK",
    "MIN_CHARS",
    "hidden",
    "is_variable_name",
    "key_in",
    "masked",
    "masked_in",
    "masked_options",
    "may_be_secret",
    "public_addresses",
    "refresh",
    "secret_in",
    "variable_problem",
    "watch",
    "watched",
    "without_secrets",
]


def masked(text: str) -> str:
    """Return a message without secrets, known by their value or their shape.

    >>> masked("no connection to http://me:pass@gpu-box:8000/v1?key=abc")
    'no connection to http://gpu-box:8000/v1?...'
    """
    return masked_by_shape(hidden(text))


def masked_in(value: Any, mask: Callable[[str], str] = masked) -> Any:
    """Return a value as of JSON with what `mask` leaves of each text in it.

    >>> masked_in({"where": ["url = 'http://a/b?c=d'", 1]})
    {'where': ["url = 'http://a/b?...'", 1]}
    """
    if mask is hidden and not has_values():
        return value
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {masked_in(key, mask): masked_in(each, mask) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([masked_in(each, mask) for each in value])
    return value


def masked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return remembered options without secrets, a key in the place of its variable's name too.

    >>> masked_options({"api_key_env": "hunter2hunter2", "text_api_key_env": "SHOP_KEY"})
    {'api_key_env': '[key]', 'text_api_key_env': 'SHOP_KEY'}
    """
    plain: dict[str, Any] = masked_in(dict(options))
    for name, value in plain.items():
        if name.endswith("api_key_env") and not is_variable_name(str(value)):
            plain[name] = MASK
    return plain

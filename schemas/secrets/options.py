"""Secrets in what people give: named by what they are, so that nobody has to quote them."""

from __future__ import annotations

import os
import re

from schemas.secrets.shapes import has_key, shape_of_secret
from schemas.secrets.values import name_of_secret, watch

# OPENAI_API_KEY, or shop_key; parts as long as these are of a key.
_USUAL_NAME = re.compile(
    r"[A-Z_][A-Z0-9_]*|[a-z_][a-z0-9_]*_(?:key|token|secret|pass|password|auth)"
)
_SECRET_NAME = re.compile(
    r"key|token|secret|auth|passw|credential|cookie|signature|^sig$", re.IGNORECASE
)
_MAX_PART_CHARS, _MAX_NAME_CHARS = 16, 64


def secret_in(text: str) -> str:
    """Return what in a text is secret, in words; nothing if nothing is."""
    name = name_of_secret(text)
    return f"the value of the environment variable {name}" if name else shape_of_secret(text)


def key_in(text: str) -> str:
    """Return what in a text of any kind is a key, in words; nothing if nothing is."""
    name = name_of_secret(text)
    if name:
        return f"the value of the environment variable {name}"
    return "what looks like a key" if has_key(text) else ""


def is_variable_name(name: str) -> bool:
    """Tell whether this is the name of an environment variable and not the key itself: such a
    variable is set, or it is written as they usually are.

    >>> is_variable_name("SHOP_API_KEY"), is_variable_name("hf_k3yThatBelongsElsewhere")
    (True, False)
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return False
    if name in os.environ:
        return True
    parts_fit = all(len(part) <= _MAX_PART_CHARS for part in name.split("_"))
    return parts_fit and len(name) <= _MAX_NAME_CHARS and bool(_USUAL_NAME.fullmatch(name))


def may_be_secret(name: str, value: str) -> bool:
    """Tell whether the value of a header or of a part of a query, or its name, looks like a secret.

    >>> may_be_secret("x-shop-token", "a"), may_be_secret("api-version", "2024-10-21")
    (True, False)
    """
    return bool(_SECRET_NAME.search(name) or key_in(value))


def variable_problem(option: str, name: str) -> str:
    """Return what is wrong with what is given as the name of an environment variable, or nothing.

    A name that is right is from now on one whose value is a secret.
    """
    if not is_variable_name(name):
        # Not quoted: it may be the key itself.
        return (
            f"{option} is not the name of an environment variable that is set, nor one as they are "
            "usually written (OPENAI_API_KEY); write the name, not the key"
        )
    watch(name)
    return ""

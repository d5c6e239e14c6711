"""Secrets in a template, which is read by others and whose parts go into manifests and prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from schemas.secrets.options import key_in, secret_in, variable_problem

_VARIABLES = ("api_key_env",)
# Whose texts are names and addresses. Elsewhere patterns and sentences stand, which may look like
# an address with a name; only keys are told from these.
_ADDRESSES = ("vectors", "record", "input")
_FIX = "remove it: keys come from the environment, see docs/security.md"

Location = tuple[Any, ...]


def secrets_in_template(tree: Any) -> Iterator[tuple[Location, str]]:
    """Yield the place of each secret, and what is wrong there, without quoting it."""
    for location, text in _texts(tree, ()):
        if location[-1] in _VARIABLES and location[0] == "vectors":
            problem = variable_problem("it", text if isinstance(text, str) else "")
            if problem and text is not None:
                yield location, problem
        elif isinstance(text, str):
            found = secret_in(text) if location[0] in _ADDRESSES else key_in(text)
            if found:
                yield location, f"holds {found}; {_FIX}"


def _texts(node: Any, location: Location) -> Iterator[tuple[Location, Any]]:
    """Yield what is no mapping and no list, of variables whatever is given."""
    if location and location[-1] in _VARIABLES:
        yield location, node
    elif isinstance(node, dict):
        for key, each in node.items():
            yield from _texts(each, (*location, key))
    elif isinstance(node, list):
        for index, each in enumerate(node):
            yield from _texts(each, (*location, index))
    elif location:
        yield location, node

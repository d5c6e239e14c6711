"""Secrets among the options of a command: refused before anything is read, written or logged.

A command line is seen by everybody on a machine, and its options go into the manifest: keys come
from the environment.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from pipelines.configuration.config import EnrichConfig
from pipelines.configuration.declare import all_options, dest_of
from pipelines.configuration.errors import ConfigError
from schemas.secrets import may_be_secret, secret_in, variable_problem

# Beam's options whose values are secrets, and what to set instead: a worker logs its options.
_INSTEAD = {
    "--s3_access_key_id": "AWS_ACCESS_KEY_ID",
    "--s3_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "--s3_session_token": "AWS_SESSION_TOKEN",
    "--azure_connection_string": "AZURE_STORAGE_CONNECTION_STRING",
}
_FIX = "keys come from the environment, see docs/security.md"
_FROM_VARIABLE = "env:"
_INDIRECT = "put it into an environment variable and write NAME=env:VARIABLE"
_LIKE_A_SECRET = re.compile(r"secret|token|passw|connection_string", re.IGNORECASE)


def refuse_secrets(
    options: argparse.Namespace,
    parser: argparse.ArgumentParser,
    passed: Sequence[str],
    data: Collection[str],
) -> None:
    """Raise ConfigError that names each option with a secret in it, without quoting any.

    passed: arguments for Beam; data: options, by the names of their values, that say what a catalog
    holds, which may be an address of any form.
    """
    problems = [
        *filter(None, _variable_problems(options)),
        *_declared_problems(options, parser, data),
        *passed_problems(passed),
    ]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _variable_problems(options: argparse.Namespace) -> Iterator[str]:
    """Yield what is wrong with names of variables, whichever model they are for."""
    for declared, _, _ in all_options(EnrichConfig):
        for text in _texts(getattr(options, dest_of(declared), None)):
            name, equals, value = text.partition("=")
            if not equals:
                name, value = "", text
            where = f"{declared.flag} {name}".rstrip()
            if declared.is_variable:
                yield variable_problem(declared.flag, text)
            elif value.strip().startswith(_FROM_VARIABLE):
                yield variable_problem(where, value.strip().removeprefix(_FROM_VARIABLE))
            elif declared.is_sent and may_be_secret(name, value):
                yield f"{where} may be a secret: {_INDIRECT}"


def _declared_problems(
    options: argparse.Namespace, parser: argparse.ArgumentParser, data: Collection[str]
) -> Iterator[str]:
    for action in parser._actions:
        if action.dest not in data:
            named = action.option_strings[-1] if action.option_strings else action.metavar
            for text in _texts(getattr(options, action.dest, None)):
                if found := secret_in(text):
                    yield f"{named or action.dest} holds {found}; remove it: {_FIX}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def passed_problems(passed: Sequence[str]) -> Iterator[str]:
    """Yield what is secret among arguments for Beam."""
    option = ""
    for argument in passed:
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            option = name
            if option in _INSTEAD:
                yield f"{option} would be logged; set {_INSTEAD[option]} in the environment"
                continue
            if _LIKE_A_SECRET.search(option):
                yield f"{option} would be logged; {_FIX}"
                continue
        text = value if name.startswith("--") and equals else argument
        if option not in _INSTEAD and (found := secret_in(text)):
            yield f"{option or 'an argument'} holds {found}; remove it: {_FIX}"

"""The table of known servers (servers.yaml): what each accepts, and who said so when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from schemas.strict_yaml import decode
from transforms.models.http.servers.capabilities import Capabilities, parse_capabilities


class KnownServer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A row of the table.

    host, model: regular expressions, searched in the endpoint's host and in the model's name; a row
    without a host is taken only where --server names it.
    takes: capabilities that are otherwise than usual; key_header: that carries the key, where it is
    not a bearer token; lists_others: its list of models is not of those that it serves; thinking:
    `off` where thoughts would use up an answer's tokens. as_of: the month in which the sources said
    so.
    """

    name: str
    title: str
    as_of: str
    sources: str
    host: str = ""
    model: str = ""
    key_header: str = ""
    lists_others: bool = False
    thinking: Literal["auto", "off"] = "auto"
    takes: dict[str, str] = {}

    @property
    def capabilities(self) -> Capabilities:
        """What it accepts."""
        entries = [f"{name}={value}" for name, value in self.takes.items()]
        return Capabilities().but(parse_capabilities(entries, "servers.yaml"))


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    servers: list[KnownServer]


@cache
def known_servers() -> Mapping[str, KnownServer]:
    """Return the table, by the name of the server, in its order."""
    text = resources.files(__package__).joinpath("servers.yaml").read_text("utf-8")
    return {row.name: row for row in decode(text, "servers.yaml", _Table).servers}


def find_server(endpoint: str, model: str, name: str = "") -> KnownServer | None:
    """Return the row of a server, None where the table has none.

    name: of the row, if the caller knows it. Raises ValueError that lists the names there are.
    """
    table = known_servers()
    if name:
        if name not in table:
            raise ValueError(f"--server {name!r} is not in the table: {', '.join(table)}")
        return table[name]
    host = urlsplit(endpoint).hostname or ""
    for row in table.values():
        if row.host and re.search(row.host, host) and re.search(row.model, model):
            return row
    return None

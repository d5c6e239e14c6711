"""What is known of a server before it is asked: from the table, from what earlier runs learnt, and
from options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelOptions
from transforms.models.http.servers.capabilities import (
    Capabilities,
    in_words,
    parse_capabilities,
)
from transforms.models.http.servers.kept import KeptCapabilities
from transforms.models.http.servers.learning import Learner
from transforms.models.http.servers.table import KnownServer, find_server


@dataclass(frozen=True)
class Known:
    """What is known of a server and its model.

    row: of the table, None where it has none; given: by options; kept: where that is which earlier
    runs learnt. thinking: as the option says.
    """

    row: KnownServer | None
    given: dict[str, Any]
    kept: KeptCapabilities
    thinking: str

    @property
    def key_header(self) -> str:
        """The header that carries the key; empty for a bearer token."""
        return "" if self.row is None else self.row.key_header

    @property
    def split_at(self) -> tuple[int, int]:
        """The most listed values and keys of a schema, beyond which a question is split.

        Of the table and of options only: by what was learnt, a question would become another one
        after its answer was kept.
        """
        usual = Capabilities() if self.row is None else self.row.capabilities
        known = usual.but(self.given)
        return known.max_values, known.max_properties

    def takes(self, learnt: Mapping[str, Any] | None) -> Capabilities:
        """Return what it accepts; options decide over what was learnt, that over the table."""
        usual = Capabilities() if self.row is None else self.row.capabilities
        return usual.but(learnt or {}).but(self.given)

    def in_short(self) -> str:
        """Return in a sentence what the server is taken for, and how it is asked."""
        row, learnt = self.row, self.kept.load()
        what = f"{row.title} (as of {row.as_of})" if row else "one that the table does not know"
        unusual = in_words(Capabilities().differences(self.takes(learnt)))
        how = " ".join(unusual) or "what is usual"
        source = "; in part learnt by earlier runs" if learnt else ""
        return f"the language model's server is taken for {what}, and to take {how}{source}"

    def learner(self) -> Learner:
        """Return what learns the rest."""
        fixed = frozenset(self.given)
        keep = partial(self.kept.save, fixed=fixed)
        learnt = self.kept.load()
        return Learner(
            self.takes(learnt),
            fixed,
            keep,
            thoughtless=self.is_thoughtless,
            settled=learnt is not None,
        )

    @property
    def is_thoughtless(self) -> bool:
        """Whether thinking is switched off."""
        return self.thinking == "off" or (self.row is not None and self.row.thinking == "off")


def known_capabilities(options: ChatOptions, endpoint: str) -> Known:
    """Return what is known of the server and the model that options name.

    Raises ValueError that says what is allowed where an option is wrong.
    """
    given = parse_capabilities(options.server_takes)
    if not options.logprobs:
        given["logprobs"] = False
    endpoint = endpoint.strip().rstrip("/")
    row = find_server(endpoint, options.model, options.server)
    kept = KeptCapabilities(options.learnt_dir, endpoint, options.model)
    return Known(row, given, kept, options.thinking)


def schema_limits(models: ModelOptions) -> tuple[int, int]:
    """Return `Known.split_at` of a run's language model; (0, 0), no limit, where it is no server of
    somebody else.
    """
    if models.describe_backend != "openai":
        return 0, 0
    return known_capabilities(models.chat, models.chat.endpoint).split_at

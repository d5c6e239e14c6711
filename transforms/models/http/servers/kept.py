"""What was learnt of a server and its model, kept beside the answers for the next run and for other
workers.

OUTPUT/servers/<digest of endpoint and model>.json
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from schemas.hashing import digest
from transforms.models.http.servers.capabilities import (
    Capabilities,
    in_words,
    parse_capabilities,
)
from transforms.runtime import storage

# Servers change: what was learnt longer ago is learnt again, at a refused call or two.
KEPT_DAYS = 30

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptCapabilities:
    """The file of one server and model in `folder`; nothing is kept where that is empty."""

    folder: str
    endpoint: str
    model: str

    @property
    def path(self) -> str:
        return storage.join(self.folder, f"{digest([self.endpoint, self.model])[:16]}.json")

    def load(self) -> dict[str, Any] | None:
        """Return what was learnt, with its names; None where the file is missing, damaged or too
        old: it is learnt again then.
        """
        if not self.folder:
            return None
        try:
            content = orjson.loads(storage.read_bytes(self.path))
            learnt = dt.datetime.fromisoformat(content["learnt_ts"])
            if dt.datetime.now(dt.UTC) - learnt > dt.timedelta(days=KEPT_DAYS):
                return None
            return parse_capabilities(content["takes"], self.path)
        # A file system has errors of its own, and the file may hold anything.
        except Exception as error:
            if not storage.is_missing(self.path):
                _log.warning("%s cannot be used: %s; it is learnt again", self.path, error)
            return None

    def save(self, takes: Capabilities, fixed: Collection[str] = ()) -> None:
        """Write what is otherwise than usual, but for what was set by an option."""
        if not self.folder:
            return
        learnt = {
            name: value
            for name, value in Capabilities().differences(takes).items()
            if name not in fixed
        }
        content = {
            "endpoint": self.endpoint,
            "model": self.model,
            "learnt_ts": dt.datetime.now(dt.UTC).isoformat(),
            "takes": in_words(learnt),
        }
        try:
            written = orjson.dumps(content, option=orjson.OPT_INDENT_2)
            # Another worker may be writing the same.
            storage.write_whole(self.path, written, f"{self.path}.{uuid4().hex}", durable=False)
        except Exception as error:  # it is learnt again, which costs a refused call
            _log.warning("%s cannot be written: %s", self.path, error)

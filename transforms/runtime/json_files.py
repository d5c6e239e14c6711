"""Small files of JSON that a run writes: results of stages, accounts of a snapshot."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from schemas.secrets import hidden, masked_in
from transforms.runtime import storage

Report = TypeVar("Report")


def write_json(path: str, content: Any) -> None:
    """Write dataclasses and plain values as JSON, without secrets of the environment."""
    plain = masked_in(msgspec.to_builtins(content), hidden)
    storage.write_bytes(path, msgspec.json.format(msgspec.json.encode(plain), indent=1))


def read_json(path: str) -> Any:
    """Return what a JSON file holds, as plain values."""
    return msgspec.json.decode(storage.read_bytes(path))


def read_reports(path: str, kind: type[Report]) -> list[Report]:
    """Return the reports in a file written by WriteReports."""
    reports: list[Report] = msgspec.json.decode(
        storage.read_bytes(path),
        type=list[kind],  # type: ignore[valid-type]
    )
    return reports

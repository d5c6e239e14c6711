"""Errors that end a command: of its configuration, and of the processes that it started."""

from __future__ import annotations


class ConfigError(ValueError):
    """Raised with everything that is wrong with the arguments at once."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class WorkerDiedError(Exception):
    """A worker process has ended in the middle of its work; the message says how and what to do."""

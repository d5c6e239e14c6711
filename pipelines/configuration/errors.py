"""The error of a configuration that cannot work."""

from __future__ import annotations


class ConfigError(ValueError):
    """Raised with everything that is wrong with the arguments at once."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))

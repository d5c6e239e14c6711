"""Make, or complete, the environment that holds the real LiteLLM proxy: `python -m tests.gateway.install FOLDER`.

Doing it again costs a second: what is there and fits is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.environments import Environment

REQUIREMENTS = Path(__file__).parent / "requirements.txt"


def main(folder: Path) -> None:
    environment = Environment(folder, REQUIREMENTS.read_text("utf-8"))
    if environment.is_made:
        return
    environment.begin("the LiteLLM proxy, which takes a minute,")
    environment.pip("install", "--requirement", str(REQUIREMENTS))
    environment.end("litellm.proxy.proxy_server")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())

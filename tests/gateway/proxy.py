"""A real LiteLLM proxy on the loopback, with emulators of model servers behind it.

`make test-gateway` installs it in an environment of its own and names that one's interpreter in
CATALOG_ENRICH_GATEWAY_PYTHON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gateway.native import NATIVE
from tests.servers.azure_deployment import API_VERSION, AzureDeployment
from tests.servers.azure_deployment import KEY as KEY_OF_AZURE
from tests.servers.emulator import Emulator
from tests.servers.registry import SERVERS

PYTHON = os.environ.get("CATALOG_ENRICH_GATEWAY_PYTHON", "")
KEY = "sk-gateway-0123456789"
START_SECS = 180
# Its access log has a line for each request.
_ASKED = '"POST /v1/chat/completions'
# Prices of models come from a file of the package instead of the web, and nothing is told to anybody.
# The emulators → as what LiteLLM is told to speak to them; all others are "any server like OpenAI's".
PROVIDERS = {
    "Azure OpenAI, deployments": "azure",
    "Mistral": "mistral",
    "Groq": "groq",
    "OpenRouter": "openrouter",
    "vLLM with a reasoning parser": "hosted_vllm",
    "LM Studio": "lm_studio",
    "DeepSeek": "deepseek",
    "Databricks": "databricks",
    "Anthropic, its own API": "anthropic",
    "Anthropic, its own API and an older model": "anthropic",
    "Gemini, its own API": "gemini",
    "Ollama, its own API": "ollama_chat",
}
UPSTREAMS: dict[str, type[Emulator]] = {**SERVERS, **NATIVE}
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_TELEMETRY": "False",
    "DISABLE_ADMIN_UI": "True",
    "NO_DOCS": "True",
    "PYTHONUNBUFFERED": "1",
    # Whatever else it might ask the web for has to fail: nobody listens there.
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
}


class Gateway:
    """`with Gateway(folder, deployments) as gateway:` serves at `gateway.url` until the block ends.

    deployments: alias → what LiteLLM is told of the model behind it (`litellm_params`); further: sections of its
    configuration. Everything is written in `folder`, its log too.
    """

    def __init__(
        self,
        folder: Path,
        deployments: Mapping[str, Mapping[str, Any]],
        **further: Mapping[str, Any],
    ) -> None:
        self._folder = folder
        self._log = folder / "litellm.log"
        self._config = {
            "model_list": [
                {"model_name": alias, "litellm_params": dict(params)}
                for alias, params in deployments.items()
            ],
            # What is sent again, and when, is the client's business here.
            "router_settings": {"num_retries": 0, **further.pop("router_settings", {})},
            "general_settings": {"master_key": KEY, **further.pop("general_settings", {})},
            **further,
        }
        self.url = ""

    def __enter__(self) -> Gateway:
        # JSON is YAML too.
        config = self._folder / "config.yaml"
        config.write_text(json.dumps(self._config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/v1"
        command = [str(Path(PYTHON).parent / "litellm"), "--config", str(config)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env={**kept, "HOME": str(self._folder), **_ENVIRONMENT},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            end = time.monotonic() + START_SECS
            while not self._is_ready():
                assert time.monotonic() < end, self.said()
                time.sleep(0.5)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def calls(self) -> int:
        """How many requests it was sent so far, those that it refused by itself included."""
        return self._log.read_text("utf-8", "replace").count(_ASKED)

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text("utf-8", "replace")[-4000:]

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"it ended: {self.said()}")
        try:
            with urllib.request.urlopen(
                f"{self.url.removesuffix('/v1')}/health/liveliness", timeout=5
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def deployment(name: str, server: Emulator, **params: Any) -> dict[str, Any]:
    """What LiteLLM is told of an emulator, by the name that this has in the documentation."""
    told = {
        "model": f"{PROVIDERS.get(name, 'openai')}/{server.model}",
        "api_base": server.url,
        "api_key": "upstream-key-0123456789",
    }
    if isinstance(server, AzureDeployment):
        root = server.url.removesuffix(server.base)
        told |= {"api_base": root, "api_key": KEY_OF_AZURE, "api_version": API_VERSION}
    return told | params


def alias_of(name: str) -> str:
    """What an emulator is called at the gateway: a comma would separate several models."""
    return name.replace(",", "")


def dropping(name: str) -> str:
    """The same, where the gateway drops the parameters that it takes for unknown to the emulator."""
    return f"{alias_of(name)} dropping"


@dataclass(frozen=True)
class Proxied:
    """One model of a gateway, to be asked as an emulator is."""

    gateway: Gateway
    model: str
    name = "litellm"

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def calls(self) -> int:
        return self.gateway.calls


@contextmanager
def serving(
    folder: Path, **further: Mapping[str, Any]
) -> Iterator[tuple[Gateway, dict[str, Emulator]]]:
    """A gateway with every emulator behind it, dropping parameters and not, and the emulators by name.

    further: deployments.
    """
    with ExitStack() as stack:
        servers = {name: stack.enter_context(kind()) for name, kind in UPSTREAMS.items()}
        deployments: dict[str, Mapping[str, Any]] = dict(further)
        for name, server in servers.items():
            deployments[alias_of(name)] = deployment(name, server)
            deployments[dropping(name)] = deployment(name, server, drop_params=True)
        yield stack.enter_context(Gateway(folder, deployments)), servers


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port

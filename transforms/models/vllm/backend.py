"""vLLM: its OpenAI-compatible server, started on the worker machine and shared by the run's
processes there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transforms.models.chat import ChatAnswer, ChatRequest
from transforms.models.contract import Failure, ModelOptions
from transforms.models.identity import model_identity
from transforms.models.metering import Tab
from transforms.models.vllm.command import extra_arguments

if TYPE_CHECKING:
    from transforms.models.http.chat import ChatClient
    from transforms.models.vllm.server import VllmServer


class VllmChatModel:
    """The model `--describe-model`, a hub id or a local folder, in a vLLM server of this machine.

    The first request starts the server, or joins the one that another process of the run has
    started. Answers keep to the request's schema because the server decodes nothing else. Raises
    ValueError that says what to write when an option is missing or cannot work.
    """

    concurrent = True

    def __init__(self, options: ModelOptions) -> None:
        self._chat = options.chat
        if not self._chat.model:
            raise ValueError(
                "--describe-backend vllm needs --describe-model NAME: a hub id or a local folder"
            )
        python = self._chat.vllm_python
        if python and shutil.which(python) is None:
            raise ValueError(
                f"--vllm-python {python!r} is not a program; name the interpreter that vLLM is "
                "installed in"
            )
        self._extra = extra_arguments(self._chat)
        self._model = model_identity(self._chat.model, self._chat.revision)
        self._server: VllmServer | None = None
        self._client: ChatClient | None = None

    @property
    def model(self) -> str:
        return self._model

    @property
    def requires(self) -> tuple[str, ...]:
        return ("aiohttp",) if self._chat.vllm_python else ("aiohttp", "vllm")

    @property
    def parameters(self) -> Mapping[str, Any]:
        # Part of every answer's content address. Any extra argument may shape an answer
        # (quantisation, chat template, context length), so all of them count.
        from transforms.models.chat import SEED

        return {"seed": SEED, "dtype": self._chat.dtype, "vllm_args": self._extra}

    def load(self) -> None:
        """Create the client; the server is joined or started by the first request."""
        from transforms.models.http.chat import ChatClient
        from transforms.models.vllm.server import VllmServer

        self.close()
        self._server = VllmServer(self._chat)
        self._client = ChatClient(self._chat, self._server, self._server.key())

    def answer(
        self,
        requests: Sequence[ChatRequest],
        tab: Tab[ChatRequest] | None = None,
    ) -> Iterator[tuple[int, ChatAnswer | Failure]]:
        if self._client is None:
            raise RuntimeError("load() comes before answer()")
        return self._client.answer(requests, tab)

    def close(self) -> None:
        """Leave the server; the last process of the run to do so waits until it has ended."""
        # The client first, so that no request is under way when the server ends.
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._server is not None:
            self._server.close()
            self._server = None

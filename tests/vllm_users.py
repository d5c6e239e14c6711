"""Processes that use a vLLM server, as workers do, and what tests have to know of the processes of
a server.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from transforms.models.chat import ChatRequest
from transforms.models.chat_options import ChatOptions
from transforms.models.contract import ModelOptions
from transforms.models.vllm.backend import VllmChatModel
from transforms.models.vllm.server import VllmServer

FAKE_VLLM = Path(__file__).parent / "fake_vllm"
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.vllm_users"])


class User:
    """A process of its own that calls a VllmServer, or a VllmChatModel, as it is told."""

    def __init__(
        self,
        options: ChatOptions,
        temporary: Path,
        model: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        variables = {"TMPDIR": str(temporary), **(environment or {})}
        self._ours, theirs = _processes.Pipe()
        self.process = _processes.Process(
            target=_use, args=(options, variables, model, theirs), daemon=True
        )
        self.process.start()
        theirs.close()

    def ask(self, method: str, *arguments: Any) -> None:
        self._ours.send((method, arguments))

    def hear(self) -> Any:
        """What the call returned. Raises what it raised."""
        outcome = self._ours.recv()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def call(self, method: str, *arguments: Any) -> Any:
        self.ask(method, *arguments)
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


class Model:
    """A VllmChatModel whose calls cross a pipe."""

    def __init__(self, options: ChatOptions) -> None:
        self._model = VllmChatModel(ModelOptions(describe_backend="vllm", chat=options))
        self._model.load()
        self._options = options
        self._key = VllmServer(options).key()

    def answer(self, requests: Sequence[ChatRequest]) -> list[Any]:
        return list(self._model.answer(requests))

    def answer_and_close(self, requests: Sequence[ChatRequest], after_secs: float) -> list[Any]:
        """Answers that another thread waits for while the model is closed."""
        threading.Timer(after_secs, self._model.close).start()
        return self.answer(requests)

    def post(self, url: str, body: Any, key: str = "") -> tuple[int, str]:
        """(status, text) of a request of one's own, with the server's key unless another one is
        named.
        """
        address = urlsplit(url)
        connection = http.client.HTTPConnection(address.netloc, timeout=30)
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {key or self._key}",
        }
        connection.request(
            "POST", address.path, json.dumps({**body, "model": self._options.model}), headers
        )
        response = connection.getresponse()
        return response.status, response.read().decode()

    def close(self) -> None:
        self._model.close()


def _use(options: ChatOptions, variables: Mapping[str, str], model: bool, pipe: Connection) -> None:
    os.environ.update(variables)
    tempfile.tempdir = None
    used: Any = Model(options) if model else VllmServer(options)
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(getattr(used, method)(*arguments))
        except Exception as error:  # raised where it is heard
            pipe.send(error)


def fake_interpreter(folder: Path, **script: Any) -> str:
    """A --vllm-python that finds the stand-in for vLLM, which does what `script` says."""
    (folder / "script.json").write_text(json.dumps(script), "utf-8")
    program = folder / "python"
    program.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{FAKE_VLLM}" FAKE_VLLM="{folder}"\nexec "{sys.executable}" "$@"\n',
        "utf-8",
    )
    program.chmod(0o755)
    return str(program)


def starts(folder: Path) -> list[dict[str, Any]]:
    """What the stand-in wrote about each of its starts, the earliest first."""
    records = sorted((folder / "starts").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text("utf-8")) for path in records]


def processes_of(folder: Path) -> list[psutil.Process]:
    """Live processes that were started for the server of a test: supervisor, reapers, server, engines."""
    found = []
    for process in psutil.process_iter():
        try:
            known = [*process.cmdline(), *process.environ().values()]
            ours = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
            if ours and any(str(folder) in word for word in known):
                found.append(process)
        except psutil.Error:
            continue
    return found


def supervisor_of(folder: Path) -> psutil.Process:
    return next(
        process
        for process in processes_of(folder)
        if any("supervisor.py" in w for w in process.cmdline())
    )


def wait_until(condition: Callable[[], bool], secs: float) -> bool:
    """Whether the condition came true within `secs`."""
    give_up_at = time.monotonic() + secs
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.05)
    return True

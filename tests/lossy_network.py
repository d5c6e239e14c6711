"""A network that loses answers: a server hears a request and does it, and nobody is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Lossy:
    """Passes connections on to a server, and breaks those whose request begins with some bytes as
    soon as the answer comes.

    left: how many are still to be broken; lost: how many were.
    """

    def __init__(self, endpoint: str, beginning: bytes) -> None:
        self.left, self.lost = 1, 0
        server = urlsplit(endpoint)
        self._server = server.hostname or "", server.port or 80
        self._beginning = beginning
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # What waits in accept() does not hear of the descriptor alone.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, suppress(OSError):
            state = {"loses": False}
            answers = threading.Thread(target=self._answer, args=(server, client, state))
            answers.start()
            while data := client.recv(1 << 16):
                if data.startswith(self._beginning) and self.left:
                    self.left -= 1
                    state["loses"] = True
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            answers.join()

    def _answer(self, server: socket.socket, client: socket.socket, state: dict[str, bool]) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                # `100 Continue` only asks for the body.
                if state["loses"] and not data.startswith(b"HTTP/1.1 100"):
                    self.lost += 1
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def losing_answers(endpoint: str, beginning: bytes) -> Iterator[Lossy]:
    """Lose the answer to the first request to a server that begins so."""
    lossy = Lossy(endpoint, beginning)
    try:
        yield lossy
    finally:
        lossy.close()

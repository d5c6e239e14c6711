"""A loopback server of pictures, and of what hostile servers send instead."""

from __future__ import annotations

import gzip
import io
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

SMALL_BOMB = gzip.compress(bytes(50_000_000))


def jpeg(number: int) -> bytes:
    """Return a picture of its own for each number."""
    stream = io.BytesIO()
    Image.new("RGB", (48, 32), (number % 256, 90, 255 - number % 256)).save(stream, "JPEG")
    return stream.getvalue() + b"%d" % number


class PictureServer:
    """asked: paths by how often; headers: of the latest request for each, and line: as it came.

    downloads: bodies of pictures sent; connections: accepted; most_at_once: requests under way.
    delay_secs: before each answer.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, dict[str, str]] = {}
        self.lines: dict[str, str] = {}
        self.downloads = self.connections = 0
        self.under_way = self.most_at_once = 0
        self.counting = threading.Lock()
        self.delay_secs = 0.0
        self.leads_to = ""
        self.port = 0


class _Http(ThreadingHTTPServer):
    address_family = socket.AF_INET
    daemon_threads = True
    request_queue_size = 64
    state: PictureServer

    def get_request(self):  # type: ignore[no-untyped-def]
        self.state.connections += 1
        return super().get_request()


class _Http6(_Http):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *args: object) -> None:
        pass

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        state = self.server.state
        path = self.path.partition("?")[0]
        with state.counting:
            state.asked[path] += 1
            state.headers[path], state.lines[path] = dict(self.headers), self.path
            state.under_way += 1
            state.most_at_once = max(state.most_at_once, state.under_way)
        kind, _, rest = path.strip("/").partition("/")
        try:
            time.sleep(state.delay_secs)
            getattr(self, f"_{kind}", self._missing)(state, rest)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with state.counting:
                state.under_way -= 1

    def _missing(self, state: PictureServer, rest: str) -> None:
        self._send(404, b"no")

    def _p(self, state: PictureServer, rest: str) -> None:
        tag = f'"{rest}"'
        if self.headers.get("If-None-Match") == tag:
            self.send_response(304)
            self.end_headers()
            return
        state.downloads += 1
        self._send(200, jpeg(int(rest.partition(".")[0])), Content_Type="image/jpeg", ETag=tag)

    def _since(self, state: PictureServer, rest: str) -> None:
        stamp = "Wed, 21 Oct 2026 07:28:00 GMT"
        if self.headers.get("If-Modified-Since") == stamp:
            self.send_response(304)
            self.end_headers()
            return
        state.downloads += 1
        self._send(200, jpeg(1), Last_Modified=stamp)

    def _chain(self, state: PictureServer, rest: str) -> None:
        left = int(rest)
        self._send(302, b"", Location=f"/chain/{left - 1}" if left else "/p/1.jpg")

    def _away(self, state: PictureServer, rest: str) -> None:
        self._send(302, b"", Location=state.leads_to)

    def _html(self, state: PictureServer, rest: str) -> None:
        self._send(200, b"<html>", Content_Type="text/html; charset=utf-8")

    def _status(self, state: PictureServer, rest: str) -> None:
        self._send(int(rest), b"")

    def _text(self, state: PictureServer, rest: str) -> None:
        """Send a picture, or so many bytes of text, both called a text."""
        body = jpeg(int(rest.removesuffix(".jpg"))) if rest.endswith(".jpg") else bytes(int(rest))
        self._send(200, body, Content_Type="text/plain")

    def _nothing(self, state: PictureServer, rest: str) -> None:
        self._send(200, b"", Content_Type="image/jpeg")

    def _bomb(self, state: PictureServer, rest: str) -> None:
        self._send(200, SMALL_BOMB, Content_Type="image/png", Content_Encoding="gzip")

    def _packed(self, state: PictureServer, rest: str) -> None:
        self._send(200, gzip.compress(jpeg(2)), Content_Type="image/jpeg", Content_Encoding="gzip")

    def _huge(self, state: PictureServer, rest: str) -> None:
        self._send(200, b"x", Content_Length=str(10**12), Content_Type="image/jpeg")
        self.close_connection = True

    def _start(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def _endless(self, state: PictureServer, rest: str) -> None:
        self._start()
        while True:
            self.wfile.write(bytes(1 << 16))

    def _slow(self, state: PictureServer, rest: str) -> None:
        self._start()
        for _ in range(100):
            self.wfile.write(b"x")
            time.sleep(0.1)

    def _silent(self, state: PictureServer, rest: str) -> None:
        time.sleep(5)

    def _cookie(self, state: PictureServer, rest: str) -> None:
        self._send(302, b"", Location=f"/p/{rest}", Set_Cookie="id=s3cret")

    def _odd(self, state: PictureServer, rest: str) -> None:
        state.downloads += 1
        self._send(200, jpeg(3), Content_Type="image/jpeg", ETag='"\xe9"')

    def _untold(self, state: PictureServer, rest: str) -> None:
        """Send a picture that ends where the connection does, and a tag."""
        state.downloads += 1
        self.send_response(200)
        self.send_header("ETag", '"one"')
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(jpeg(4))
        self.close_connection = True

    def _half(self, state: PictureServer, rest: str) -> None:
        packed = gzip.compress(jpeg(5))[:-20]
        self._send(200, packed, Content_Type="image/jpeg", Content_Encoding="gzip", ETag='"h"')

    def _headers(self, state: PictureServer, rest: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            self.wfile.write(b"X-More: " + b"x" * 4000 + b"\r\n")

    def _moved(self, state: PictureServer, rest: str) -> None:
        """Lead on to another place, whose tags are the same as any other's."""
        self._send(302, b"", Location=state.leads_to)

    def _same(self, state: PictureServer, rest: str) -> None:
        if self.headers.get("If-None-Match") == '"1"':
            self.send_response(304)
            self.end_headers()
            return
        state.downloads += 1
        self._send(200, jpeg(int(rest)), Content_Type="image/jpeg", ETag='"1"')

    def _breaks(self, state: PictureServer, rest: str) -> None:
        self._send(200, b"x", Content_Length="100", Content_Type="image/jpeg")
        self.close_connection = True


@contextmanager
def picture_server(
    tls: ssl.SSLContext | None = None, *, ipv6: bool = False
) -> Iterator[PictureServer]:
    """Serve on a free port of the loopback address."""
    http = _Http6(("::1", 0), _Handler) if ipv6 else _Http(("127.0.0.1", 0), _Handler)
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    http.state = PictureServer()
    http.state.port = http.server_address[1]
    thread = threading.Thread(
        target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
    )
    thread.start()
    try:
        yield http.state
    finally:
        http.shutdown()
        http.server_close()
        thread.join()

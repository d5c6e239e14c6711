"""Behaves like vLLM's server as far as its life is concerned: what it starts, when it is ready, how
it dies.

$FAKE_VLLM names a folder. `script.json` in it says what happens, all keys optional:
ready_after_secs, delay_secs (of each answer), never_ready, die_at_start (what is written before), die_after (so many
answers; the process kills itself with SIGKILL while the next request is open), lose_port (of the first start),
tells_environment (in its log).
Each start leaves `starts/<pid>.json` with its arguments and the process ids.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Only while the server runs: tests that look for doctests import this file, too.
FOLDER = Path(os.environ.get("FAKE_VLLM", "."))


def main() -> None:
    script = (
        json.loads((FOLDER / "script.json").read_text())
        if (FOLDER / "script.json").exists()
        else {}
    )
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_known_args()[0].port
    starts = FOLDER / "starts"
    starts.mkdir(exist_ok=True)
    first = not any(starts.iterdir())
    record = {"arguments": sys.argv[1:], "pid": os.getpid(), "engine": start_engine(), "port": port}
    (starts / f"{os.getpid()}.tmp").write_text(json.dumps(record))
    (starts / f"{os.getpid()}.tmp").rename(starts / f"{os.getpid()}.json")
    print(
        f"(APIServer pid={os.getpid()}) INFO 01-31 12:00:00 [api_server.py:1] starting with {record}",
        flush=True,
    )
    if script.get("tells_environment"):
        print(json.dumps(dict(os.environ)), repr(dict(os.environ)), sep="\n", flush=True)
    if message := script.get("die_at_start"):
        print(
            f"(EngineCore pid={record['engine']}) ERROR 01-31 12:00:00 [core.py:1] {message}",
            flush=True,
        )
        raise RuntimeError("Engine core initialization failed. See root cause above.")
    if script.get("lose_port") and first:
        lose(port)
    time.sleep(script.get("ready_after_secs", 0))
    serve(port, script)


def start_engine() -> int:
    """A child that outlives its parent and does not listen to SIGTERM, as vLLM's does when it is
    busy.
    """
    engine = os.fork()
    if engine == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
        os._exit(0)
    return engine


def lose(port: int) -> None:
    """End because another process, no child of this session, listens on the port."""
    if os.fork() == 0:
        os.setsid()
        with socket.create_server(("127.0.0.1", port)):
            time.sleep(2)
        os._exit(0)
    time.sleep(0.3)
    sys.exit(
        f"[Errno 98] error while attempting to bind on address ('127.0.0.1', {port}): address already in use"
    )


def serve(port: int, script: dict[str, float]) -> None:
    answered = 0
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply(503 if script.get("never_ready") else 200, {})

        def do_POST(self) -> None:
            nonlocal answered
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
                self.reply(401, {"error": "Unauthorized"})
                return
            time.sleep(script.get("delay_secs", 0))
            with lock:
                if answered == script.get("die_after"):
                    os.kill(os.getpid(), signal.SIGKILL)
                answered += 1
                choice = {"message": {"content": '{"answered": true}'}, "finish_reason": "stop"}
                # Under the lock, so that an answer that counts is sent before the process dies.
                self.reply(
                    200,
                    {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
                )

        def reply(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()

"""An S3 server on the loopback that counts what is asked of it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import boto3
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from schemas.tables.specs import TABLES
from tests.support import RUN_COLUMNS

KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass
class Traffic:
    """What a server was asked. requests: by method, listings as LIST; paths, path_bytes: by method
    and path, where a star stands for a name that a run gave.
    """

    requests: Counter[str] = field(default_factory=Counter)
    read_bytes: int = 0
    written_bytes: int = 0
    paths: Counter[tuple[str, str]] = field(default_factory=Counter)
    path_bytes: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def asked(self) -> int:
        return sum(self.requests.values())

    def told(self) -> str:
        """The figures, with the folders that most is asked of."""
        lines = [
            f"{self.asked} requests {dict(self.requests)}, {self.read_bytes:,} bytes read, "
            f"{self.written_bytes:,} written"
        ]
        for (method, path), count in self.paths.most_common(25):
            size = self.path_bytes[(method, path)]
            lines.append(f"  {count:6} {method:5} {size:12,} B  {path}")
        return "\n".join(lines)


class _QuietHandler(MotoRequestHandler):  # type: ignore[misc]
    def log_request(self, *_: object) -> None:
        """Say nothing: requests are counted."""


class CountingServer:
    """The server, for a `with` statement. traffic: since the last `reset`."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self._lock = threading.Lock()
        self._app = DomainDispatcherApplication(create_backend_app)

    def __enter__(self) -> CountingServer:
        self._server = make_server(
            "127.0.0.1", 0, self._counted, threaded=True, request_handler=_QuietHandler
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host}:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process finds this server."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    @property
    def client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.url, **_keys())

    def reset(self) -> None:
        with self._lock:
            self.traffic = Traffic()

    def sizes(self, bucket: str, prefix: str) -> list[int]:
        """The bytes of each object below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Size"] for page in pages for entry in page.get("Contents", [])]

    def published(self, bucket: str, output: str) -> dict[str, list[str]]:
        """All rows of the published snapshot of an output, as `tests.support.all_rows` has them."""
        pointer = self.client.get_object(Bucket=bucket, Key=f"{output}/current.json")["Body"].read()
        snapshot = f"{bucket}/{output}/{json.loads(pointer)['snapshot']}"
        arrow = pafs.S3FileSystem(
            access_key=KEYS["AWS_ACCESS_KEY_ID"],
            secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region=KEYS["AWS_DEFAULT_REGION"],
            scheme="http",
            endpoint_override=self.url.removeprefix("http://"),
        )
        found = {}
        for table in TABLES:
            rows = pq.read_table(f"{snapshot}/{table}", filesystem=arrow).to_pylist()
            found[table] = sorted(
                repr({name: row[name] for name in row if name not in RUN_COLUMNS}) for row in rows
            )
        return found

    def _counted(self, asked: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        method, path = asked["REQUEST_METHOD"], asked["PATH_INFO"]
        if "list-type=2" in asked.get("QUERY_STRING", ""):
            method = "LIST"
        sent = int(asked.get("CONTENT_LENGTH") or 0)

        def responding(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            length = {name.lower(): value for name, value in headers}.get("content-length", "0")
            self._count(method, path, sent, 0 if method == "HEAD" else int(length))
            return respond(status, headers, *more)

        return self._app(asked, responding)

    def _count(self, method: str, path: str, sent: int, answered: int) -> None:
        folder = "/".join("*" if _is_name(part) else part for part in path.split("/")[2:])
        with self._lock:
            traffic = self.traffic
            traffic.requests[method] += 1
            traffic.paths[(method, folder)] += 1
            traffic.path_bytes[(method, folder)] += sent + answered
            traffic.read_bytes += answered
            traffic.written_bytes += sent


def _is_name(part: str) -> bool:
    """Tell whether a part of a path is a name that a run gave, with digits in it."""
    return any(character.isdigit() for character in part)


def _keys() -> dict[str, str]:
    return {
        "aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
        "region_name": KEYS["AWS_DEFAULT_REGION"],
    }

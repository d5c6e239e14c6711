"""The job on an object store: an S3 server on the loopback holds snapshots, answers, and the
catalog where asked to.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from moto.server import ThreadedMotoServer

from tests.chat_server import ChatServer
from tests.support import RUN_COLUMNS, TABLES, Shop
from transforms.caching.answers import AnswerCodec, CachedAnswer, forget_answers
from transforms.caching.key_range import KeyRangeCache
from transforms.models.chat import ChatAnswer

KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
MODELS = (
    "--image-encoder",
    "fake",
    "--text-encoder",
    "fake",
    "--no-ocr",
    "--describe-backend",
    "openai",
)


ITEMS = 6


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own on the server. endpoint: URL of the server; client: boto3's."""

    name: str
    endpoint: str
    client: Any

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)

    def arrow(self) -> pafs.FileSystem:
        """The server as pyarrow sees it, which knows nothing of Beam."""
        return pafs.S3FileSystem(
            access_key=KEYS["AWS_ACCESS_KEY_ID"],
            secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region=KEYS["AWS_DEFAULT_REGION"],
            scheme="http",
            endpoint_override=self.endpoint.removeprefix("http://"),
        )


@dataclass(frozen=True)
class Store:
    """An output on a bucket, and the job that writes to it. arguments: without an output."""

    bucket: Bucket
    server: ChatServer
    prefix: str
    arguments: tuple[str, ...]

    @property
    def output(self) -> str:
        return f"{self.bucket.url}/{self.prefix}"

    def run(self, *options: str, arguments: Sequence[str] = (), code: int = 0) -> str:
        """Run the job to its end in a process of its own, as users do; returns what it printed."""
        return self.command(
            "run", *(arguments or self.arguments), *options, "--output", self.output, code=code
        )

    def command(self, *arguments: str, code: int = 0) -> str:
        """`catalog-enrich` with these arguments. code: what it must end with."""
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def pointer(self) -> dict[str, Any]:
        pointer: dict[str, Any] = json.loads(self.bucket.read(f"{self.prefix}/current.json"))
        return pointer

    def manifest(self) -> dict[str, Any]:
        """The published snapshot's."""
        content = self.bucket.read(f"{self.prefix}/{self.pointer()['snapshot']}/manifest.json")
        manifest: dict[str, Any] = json.loads(content)
        return manifest

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The published snapshot's rows by table, as pyarrow reads them, without what differs from
        run to run.
        """
        folder = f"{self.bucket.name}/{self.prefix}/{self.pointer()['snapshot']}"
        arrow = self.bucket.arrow()
        found = {
            table: pq.read_table(f"{folder}/{table}", filesystem=arrow).to_pylist()
            for table in TABLES
        }
        return {
            table: [
                {name: value for name, value in row.items() if name not in RUN_COLUMNS}
                for row in rows
            ]
            for table, rows in found.items()
        }

    def check_files(self) -> None:
        """Every file of the published snapshot is what its manifest says."""
        folder = f"{self.prefix}/{self.pointer()['snapshot']}"
        for file in self.manifest()["files"]:
            content = self.bucket.read(f"{folder}/{file['path']}")
            assert hashlib.sha256(content).hexdigest() == file["digest"], file["path"]


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    """URL of an S3 server."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(storage: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, and credentials and endpoint in the environment, where boto3 looks for them."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": storage}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    name = f"b-{hashlib.sha256(request.node.name.encode()).hexdigest()[:16]}"
    client.create_bucket(Bucket=name)
    return Bucket(name, storage, client)


@pytest.fixture
def store(shop: Shop, bucket: Bucket) -> Iterator[Store]:
    """A catalog with pictures on disk, a model behind a server, an output on S3, intermediate files
    on disk.
    """
    with ChatServer() as server:
        (shop.folder / "template.yaml").write_text(shop.template)
        path = shop.file("in.jsonl", catalog(shop))
        arguments = [
            "--template",
            str(shop.folder / "template.yaml"),
            *models(server),
            "--buckets",
            "2",
        ]
        arguments += ["--input", str(path), "--images-root", str(shop.images), "--workers", "1"]
        yield Store(
            bucket, server, "shops/one", (*arguments, "--work-dir", str(shop.folder / "work"))
        )


def models(server: ChatServer) -> tuple[str, ...]:
    return (*MODELS, "--describe-model", "tiny", "--endpoint", server.url)


def catalog(shop: Shop, count: int = ITEMS) -> list[dict[str, Any]]:
    """Records that state no colour, each with a picture of its own, and one that goes to
    quarantine.
    """
    named = [
        {
            "sku": f"s{n:02}",
            "name": f"Thing {n}",
            "photos": [shop.picture(f"{n:02}.png", f"rgb({n * 9}, 9, 9)")],
        }
        for n in range(count)
    ]
    return [*named, {"name": "without an id"}]


def check_whole(store: Store) -> dict[str, list[dict[str, Any]]]:
    """The tables of the published snapshot, when everything of the catalog is in them."""
    store.check_files()
    tables = store.tables()
    assert sorted(row["item_id"] for row in tables["items"]) == [f"s{n:02}" for n in range(ITEMS)]
    assert all(row["image_description"].startswith("text ") for row in tables["items"])
    assert {table: len(rows) for table, rows in tables.items()} == {
        "items": ITEMS,
        "embeddings/text": ITEMS,
        "embeddings/image": ITEMS,
        "quarantine": 1,
        "records": ITEMS + 1,
    }
    return tables


def test_the_whole_cycle(store: Store, shop: Shop) -> None:
    """Run, unchanged run, one record changed, backfill, rollback: as on a local disk, and nothing
    is paid twice.
    """
    assert "published" in store.run()
    assert store.server.calls == ITEMS
    tables, first = check_whole(store), store.pointer()

    assert "nothing has changed" in store.run()
    assert (store.server.calls, store.pointer()) == (ITEMS, first)

    records = [json.loads(line) for line in (shop.folder / "in.jsonl").read_text().splitlines()]
    shop.file("in.jsonl", [records[0] | {"name": "Another thing"}, *records[1:]])
    store.run()
    assert store.manifest()["records"] == {
        "new": 0,
        "changed": 1,
        "made_again": 0,
        "unchanged": ITEMS - 1,
        "deleted": 0,
    }
    assert store.server.calls == ITEMS + 1, "answers are kept on S3"
    changed = check_whole(store)
    before, after = (
        [row for row in each["items"] if row["item_id"] != "s00"] for each in (tables, changed)
    )
    assert after == before

    (shop.folder / "ids").write_text("s03\ns04\n")
    store.command(
        "backfill",
        store.output,
        "--ids",
        str(shop.folder / "ids"),
        "--attributes",
        "image_description",
        "--ask-again",
    )
    assert store.server.calls == ITEMS + 3
    assert store.manifest()["command"] == "backfill"
    check_whole(store)

    store.command("rollback", store.output, "--to", first["run_id"])
    assert store.pointer() == first
    assert check_whole(store) == tables
    assert first["run_id"] in store.command("snapshots", store.output)
    store.command("prune", store.output, "--keep", "1")
    kept = {key.split("/")[3] for key in store.bucket.keys("shops/one/snapshots/")}
    assert kept == {first["run_id"]}
    assert "shops/one/lock.json" not in set(store.bucket.keys())


def test_everything_on_s3(store: Store, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catalog, pictures and intermediate files may be on S3 as well; an endpoint that is an option
    reaches all processes.
    """
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    for path in (shop.folder / "in.jsonl", *shop.images.iterdir()):
        store.bucket.write(str(path.relative_to(shop.folder)), path.read_bytes())
    arguments = [
        "--template",
        str(shop.folder / "template.yaml"),
        *models(store.server),
        "--buckets",
        "2",
    ]
    arguments += [
        "--input",
        f"{store.bucket.url}/*.jsonl",
        "--images-root",
        f"{store.bucket.url}/images",
    ]
    store.run("--workers", "2", "--s3_endpoint_url", store.bucket.endpoint, arguments=arguments)
    check_whole(store)
    kinds = {key.split("/")[2] for key in store.bucket.keys("shops/one/")}
    assert {"answers", "current.json", "snapshots"} <= kinds
    assert "_work" not in kinds, "intermediate files are gone"


def test_answers_on_s3_are_kept_and_forgotten(bucket: Bucket) -> None:
    """The store keeps answers in batches, puts many files together, and drops what it is told to."""
    FileSystems.set_options(PipelineOptions([]))  # as each pipeline does
    folder = f"{bucket.url}/out/answers"
    answer = CachedAnswer(ChatAnswer("{}", probabilities={"a": 0.5}), "p")
    for run in range(10):
        kept = KeyRangeCache(folder, "0000", "ffff", AnswerCodec(f"run-{run}", "m"))
        kept.load()
        kept.put(f"f{run}", answer)
        kept.close()
    assert len(bucket.keys("out/answers/")) == 1, "nine earlier files became one"
    assert forget_answers(folder, ["f0", "f9"]) == 2
    later = KeyRangeCache(folder, "0000", "ffff", AnswerCodec("run", "m"))
    later.load()
    assert [later.get(f"f{run}") for run in range(10)] == [None, *[answer] * 8, None]
    assert later.unreadable == []

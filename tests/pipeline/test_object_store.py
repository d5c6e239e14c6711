"""The job on an object store: an S3 server on the loopback holds snapshots, answers, and the
catalog where asked to.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from moto.server import ThreadedMotoServer

from pipelines import cli
from pipelines.snapshots.publication import move_pointer, pointer_version, read_pointer
from tests.cases.support import items_of, run_case
from tests.chat_server import ChatServer
from tests.lossy_network import losing_answers
from tests.picture_server import jpeg
from tests.support import RUN_COLUMNS, TABLES, Shop
from transforms.caching.answers import AnswerCodec, CachedAnswer, forget_answers
from transforms.caching.key_range import KeyRangeCache
from transforms.images.finding import Pictures
from transforms.models.chat import ChatAnswer
from transforms.runtime.conditional import ChangedError

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
# Of a line of the server's log, which may be coloured.
_REQUEST = re.compile(r"([A-Z]+) (/\S*) HTTP")


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

    def run(self) -> str:
        """Run the job to its end; returns what it printed."""
        return self.command("run", *self.arguments, "--output", self.output)

    def run_as_process(self, arguments: Sequence[str]) -> None:
        """Run the job to its end in a process of its own, as users do."""
        command = [sys.executable, "-m", "pipelines.cli", "run", *arguments]
        done = subprocess.run(
            [*command, "--output", self.output],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    def command(self, *arguments: str) -> str:
        """`catalog-enrich` with these arguments; returns what it printed."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = cli.main(arguments)
        assert code == 0, out.getvalue() + err.getvalue()
        return out.getvalue()

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
    assert store.pointer()["run_id"] == first["run_id"]
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
    arguments += ["--workers", "2", "--s3_endpoint_url", store.bucket.endpoint]
    store.run_as_process(arguments)
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


def test_the_second_of_two_writers_is_told(bucket: Bucket) -> None:
    """S3 itself refuses to replace a pointer that another machine has written since it was read,
    also where there was none; names with brackets are names.
    """
    FileSystems.set_options(PipelineOptions([]))
    output = f"{bucket.url}/shops/a[1]"
    runs = [f"20260101T12000{n}Z-00000{n}" for n in range(4)]
    first, second = (pointer_version(output) for _ in range(2))
    assert first == second == ""
    assert move_pointer(output, runs[0], runs[:1], first) == (pointer_version(output), [])
    with pytest.raises(ChangedError):
        move_pointer(output, runs[1], runs[:1], second)
    seen = pointer_version(output)
    assert move_pointer(output, runs[2], runs[:3], seen)[1] == []
    with pytest.raises(ChangedError):
        move_pointer(output, runs[3], runs[:1], seen)
    pointer = read_pointer(output)
    assert pointer is not None
    assert pointer.run_id == runs[2]
    bucket.client.delete_object(Bucket=bucket.name, Key="shops/a[1]/current.json")
    with pytest.raises(ChangedError):
        move_pointer(output, runs[3], runs[:1], seen)


def test_a_writer_whose_answer_is_lost_is_no_second_writer(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store moves the pointer and the connection breaks before it says so: the client asks
    again, is told that somebody was faster, and finds that it was itself.
    """
    output = f"{bucket.url}/shop"
    runs = [f"20260101T12000{n}Z-00000{n}" for n in range(3)]
    with losing_answers(bucket.endpoint, b"PUT ") as lossy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", lossy.url)
        FileSystems.set_options(PipelineOptions([]))
        version, warnings = move_pointer(output, runs[0], runs[:1], "")
        lossy.left = 1
        again, _ = move_pointer(output, runs[1], runs[:2], version)
        assert (lossy.lost, warnings) == (2, [])
        assert again == pointer_version(output) != version
        lossy.left = 1
        with pytest.raises(ChangedError):  # of one who has not seen what was written meanwhile
            move_pointer(output, runs[2], runs[:3], version)
        pointer = read_pointer(output)
    assert pointer is not None
    assert pointer.run_id == runs[1]


@contextmanager
def counted_requests(prefix: str) -> Iterator[Counter[str]]:
    """Count the server's requests that name this part of the bucket: listings, and others by their
    method.
    """
    seen: Counter[str] = Counter()

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found = _REQUEST.search(record.getMessage())
            method, url = found.groups() if found else ("", "")
            if prefix in url:
                seen["list" if "list-type=2" in url else method] += 1

    handler, logger = Lines(), logging.getLogger("werkzeug")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield seen
    finally:
        logger.removeHandler(handler)


def test_an_unchanged_night_lists_pictures(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server lists the pictures of a night page by page and is asked for no single one; what
    the listing says of each is what a question for it says.
    """
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    FileSystems.set_options(PipelineOptions([]))
    paths = [f"night/{n:02} é[1].jpg" for n in range(35)]
    for number, path in enumerate(paths):
        bucket.write(path, bytes(number + 1))
    root = f"{bucket.url}/"
    with counted_requests("night") as alone:
        one_by_one = Pictures(root)
        expected = {path: one_by_one.version(path) for path in paths}
    assert (alone["HEAD"], alone["list"]) == (len(paths), 0)
    with counted_requests("night") as together:
        at_once = Pictures(root)
        at_once.get_ready(paths)
        assert {path: at_once.version(path) for path in paths} == expected
    assert together == {"list": 4}
    assert all(expected.values())
    bucket.write(paths[3], b"longer than it was")
    again = Pictures(root)
    again.get_ready(paths)
    assert [path for path in paths if again.version(path) != expected[path]] == [paths[3]]


TEMPLATE = """\
name: shop
version: 1.0.0
record: {id: id, images: {columns: [image]}}
attributes:
  - {name: title, type: string, role: title, from: title, description: Name.}
"""


def test_pictures_that_records_name_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    """Objects of a bucket that was named are read once; an unchanged night lists them, and a night
    with a changed one reads that.
    """
    for number in range(12):
        bucket.write(f"pics/{number}.jpg", jpeg(number))
    rows = [f"{n},Item {n},{bucket.url}/pics/{n}.jpg" for n in range(12)]
    rows += [
        "other,Other,s3://other-bucket/pics/1.jpg?sig=s3cret",
        f"gone,Gone,{bucket.url}/pics/99.jpg",
    ]
    catalog, template = tmp_path / "catalog.csv", tmp_path / "t.yaml"
    catalog.write_text("\n".join(["id,title,image", *rows]))
    template.write_text(TEMPLATE)
    fetch = ("--fetch-images", f"{bucket.url}/pics")
    with counted_requests("pics") as first:
        items = items_of(run_case(template, [catalog], tmp_path / "out", *fetch))
    assert first["GET"] == 12
    assert sum(item["images"][0]["digest"] is not None for item in items.values()) == 12
    told = {name: items[name]["images"][0] for name in ("other", "gone")}
    assert told["other"]["reason"] == "image-host-not-allowed"
    assert "s3://other-bucket" in told["other"]["message"]
    assert "s3cret" not in told["other"]["message"]
    assert told["gone"]["reason"] == "image-missing"
    with counted_requests("pics") as night:
        run_case(template, [catalog], tmp_path / "out", *fetch)
    assert night == {"list": 2}, "the first sees whether the bucket answers"
    bucket.write("pics/3.jpg", jpeg(200))
    with counted_requests("pics") as changed:
        after = items_of(run_case(template, [catalog], tmp_path / "out", *fetch))
    assert changed["GET"] == 1
    assert {name for name in items if items[name]["images"] != after[name]["images"]} == {"3"}

"""Whether an object store answers is known soon, and said with its address."""

from __future__ import annotations

import socket

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from transforms.runtime import storage
from transforms.runtime.reach import PATIENCE, Patience, UnreachableError, check_stores

HASTE = Patience(connect_secs=0.2, answer_secs=0.2, attempts=2, last_secs=0.2)


@pytest.fixture(autouse=True)
def s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys for S3, so that nothing but its address is missing."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    for name in names:
        monkeypatch.setenv(name, "us-east-1")
    storage.connect(lambda: PipelineOptions([]))


def test_a_store_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes connections and is silent is asked as often as allowed, and named."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(UnreachableError, match=f"s3://bucket does not answer at {address} "):
            check_stores(["out", "s3://bucket/out"], HASTE)
        silent.setblocking(False)
        for _ in range(HASTE.attempts):
            silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_what_is_no_store_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local paths, addresses of pages and stores that are not installed need no answer."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    check_stores(["out", "https://shop.example/a.csv", "nowhere://bucket/out"], HASTE)


def test_nobody_waits_for_half_a_minute() -> None:
    """What a command waits by itself, all attempts of S3 with their connections included."""
    assert PATIENCE.attempts * (PATIENCE.connect_secs + PATIENCE.answer_secs) < 30
    assert PATIENCE.last_secs < 30

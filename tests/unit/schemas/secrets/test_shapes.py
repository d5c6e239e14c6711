"""Secrets by their shape: recognised in any text around them, and nothing else is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.secrets import masked, public_addresses, secret_in
from tests.planted import MARK, SHAPES, holds

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)


@pytest.mark.parametrize("shape", SHAPES)
@given(before=WORDS, after=WORDS)
def test_a_secret_in_a_message(shape: str, before: str, after: str) -> None:
    """Whatever stands around it, a mark in one of the shapes is masked, once and for all."""
    told = masked(f"{before} {SHAPES[shape]} {after}")
    assert not holds(told)
    assert masked(told) == told


@pytest.mark.parametrize(
    "written",
    [
        "https://me:{}@shop.example/a.jpg",
        "https://{}@shop.example/a.jpg",
        "https://me:a/{}@shop.example",
        "https://me:a b{}@shop.example/a",
        "http:\\/\\/me:{}@shop.example\\/v1",
        "//me:{}@shop.example/a",
        "me:{}@proxy.example:3128",
        "http://shop.example:{}/v1",
        "https://shop.example/a?sig={}&x=1",
        "https://shop.example/a#access_token={}",
        "gs://bucket/a.csv?GoogleAccessId=x&Signature={}/a",
        "a.csv?token={}",
        "X-Api-Key: {}",
        "{{'Authorization': 'Basic {}'}}",
        "Cookie: session={}; path=/",
        'sent "api_key": "{}" to it',
        "AWS_SECRET_ACCESS_KEY={}",
        "--api-key={}",
        "hf_{}aBc1",
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1.{}.x",
    ],
)
def test_shapes_that_are_masked(written: str) -> None:
    """Passwords, queries, headers and keys are masked however the address is broken."""
    text = written.format(MARK)
    assert not holds(masked(f"it broke off: {text}: no answer"))
    assert secret_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "write --endpoint http://HOST:PORT/v1 and put the key into the environment",
        "http://gpu-box:8000: Connection refused; ask the owner, ops@shop.example",
        "no file matches s3://bucket/year=202?/month=01/*.parquet",
        "no file matches 'year=202?/month=01/shop?.csv'",
        "images/sk-ii-facial-treatment-essence-230ml.jpg",
        "Qwen/Qwen2.5-VL@main at https://hub.example/Qwen/Qwen2.5-VL",
        "https://cdn.example/npm/pkg@1.2/a.jpg leads to http://[::1]:8000/v1",
        "--max-tokens 6000 --tokens-per-min 5 --api-key-env SHOP_KEY",
        "api_key_env is 'SHOP_KEY', which is not set",
        "--request-header api-key=env:SHOP_KEY --request-query api-version=2024-10-21",
        "unpack it with its password: 7z x",
        "weight: 5 g; ratio 3:2 @ 20 C; what? yes",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Messages with addresses, patterns, ports and options are shown as they are."""
    assert masked(text) == text
    assert not secret_in(text)


@given(text=WORDS)
def test_texts_of_a_catalog_lose_only_what_is_secret(text: str) -> None:
    """Without an address nothing of a text changes; in one the password and the query go."""
    plain = "".join(char for char in text if char not in "/?#@:&")
    assert public_addresses(plain) == plain
    signed = public_addresses(f"{plain} https://me:{MARK}@a.example/b.jpg?s={MARK}")
    assert signed == f"{plain} https://a.example/b.jpg?..."


@pytest.mark.parametrize(
    "piece",
    [
        *("a:", "//a:", "?a=", "a_", "--", "key", "@", "//", "\\/", "https://", "Bearer ", "eyJ"),
        *("sk-1", "?key=", "http://a@b", "Basic ", "cookie:", "%25", "&#x41;", "\\", "\n"),
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_the_time_grows_with_the_text(piece: str) -> None:
    """Four times the text takes at most about four times as long, whatever it repeats."""

    def secs(size: int) -> float:
        text = piece * (size // len(piece))
        begun = time.process_time()
        masked(text)
        return time.process_time() - begun

    small = min(secs(30_000) for _ in range(3))
    assert secs(120_000) <= 10 * small + 0.05

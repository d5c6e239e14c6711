"""Fetching pictures: what is asked, what never is, and what becomes of what servers send."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.picture_server import PictureServer, jpeg, picture_server
from transforms.images.files import ImageLimits, PictureProblem
from transforms.images.finding import Pictures
from transforms.images.remote.addresses import why_forbidden
from transforms.images.remote.hosts import Host, parse_host
from transforms.images.remote.options import FetchOptions
from transforms.images.remote.outcome import MAX_FAILURES
from transforms.images.remote.remote import RemotePictures

LIMITS = ImageLimits()


@pytest.fixture(scope="module")
def server() -> Iterator[PictureServer]:
    with picture_server() as started:
        yield started


def options(folder: Path, *hosts: Host, **more: Any) -> FetchOptions:
    wanted = {"max_bytes": 1_000_000, "timeout_secs": 3.0} | more
    return FetchOptions(hosts, str(folder), "run-1", **wanted)


def allowed(folder: Path, server: PictureServer, **more: Any) -> FetchOptions:
    return options(folder, parse_host(f"127.0.0.1:{server.port}"), **more)


def reason(pictures: Pictures, url: str) -> str:
    found = pictures.read(url, LIMITS)
    assert isinstance(found, PictureProblem), found
    return found.reason


FORBIDDEN = (
    *(
        "127.0.0.1",
        "127.0.0.2",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
    ),
    *("172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255", "169.254.169.254"),
    *(
        "169.254.170.2",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
    ),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255", "::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
    *("::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1"),
    *("fe80::1", "fe80::1%lo", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1"),
    *("2a00::5efe:127.0.0.1", "2a00::200:5efe:10.0.0.1", "::ffff:0:127.0.0.1", "4000::1", "none"),
)
NUMBERS = (
    *("2130706433", "0x7f000001", "017700000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1"),
    *("0x7f.1", "127.0.0.1.", "0", "00000177.1", "[::1]", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]"),
)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_addresses_that_are_not_public(address: str) -> None:
    """Loopback, private, link-local, metadata, shared, multicast and reserved addresses are refused
    in every form that carries them.
    """
    assert why_forbidden(address)


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "1.1.1.1", "2606:2800:21f:cb07::1", "64:ff9b::5db8:d70e", "::ffff:1.1.1.1"],
)
def test_public_addresses(address: str) -> None:
    """Public addresses may be asked, also through NAT64."""
    assert why_forbidden(address) == ""


def test_a_name_that_leads_to_forbidden_addresses(tmp_path: Path, server: PictureServer) -> None:
    """Whatever a name that may be asked resolves to, nothing is connected to that is not public,
    not even when the second answer differs from the first.
    """
    before = server.connections
    seen: list[str] = []

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        seen.append(host)
        address = FORBIDDEN[int(host.partition(".")[0])].partition("%")[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    fetcher = RemotePictures(options(tmp_path, Host("*.shop.example", server.port)), resolve)
    numbers = range(len(FORBIDDEN) - 1)
    urls = [f"http://{number}.shop.example:{server.port}/p/1.jpg" for number in numbers]
    # One at a time: else the breaker would spare the rest.
    reasons = {fetcher.known(url).reason for url in urls}
    assert reasons == {"image-address-forbidden"}
    assert len(seen) == len(urls) >= 40
    assert server.connections == before


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_systems_take_for_addresses(
    tmp_path: Path, server: PictureServer, number: str
) -> None:
    """Octal, hexadecimal and short forms lead nowhere, whether such a host was named or not."""
    before = server.connections
    url = f"http://{number}:{server.port}/p/1.jpg"
    for hosts in ((Host("shop.example"),), (Host(number.strip("[]."), server.port),)):
        pictures = Pictures("", str(tmp_path / hosts[0].name), options(tmp_path, *hosts))
        assert reason(pictures, url) in (
            "image-host-not-allowed",
            "image-address-forbidden",
            "image-fetch-failed",
        )
    assert server.connections == before


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/p/1.jpg",
        "http://localhost/p/1.jpg",
        "http://[::1]/p/1.jpg",
        "//10.0.0.1/p/1.jpg",
        "https://other.example/p/1.jpg",
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.jpg",
        "gopher://127.0.0.1/",
    ],
)
def test_redirects_to_others(tmp_path: Path, server: PictureServer, target: str) -> None:
    """A redirect to a host that was not named is not followed."""
    server.leads_to = target
    pictures = Pictures("", str(tmp_path), allowed(tmp_path, server))
    url = f"http://127.0.0.1:{server.port}/away/{abs(hash(target))}"
    assert reason(pictures, url) == "image-redirect-refused"


def test_a_redirect_to_a_forbidden_address(tmp_path: Path, server: PictureServer) -> None:
    """A host that was named is checked again where a redirect leads to it."""
    server.leads_to = "http://inside.example/p/1.jpg"

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    both = options(tmp_path, parse_host(f"127.0.0.1:{server.port}"), Host("inside.example"))
    fetcher = RemotePictures(both, resolve)
    known = fetcher.known(f"http://127.0.0.1:{server.port}/away/inside")
    assert known.reason == "image-address-forbidden"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("chain/20", "image-redirect-refused"),
        ("html/a.jpg", "image-content-type"),
        ("status/404", "image-fetch-status"),
        ("status/403", "image-fetch-status"),
        ("status/500", "image-fetch-failed"),
        ("status/429", "image-fetch-failed"),
        ("text/20", "image-content-type"),
        ("text/900000", "image-content-type"),
        ("text/0", "image-empty"),
        ("nothing/a", "image-empty"),
        ("bomb/a", "image-too-many-bytes"),
        ("huge/a", "image-too-many-bytes"),
        ("endless/a", "image-too-many-bytes"),
        ("slow/a", "image-too-slow"),
        ("silent/a", "image-too-slow"),
        ("breaks/a", "image-fetch-failed"),
    ],
)
def test_what_servers_send_instead(
    tmp_path: Path, server: PictureServer, path: str, told: str
) -> None:
    """Each way of sending no picture has its reason, and none takes longer than the limit."""
    pictures = Pictures("", str(tmp_path), allowed(tmp_path, server, timeout_secs=1.0))
    began = time.monotonic()
    assert reason(pictures, f"http://127.0.0.1:{server.port}/{path}?token=s3cret") == told
    assert time.monotonic() - began < 4
    kept = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    assert b"s3cret" not in kept


@pytest.mark.parametrize(
    ("path", "number"), [("p/7.jpg", 7), ("chain/3", 1), ("packed/a", 2), ("text/6.jpg", 6)]
)
def test_pictures_of_a_named_host(
    tmp_path: Path, server: PictureServer, path: str, number: int
) -> None:
    """A loopback host that was named serves pictures, also behind redirects, packed, and those that
    it calls a text.
    """
    pictures = Pictures("", str(tmp_path), allowed(tmp_path, server))
    assert pictures.read(f"http://127.0.0.1:{server.port}/{path}", LIMITS) == jpeg(number)


def test_pictures_are_fetched_for_a_caller_in_a_running_loop(
    tmp_path: Path, server: PictureServer
) -> None:
    """A caller that stands in a running event loop, as a notebook's cell does, gets its picture."""

    async def cell() -> bytes | PictureProblem:
        pictures = Pictures("", str(tmp_path), allowed(tmp_path, server))
        return pictures.read(f"http://127.0.0.1:{server.port}/p/8.jpg", LIMITS)

    # In a thread of its own: another test's library may have left a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, cell()).result() == jpeg(8)


@pytest.mark.parametrize("path", ["p/9.jpg", "since/a"])
def test_the_next_run_asks_conditionally(tmp_path: Path, server: PictureServer, path: str) -> None:
    """One run asks once; the next asks whether the picture has changed and downloads nothing."""
    first, url = allowed(tmp_path, server), f"http://127.0.0.1:{server.port}/{path}"
    once = Pictures("", str(tmp_path), first)
    version, asked, sent = once.version(url), server.asked[f"/{path}"], server.downloads
    assert Pictures("", str(tmp_path), first).version(url) == version
    assert server.asked[f"/{path}"] == asked
    again = Pictures("", str(tmp_path), replace(first, run="run-2"))
    assert again.version(url) == version
    assert server.asked[f"/{path}"] == asked + 1
    assert server.downloads == sent


def test_a_host_that_is_down(tmp_path: Path) -> None:
    """What was fetched once is used while its host is down, and flagged; a host that fails over and
    over is left alone.
    """
    with picture_server() as server:
        first = allowed(tmp_path, server)
        url = f"http://127.0.0.1:{server.port}/p/3.jpg"
        assert Pictures("", str(tmp_path), first).read(url, LIMITS) == jpeg(3)
    later = Pictures("", str(tmp_path), replace(first, run="run-2"))
    place = later.place(url)
    assert not isinstance(place, PictureProblem)
    assert "earlier run" in place.note
    others = [url.replace("/3.", f"/{number}.") for number in range(20, 40)]
    later.get_ready(others)
    messages = [later.place(each).message for each in others]  # type: ignore[union-attr]
    assert sum("in a row" in message for message in messages) >= len(others) - 2 * MAX_FAILURES


def test_secrets_in_addresses(tmp_path: Path, server: PictureServer) -> None:
    """An address with a password is not asked, and no message has the password."""
    pictures = Pictures("", str(tmp_path), allowed(tmp_path, server))
    found = pictures.read(f"http://me:s3cret@127.0.0.1:{server.port}/p/1.jpg", LIMITS)
    assert isinstance(found, PictureProblem)
    assert found.reason == "image-address-secret"
    assert "s3cret" not in found.message


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example",
        "shop.example/pics",
        "*",
        "a b",
        "",
        "shop.example:99999",
        "*.",
        "u@h",
    ],
)
def test_what_is_no_host(text: str) -> None:
    """A host is named without scheme, path or password, and never as `any`."""
    with pytest.raises(ValueError, match="is no host"):
        parse_host(text)

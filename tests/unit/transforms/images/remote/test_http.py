"""The client of http: what it never does, whatever a catalog or a server writes."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.picture_server import PictureServer, jpeg, picture_server
from transforms.images.files import ImageLimits, PictureProblem
from transforms.images.finding import Pictures
from transforms.images.references import shown
from transforms.images.remote.hosts import Host, parse_host
from transforms.images.remote.options import FetchOptions
from transforms.images.remote.remote import RemotePictures

LIMITS = ImageLimits()


@pytest.fixture(scope="module")
def server() -> Iterator[PictureServer]:
    with picture_server() as started:
        yield started


def options(folder: Path, *hosts: str | Host, **more: Any) -> FetchOptions:
    named = tuple(each if isinstance(each, Host) else parse_host(each) for each in hosts)
    wanted = {"max_bytes": 1_000_000, "timeout_secs": 5.0} | more
    return FetchOptions(named, str(folder), "run-1", **wanted)


def allowed(folder: Path, server: PictureServer, **more: Any) -> FetchOptions:
    return options(folder, f"127.0.0.1:{server.port}", **more)


def url(server: PictureServer, path: str) -> str:
    return f"http://127.0.0.1:{server.port}/{path}"


def read(settings: FetchOptions, address: str) -> bytes | PictureProblem:
    return Pictures("", settings.kept, settings).read(address, LIMITS)


def next_run(settings: FetchOptions, name: str = "run-2") -> FetchOptions:
    return replace(settings, run=name)


# What reads `inside` as the host in one program, and `127.0.0.1` in another.
TWO_HOSTS = (
    "http://inside.example:{port}\\@127.0.0.1:{port}/p/1.jpg",
    "http://inside.example:{port}#@127.0.0.1:{port}/p/1.jpg",
    "http://inside.example:{port}?@127.0.0.1:{port}/p/1.jpg",
    "http://127.0.0.1:{port}\\.inside.example/p/1.jpg",
    "http://127.0.0.1:{port}%2f.inside.example/p/1.jpg",
    "http://127.0.0.1%23.inside.example:{port}/p/1.jpg",
    "http://127.0.0.1\t.inside.example:{port}/p/1.jpg",
    "http://127.0.0.1 .inside.example:{port}/p/1.jpg",
    "http://127.0.0.1\u2044.inside.example:{port}/p/1.jpg",
    "http://\uff11\uff12\uff17.0.0.1:{port}/p/1.jpg",
    "http://127.0.0.1\u3002inside.example:{port}/p/1.jpg",
    "http://127。0。0。1:{port}/p/1.jpg",
    "http://[127.0.0.1]:{port}/p/1.jpg",
    "http://[::ffff:127.0.0.1%25lo]:{port}/p/1.jpg",
    "http://①②⑦.0.0.1:{port}/p/1.jpg",
    "http:/127.0.0.1:{port}/p/1.jpg",
    "http:127.0.0.1:{port}/p/1.jpg",
    "http:///127.0.0.1:{port}/p/1.jpg",
    "http://127.0.0.1:{port}@inside.example:{port}/p/1.jpg",
    "http://inside.example:{port}:{port}/p/1.jpg",
    "http://inside.example:+{port}/p/1.jpg",
    "http://inside.example:٨٠/p/1.jpg",
)


@pytest.mark.parametrize("written", TWO_HOSTS)
def test_addresses_that_name_two_hosts(tmp_path: Path, server: PictureServer, written: str) -> None:
    """An address that programs read differently leads to no host that was not named, and to no
    address that is not public.
    """
    before = server.connections
    asked: list[str] = []

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    hosts = (Host("inside.example", server.port), Host("*.inside.example", server.port))
    remote = RemotePictures(options(tmp_path, *hosts), resolve)
    address = written.format(port=server.port)
    if remote.allows(address):
        assert remote.known(address).reason
    assert server.connections == before
    assert all(host == "inside.example" or host.endswith(".inside.example") for host in asked)


@pytest.mark.parametrize(
    ("named", "address", "is_allowed"),
    [
        ("müller.example", "https://müller.example/a.jpg", True),
        ("müller.example", "https://xn--mller-kva.example/a.jpg", True),
        ("xn--mller-kva.example", "https://MÜLLER.example./a.jpg", True),
        ("*.müller.example", "https://cdn.müller.example/a.jpg", True),
        ("muller.example", "https://müller.example/a.jpg", False),
        ("shop.example", "https://shоp.example/a.jpg", False),
        ("shop.example", "https://shop.example.evil.example/a.jpg", False),
        ("*.shop.example", "https://shop.example/a.jpg", False),
        ("*.shop.example", "https://notshop.example/a.jpg", False),
        ("shop.example", "https://shop.example:8443/a.jpg", False),
        ("shop.example", "HTTPS://Shop.Example:443/a.jpg", True),
        ("shop.example:8443", "https://shop.example/a.jpg", False),
        ("shop.example", "ftp://shop.example/a.jpg", False),
        ("shop.example", "https://shop.example:0/a.jpg", False),
        ("shop.example", "https://shop.example:99999/a.jpg", False),
    ],
)
def test_which_hosts_a_name_stands_for(
    tmp_path: Path, named: str, address: str, is_allowed: bool
) -> None:
    """A name stands for itself in all its spellings, on its ports, and for nothing that looks like it."""
    assert RemotePictures(options(tmp_path, named)).allows(address) == is_allowed


@pytest.mark.parametrize(
    "written",
    [
        "http://me:s3cret@127.0.0.1/p/1.jpg",
        "http://me:s3cret@sh\uff0fop.example/a.jpg?sig=s3cret",
        "http://me:s3cret@[::1/a.jpg",
        "http://shop.example:s3cret/a.jpg",
        "http://shop.example:80/a.jpg?sig=s3cret#s3cret",
        " http://me:s3cret@shop.example/a.jpg",
        '"http://me:s3cret@shop.example/a.jpg?sig=s3cret"',
        "http:me:s3cret@shop.example/a.jpg",
        "http:/me:s3cret@shop.example/a.jpg",
        "http://me:s3/s3cret@shop.example/a.jpg",
        "http://me@you:s3cret@shop.example/a.jpg",
        "s3://key:s3cret@bucket/a.jpg",
        "s3://bucket/a.jpg?X-Amz-Signature=s3cret",
        "gs://bucket/a.jpg?GoogleAccessId=s3cret",
        "gs://bucket?sig=s3cret",
        "//me:s3cret@shop.example/a.jpg",
        "images/a.jpg?token=s3cret",
        "\\\\me:s3cret@nas\\a.jpg",
    ],
)
@pytest.mark.parametrize("is_fetching", [True, False])
def test_no_secret_in_a_message(tmp_path: Path, written: str, is_fetching: bool) -> None:
    """However an address is written or broken, no message has its password or its signature."""
    settings = options(tmp_path, "other.example") if is_fetching else None
    found = Pictures("", str(tmp_path), settings).read(written, LIMITS)
    assert isinstance(found, PictureProblem)
    assert "s3cret" not in found.message


_NAMES = st.text("abcxyz09._-~%", min_size=1, max_size=6)


@given(_NAMES, st.text("pw:0%!$&*+=,;.", max_size=5), st.text("s=&?/#a", max_size=5))
def test_shown_addresses_have_no_secrets(name: str, password: str, query: str) -> None:
    """Of an address with a name, a password and a query a message has none of the three."""
    told = shown(f"https://{name}N4ME:{password}S3CRET@shop.example/a.jpg?{query}T0KEN={query}")
    assert not any(secret in told for secret in ("N4ME", "S3CRET", "T0KEN"))
    assert "shop.example/a.jpg" in told


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_ipv6(tmp_path: Path) -> None:
    """A loopback address of IPv6 serves pictures where it was named, or `localhost` was, and is not
    connected to where only that of IPv4 was.
    """
    if not _has_ipv6():
        pytest.skip("no IPv6 here")
    with picture_server(ipv6=True) as server:
        named = options(tmp_path / "named", f"[::1]:{server.port}")
        assert read(named, f"http://[::1]:{server.port}/p/1.jpg") == jpeg(1)

        async def resolve(host: str, port: int, **_: Any) -> list[Any]:
            return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))]

        local = options(tmp_path / "local", f"localhost:{server.port}")
        known = RemotePictures(local, resolve).known(f"http://localhost:{server.port}/p/2.jpg")
        assert known.digest
        before = server.connections
        hosts = (Host("cdn.example", server.port), parse_host(f"127.0.0.1:{server.port}"))
        remote = RemotePictures(options(tmp_path / "other", *hosts), resolve)
        known = remote.known(f"http://cdn.example:{server.port}/p/1.jpg")
        assert known.reason == "image-address-forbidden"
        assert server.connections == before


def test_no_cookies(tmp_path: Path, server: PictureServer) -> None:
    """A cookie that a server sets is sent back to nobody."""
    assert read(allowed(tmp_path, server), url(server, "cookie/21.jpg")) == jpeg(21)
    assert "Cookie" not in server.headers["/p/21.jpg"]


def test_no_proxy_of_the_environment(
    tmp_path: Path, server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a proxy nor a password file of the environment is used."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert read(allowed(tmp_path / "kept", server), url(server, "p/22.jpg")) == jpeg(22)
    assert "Authorization" not in server.headers["/p/22.jpg"]


def _certificate(folder: Path, name: str) -> ssl.SSLContext:
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_certificates_are_checked(tmp_path: Path) -> None:
    """A certificate that nobody vouches for is refused with its reason, before anything is asked."""
    with picture_server(_certificate(tmp_path, "127.0.0.1")) as server:
        address = f"https://127.0.0.1:{server.port}/p/1.jpg"
        found = read(allowed(tmp_path / "kept", server), address)
        assert isinstance(found, PictureProblem)
        assert found.reason == "image-fetch-failed"
        assert "certificate" in found.message
        assert not server.asked


def test_a_tag_that_cannot_be_sent_back(tmp_path: Path, server: PictureServer) -> None:
    """A tag in another alphabet costs no picture; the next run downloads it once more."""
    settings, address = allowed(tmp_path, server), url(server, "odd/1")
    assert read(settings, address) == jpeg(3)
    assert read(next_run(settings), address) == jpeg(3)
    assert server.asked["/odd/1"] == 2


def test_a_picture_that_may_be_cut(tmp_path: Path, server: PictureServer) -> None:
    """Where only the end of the connection ends a picture, its tag is not trusted."""
    settings, address = allowed(tmp_path, server), url(server, "untold/1")
    assert read(settings, address) == jpeg(4)
    assert read(next_run(settings), address) == jpeg(4)
    assert "If-None-Match" not in server.headers["/untold/1"]


def test_packed_data_that_ends_early(tmp_path: Path, server: PictureServer) -> None:
    """Half of a packed picture is no picture, and not kept."""
    found = read(allowed(tmp_path, server), url(server, "half/1"))
    assert isinstance(found, PictureProblem)
    assert found.reason == "image-fetch-failed"


def test_headers_without_end(tmp_path: Path, server: PictureServer) -> None:
    """A server that never stops sending headers is left after a bounded number of them."""
    began = time.monotonic()
    found = read(allowed(tmp_path, server, timeout_secs=20), url(server, "headers/1"))
    assert isinstance(found, PictureProblem)
    assert found.reason == "image-fetch-failed"
    assert time.monotonic() - began < 10


def test_a_tag_belongs_to_one_address(tmp_path: Path, server: PictureServer) -> None:
    """Where an address leads elsewhere than before, it is not asked by the tag of the former place."""
    settings, address = allowed(tmp_path, server), url(server, "moved/1")
    server.leads_to = "/same/31?signature=a"
    assert read(settings, address) == jpeg(31)
    server.leads_to = "/same/31?signature=b"
    sent = server.downloads
    assert read(next_run(settings), address) == jpeg(31)
    assert server.downloads == sent, "only its signature is another"
    server.leads_to = "/same/32?signature=c"
    assert read(next_run(settings, "run-3"), address) == jpeg(32)


def test_a_picture_that_was_removed(tmp_path: Path, server: PictureServer) -> None:
    """A picture that somebody removed from the folder of kept ones is downloaded again."""
    settings, address = allowed(tmp_path, server), url(server, "p/23.jpg")
    assert read(settings, address) == jpeg(23)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".json":
            path.unlink()
    assert read(next_run(settings), address) == jpeg(23)


@pytest.mark.parametrize(
    "path", ["p/24.jpg?x=%2F%7e&y=a+b", "p/25.jpg?sig=a%2Bb%3D", "p/26.jpg?a[]=1"]
)
def test_signed_addresses_are_sent_as_they_are(
    tmp_path: Path, server: PictureServer, path: str
) -> None:
    """An address whose characters may all be sent is sent as it stands, as signatures want it."""
    assert isinstance(read(allowed(tmp_path, server), url(server, path)), bytes)
    assert server.lines[f"/{path.partition('?')[0]}"] == f"/{path}"


@pytest.mark.parametrize(
    "name", ["p/27.jpg?n=a b", "p/28.jpg?n=ä", "p/29.jpg?n=50%", "p/30.jpg?n=\x7f"]
)
def test_other_characters_are_encoded(tmp_path: Path, server: PictureServer, name: str) -> None:
    """Spaces, letters of other alphabets and stray signs are encoded; nothing splits a request."""
    assert isinstance(read(allowed(tmp_path, server), url(server, name)), bytes)
    assert server.lines[f"/{name.partition('?')[0]}"].isascii()


def test_a_disk_that_is_full_is_no_fault_of_a_host(tmp_path: Path, server: PictureServer) -> None:
    """Where pictures cannot be kept, the run says so, and not that hosts failed."""
    (tmp_path / "kept").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="kept"):
        read(allowed(tmp_path / "kept", server), url(server, "p/1.jpg"))


def test_how_many_are_fetched_at_once(tmp_path: Path) -> None:
    """A host is asked for as many pictures at once as it may be, and for no more; all hosts together
    for a bounded number.
    """
    with picture_server() as server:
        server.delay_secs = 0.05
        hosts = [Host("*.shop.example", server.port), parse_host(f"127.0.0.1:{server.port}")]

        async def resolve(host: str, port: int, **_: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        for number, (names, most) in enumerate(((1, 3), (40, 12))):
            settings = options(tmp_path / str(number), *hosts, per_host=3, max_bytes=1 << 29)
            settings = replace(settings, max_bytes=(1 << 29) // 12)
            server.most_at_once = 0
            done: list[int] = []
            RemotePictures(settings, resolve).fetch(
                (f"http://{n % names}.shop.example:{server.port}/p/{n}.jpg" for n in range(60)),
                done.append,
            )
            assert sum(done) == 60
            assert most // 2 < server.most_at_once <= most


def test_a_slow_host_holds_up_nobody(tmp_path: Path, server: PictureServer) -> None:
    """Pictures of other hosts are there while one host keeps everybody waiting."""
    seen: list[float] = []
    slow = [f"http://localhost:{server.port}/silent/{n}" for n in range(30)]
    quick = [url(server, f"p/{n}.jpg") for n in range(100, 130)]
    mixed = [each for pair in zip(slow, quick, strict=True) for each in pair]
    hosts = (f"127.0.0.1:{server.port}", f"localhost:{server.port}")
    settings = options(tmp_path, *hosts, timeout_secs=3.0, per_host=8)
    began = time.monotonic()
    RemotePictures(settings).fetch(mixed, lambda _: seen.append(time.monotonic() - began))
    assert seen[len(quick) - 1] < 3.0

"""One client for http and https, aiohttp as for language models.

(session, address, what is known of it) → Answer | ProblemError. What keeps it from doing harm:

- only hosts that were named are asked, redirects included, and of their addresses only public ones,
  or those that were named themselves. This is checked where the socket is made, of the very address
  that it will connect to: what a name resolves to a second time does not count;
- no proxy of the environment, no cookies, no passwords in addresses, certificates are checked, and
  nothing is run or unpacked beyond the limit on bytes;
- one picture takes at most `timeout_secs` in all.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urldefrag, urljoin, urlsplit

from transforms.images.formats import read_format
from transforms.images.references import shown
from transforms.images.remote.addresses import why_forbidden
from transforms.images.remote.hosts import PORTS, ascii_name, host_of
from transforms.images.remote.known import Kept
from transforms.images.remote.options import FetchOptions
from transforms.images.remote.outcome import ProblemError, too_large

if TYPE_CHECKING:
    import aiohttp
    import yarl

MAX_REDIRECTS = 5
_CHUNK_BYTES = 1 << 16
_LOOKED_AT_BYTES = 64
_REDIRECTS = (301, 302, 303, 307, 308)
_FORBIDDEN = "leads to an address that is not asked: {}; name it in --fetch-images if it is yours"
_NOT_PICTURES = re.compile(
    r"(?:text|audio|video|multipart|message|font)/|"
    r"application/(?!octet-stream|x-download|binary|force-download)",
    re.IGNORECASE,
)
# An address that is sent as it stands, as signatures want it; others are encoded first.
_ENCODED = re.compile(r"(?:[\w.~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_UNUSABLE = "is no address that can be asked; write it as https://host/path"

# As `loop.getaddrinfo`.
Resolve = Callable[..., Any]


@dataclass(frozen=True)
class Answer:
    """What a host answered. data: None where the picture has not changed since it was kept; the
    others as in Kept.
    """

    data: bytes | None
    etag: str = ""
    modified: str = ""
    final: str = ""


class _ForbiddenError(OSError):
    pass


@dataclass(frozen=True)
class HttpClient:
    """Asks hosts. resolve: for tests."""

    options: FetchOptions
    resolve: Resolve | None = None

    def check(self, address: str, *, is_redirect: bool = False) -> SplitResult:
        """Raise ProblemError for an address that must not be asked."""
        try:
            url = urlsplit(address)
            host = host_of(self.options.hosts, url)
        except ValueError:
            # What Python says of it repeats the part that may be a password.
            raise ProblemError("image-path-invalid", _UNUSABLE) from None
        if "@" in url.netloc:
            raise ProblemError("image-address-secret", "holds a name or password; remove it")
        if url.scheme in PORTS and host is not None:
            return url
        if is_redirect:
            fault = f"leads to {shown(address)}, of a host that --fetch-images does not name"
            raise ProblemError("image-redirect-refused", fault)
        fault = f"is of a host that --fetch-images does not name; add {url.hostname}"
        raise ProblemError("image-host-not-allowed", fault)

    def session(self) -> aiohttp.ClientSession:
        """Return a session; use it in the loop that makes it."""
        import aiohttp

        return aiohttp.ClientSession(
            connector=self._connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",
                "User-Agent": "catalog-enrich",
            },
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def ask(self, session: aiohttp.ClientSession, address: str, before: Kept) -> Answer:
        """Ask for a picture, or whether it has changed since it was kept."""
        import aiohttp

        try:
            async with asyncio.timeout(self.options.timeout_secs):
                return await self._asked(session, address, before)
        except TimeoutError:
            secs = f"{self.options.timeout_secs:g} s"
            fault = f"was not there whole within {secs}; raise --fetch-timeout-secs"
            raise ProblemError("image-too-slow", fault) from None
        except ProblemError:
            raise
        except Exception as error:  # aiohttp's many kinds, and those of the systems below
            if forbidden := _forbidden_in(error):
                fault = _FORBIDDEN.format(forbidden)
                raise ProblemError("image-address-forbidden", fault) from None
            fault = f"broke off ({type(error).__name__})"
            if isinstance(error, aiohttp.ClientSSLError):
                fault = "is of a host whose certificate is not valid"
            raise ProblemError("image-fetch-failed", fault) from None

    async def _asked(self, session: aiohttp.ClientSession, address: str, before: Kept) -> Answer:
        at = address
        for _ in range(MAX_REDIRECTS + 1):
            url = _as_sent(at, self.check(at, is_redirect=at != address))
            final = _hash(url)
            # Of another address the same tag may be another picture's.
            is_same = bool(before.digest) and before.final in ("", final)
            headers = _conditions(before) if is_same else {}
            async with session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status == 304 and headers:
                    return Answer(None)
                if response.status not in _REDIRECTS:
                    return await self._answered(response, final)
                at = urljoin(at, response.headers.get("Location", ""))
        raise ProblemError(
            "image-redirect-refused",
            f"leads on more than {MAX_REDIRECTS} times; write the last address",
        )

    async def _answered(self, response: aiohttp.ClientResponse, final: str) -> Answer:
        if response.status == 429 or response.status >= 500:
            fault = f"was answered with HTTP {response.status}; the next run asks again"
            raise ProblemError("image-fetch-failed", fault)
        if response.status != 200:
            raise ProblemError("image-fetch-status", f"was answered with HTTP {response.status}")
        if (response.content_length or 0) > self.options.max_bytes:
            raise too_large(self.options.max_bytes)
        data = await self._body(response)
        if not _has_end(response):
            # Nobody can tell whether this is all of it: the next run downloads it again.
            return Answer(data, final=final)
        etag, modified = (_token(response, name) for name in ("ETag", "Last-Modified"))
        return Answer(data, etag, modified, final)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the unpacked body, of which no more is ever held than is allowed."""
        packed = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("identity", "", "gzip", "x-gzip", "deflate"):
            raise ProblemError(
                "image-content-type", f"is packed as {packed[:40]!r}, which was not asked for"
            )
        unpack = zlib.decompressobj(47) if packed not in ("identity", "") else None
        kind, is_looked_at, content = response.headers.get("Content-Type", ""), False, bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            room = self.options.max_bytes + 1 - len(content)
            content += unpack.decompress(chunk, room) if unpack else chunk
            if len(content) > self.options.max_bytes:
                raise too_large(self.options.max_bytes)
            if not is_looked_at and len(content) >= _LOOKED_AT_BYTES:
                is_looked_at = True
                _refuse_others(kind, content)
        if not content:
            raise ProblemError("image-empty", "has zero bytes")
        if not is_looked_at:
            _refuse_others(kind, content)
        if unpack and not unpack.eof:
            raise ProblemError("image-fetch-failed", "broke off before its packed data ended")
        return bytes(content)

    def _connector(self) -> aiohttp.TCPConnector:
        import aiohttp
        from aiohttp.abc import AbstractResolver, ResolveResult

        client = self

        class Resolver(AbstractResolver):
            async def resolve(
                self,
                host: str,
                port: int = 0,
                family: int = socket.AF_INET,  # noqa: ARG002
            ) -> list[ResolveResult]:
                return await client._resolved(host, port)

            async def close(self) -> None:
                return None

        return aiohttp.TCPConnector(
            resolver=Resolver(),
            use_dns_cache=False,
            limit=self.options.at_once,
            limit_per_host=self.options.per_host,
            socket_factory=self._socket,
        )

    async def _resolved(self, host: str, port: int) -> list[Any]:
        loop = asyncio.get_running_loop()
        ask = self.resolve or loop.getaddrinfo
        found = await ask(host, port, type=socket.SOCK_STREAM)
        return [
            {
                "hostname": host,
                "host": address[0],
                "port": port,
                "family": family,
                "proto": proto,
                "flags": socket.AI_NUMERICHOST,
            }
            for family, _, proto, _, address in found
        ]

    def _socket(self, info: Any) -> socket.socket:
        """Make the socket that will connect to this address, and to no other."""
        family, kind, proto, _, address = info
        # What a host that was named leads to may be named by its address as well.
        named = tuple(
            network
            for host in self.options.hosts
            if address[1] in ((host.port,) if host.port else PORTS.values())
            for network in host.named
        )
        if why := why_forbidden(address[0], named):
            raise _ForbiddenError(f"{address[0]} {why}")
        made = socket.socket(family, kind, proto)
        made.setblocking(False)
        return made


def _forbidden_in(error: BaseException | None) -> str:
    """Return what a refused socket said, wherever it stands in what the client raised."""
    while error is not None:
        if isinstance(error, _ForbiddenError):
            return str(error)
        if isinstance(error, BaseExceptionGroup):
            return next(filter(None, map(_forbidden_in, error.exceptions)), "")
        error = getattr(error, "os_error", None) or error.__cause__ or error.__context__
    return ""


def _refuse_others(kind: str, content: bytearray) -> None:
    """Raise ProblemError for what is called anything else than a picture and does not begin as one;
    many servers call a picture a text.
    """
    if _NOT_PICTURES.match(kind) and read_format(bytes(content[:_LOOKED_AT_BYTES])) is None:
        sent = kind.partition(";")[0][:60]
        fault = f"is {sent!r} and no picture; write the address of a picture"
        raise ProblemError("image-content-type", fault)


def _as_sent(address: str, checked: SplitResult) -> yarl.URL:
    """Return the address as the client reads it; ProblemError where that is another host than the
    one that was checked.
    """
    import yarl

    text = urldefrag(address).url
    try:
        url = yarl.URL(text, encoded=_ENCODED.fullmatch(text) is not None)
        read = url.scheme, ascii_name(url.raw_host or ""), url.port
    except ValueError:
        raise ProblemError("image-path-invalid", _UNUSABLE) from None
    port = checked.port or PORTS[checked.scheme]
    if read != (checked.scheme, ascii_name(checked.hostname or ""), port):
        raise ProblemError("image-path-invalid", _UNUSABLE)
    return url


def _hash(url: yarl.URL) -> str:
    place = f"{url.scheme}://{url.raw_host}:{url.port}{url.raw_path}"
    return hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _conditions(before: Kept) -> dict[str, str]:
    asked = {"If-None-Match": before.etag, "If-Modified-Since": before.modified}
    return {name: value for name, value in asked.items() if value}


def _token(response: aiohttp.ClientResponse, name: str) -> str:
    """Return a header that is sent back as it came; empty for one that could not be."""
    value: str = response.headers.get(name, "")
    return value if value.isascii() and value.isprintable() else ""


def _has_end(response: aiohttp.ClientResponse) -> bool:
    """Tell whether an answer says where it ends, other than by closing the connection."""
    is_chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return is_chunked or response.content_length is not None

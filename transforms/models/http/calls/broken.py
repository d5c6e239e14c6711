"""What it means that an attempt brought no response: by what the network, TLS or a proxy said."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from transforms.models.contract import Failure
from transforms.models.http.failures import FailedAttempt, failed_response
from transforms.models.http.messages import quoted, redact
from transforms.models.metering import Stated

if TYPE_CHECKING:
    import aiohttp

_NO_TLS = "its address begins with https://, but it does not speak TLS: write http:// and run again"
_PROXY = "look at --proxy, and whether it lets this server be asked, and run again"
# Of OpenSSL's codes; any other is about who signed.
_NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_IP = 9, 10, 62, 64
_BY_CODE = {
    _NOT_YET: "look at the clocks of both machines",
    _EXPIRED: "have it renewed, or look at this machine's clock",
    _OTHER_NAME: "name the server as its certificate does, in its base URL",
    _OTHER_IP: "name the server as its certificate does, in its base URL",
}
_AUTHORITY = "name the file of its authority's certificate with --ca-file"


def broken_off(error: Exception, timeout_secs: float, key: str) -> FailedAttempt:
    """Return how an attempt failed that raised this; `key` is kept out of the message."""
    import aiohttp

    # In this order: aiohttp's timeout of a connection is a TimeoutError too, its refused connection
    # a ClientError, and what TLS and proxies refuse are kinds of both.
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _not_trusted(error.certificate_error, key)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        failure = failed("no connection by TLS", error, key, "model-error")
        return FailedAttempt(failure, retry=False, fatal=_NO_TLS)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _by_proxy(error, key)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        failure = failed("no connection", error, key, "model-error")
        return FailedAttempt(failure, unreachable=True)
    # Whoever hung up or is still at work may have written a whole answer.
    if isinstance(error, TimeoutError):
        message = f"no whole answer within {timeout_secs:g} s"
        return FailedAttempt(Failure("model-timeout", message), taken=Stated())
    failure = failed("the connection broke", error, key, "model-error")
    return FailedAttempt(failure, taken=Stated())


def failed(
    problem: str, error: BaseException, key: str = "", reason: str = "backend-failed"
) -> Failure:
    """Return the Failure of what raised an error."""
    return Failure(reason, redact(f"{problem}: {type(error).__name__}: {error}", key))


def _not_trusted(error: Exception, key: str) -> FailedAttempt:
    cause = getattr(error, "verify_message", "") or str(error)
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    failure = Failure("model-error", redact(f"its certificate is not trusted: {cause}", key))
    return FailedAttempt(
        failure, retry=False, fatal=f"{_BY_CODE.get(code, _AUTHORITY)}, and run again"
    )


def _by_proxy(error: aiohttp.ClientHttpProxyError, key: str) -> FailedAttempt:
    """Return how an attempt failed that did not come past the proxy."""
    said = error.message.encode()
    if error.status == 407 or error.status >= 500:
        return failed_response(error.status, {}, said, key)
    message = redact(f"the proxy answered HTTP {error.status}: {quoted(said, key)}", key)
    return FailedAttempt(Failure("model-error", message), retry=False, fatal=_PROXY)

"""Secrets by their shape: passwords and queries of addresses, headers, and what looks like a key.

Standard library only, and nothing of this program: what masks the output of other processes reads
this file by its path (pump.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable

MASK = "[key]"
# What stands in the place of a secret that a variable holds is none.
_NO_NAME = r"(?!env:[A-Za-z_]\w*)"
_QUERY_MASK = "?..."
# Of these a `?` is a character of a name, or stands for one.
_STORES = frozenset(["s3", "gs", "hdfs", "azfs", "file", ""])

# One reference, whatever stands in it and however broken the address is.
_IN_REFERENCES = (
    (re.compile(r"//[^/]*@"), "//"),
    # Bounded, here and below: what has no end is looked for again from each beginning.
    # With a slash in the password, or without the slashes of an address.
    (re.compile(r"//[^/@:]*:(?!\d+/)[^@?#]{0,2000}@"), "//"),
    (re.compile(r"(?<![^/\s:@])[^/\s:@]+:[^/\s@]{0,2000}@"), ""),
    # What stands in the place of a port.
    (re.compile(r"(//[^/:?#\[]*):(?!\d*(?:[/?#]|$))[^/?#]*"), r"\1:..."),
    (re.compile(r"\?(?=[^?]*=).*", re.DOTALL), _QUERY_MASK),
)

# In a text an address ends at a space or quote; JSON may have escaped its slashes.
_ADDRESS = re.compile(
    r"(?:(?<![A-Za-z0-9+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}):)?"
    r"(?P<slashes>(?:\\{0,2}/){2})(?P<rest>[^\s\"'<>`]+)"
)
_PORT = r"(?:\d{0,5}(?!\w)|PORT\b)"
_USER = re.compile(rf"[^/?#]*@|[^/@:?#]*:(?!{_PORT})[^@]*@")
# A password with spaces or quotes: the address seems to end within it.
_TORN_USER = re.compile(
    rf"(?<=:)((?:\\{{0,2}}/){{2}})[^/\s@:?#]*:(?!{_PORT})[^/@\n]{{0,200}}@", re.IGNORECASE
)
_NO_PORT = re.compile(rf"([^/:?#\[@]*):(?!{_PORT})[^/?#]+")
_SAID = (
    r"[\w.-]{0,40}(?:token|key|secret|passw|pwd|signature|credential|auth|x-amz-)[\w.-]{0,40}|sig"
)
_ANY_QUERY = re.compile(r"\?(?=[\w%&=;~+-]).*", re.DOTALL)
_STORE_QUERY = re.compile(
    rf"\?(?:[A-Za-z][\w.-]*=[^/]*$|(?:[^?&]*&)*?(?:{_SAID})=).*", re.DOTALL | re.IGNORECASE
)
_FRAGMENT = re.compile(r"#(?=[^#]*=).*", re.DOTALL)
_BARE_QUERY = re.compile(rf"(?<=[?&])(?P<name>{_SAID})=[^\s&\"'<>`]+", re.IGNORECASE)
_BARE_USER = re.compile(
    r"(?<![\w/.%+-])(?!mailto:)[\w.+%-]{1,64}:[^\s/@:]{1,256}@"
    r"(?=[\w-]+(?:\.[\w-]+)+|[\w-]+:\d|\[|localhost\b)"
)

_HEADER = re.compile(
    r"(?<![\w-])((?:proxy-)?authorization|(?:x-)?api-key|x-goog-api-key|x-amz-security-token"
    r"|x-auth-token|(?:set-)?cookie)(\\?[\"']?\s*[:=]\s*\\?[\"']?)"
    rf"{_NO_NAME}[^\s\"'\\][^\"'\\\r\n]*",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"\b(Bearer[ +]+)[A-Za-z0-9._~+/=-]{16,}"
    r"|\b(Basic[ +]+)(?=[A-Za-z0-9+/]*[0-9=+/])[A-Za-z0-9+/]{12,}={0,2}"
)
_NAME_OF_ONE = (
    r"(?:[\w.-]{0,64}[_.-])?(?:api[_-]?key|secret(?:[_-]?(?:access[_-]?)?key)?"
    r"|access[_-]?key(?:[_-]?id)?"
    r"|(?:access|auth|session|security|refresh|hf)[_-]?token|password|passwd|passphrase|pwd"
    r"|account[_-]?key|connection[_-]?string)"
)
_NAMED = re.compile(
    rf"(?<![\w.-])({_NAME_OF_ONE}(?:=\\?[\"']?|\\?[\"']\s*[:=]\s*\\?[\"']))"
    rf"(?!\[key\]){_NO_NAME}[^\s\"'&,;)\]}}\\]{{4,}}",
    re.IGNORECASE,
)
_FLAG = re.compile(
    r"(?<![\w-])(--[\w-]{0,64}(?:token|api[_-]?key|password|secret|access[_-]?key)(?:=|\s+))(?![-\[])\S{4,}",
    re.IGNORECASE,
)
# As the providers document them. A word such as `sk-ii-facial-treatment` is none.
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-(?:(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{16,}|(?=[a-z]*\d)[0-9a-z]{20,})"
    r"|(?:hf|gsk|xai|r8)_[A-Za-z0-9]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])|AIza[\w-]{35}"
    r"|xox[abprs]-[\w-]{10,}|nvapi-[\w-]{20,}|sk_(?:live|test)_\w{16,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)


def without_secrets(reference: str) -> str:
    """Return a reference without passwords and signatures, however broken the address is that they
    stand in.

    >>> without_secrets("https://me:secret@shop.example/a.jpg?sig=abc")
    'https://shop.example/a.jpg?...'
    """
    is_address = "//" in reference
    for secret, left in _IN_REFERENCES:
        reference = secret.sub(left, reference)
    if is_address:
        path, query, _ = reference.partition("?")
        reference = path.partition("#")[0] + (_QUERY_MASK if query else "")
    return reference


def masked_by_shape(text: str) -> str:
    """Return a text without what has the shape of a secret, for messages and logs.

    >>> masked_by_shape("GET https://me:pass@shop.example/a?sig=1 failed: Authorization: Bearer x")
    'GET https://shop.example/a?... failed: Authorization: [key]'
    """
    folded = text.lower()
    for _, marks, step in _STEPS:
        if any(mark in folded for mark in marks):
            text = step(text)
    return text


def public_addresses(text: str) -> str:
    """Return a text of a catalog with its addresses without passwords and queries.

    >>> public_addresses("at https://shop.example/a.jpg?sig=abc, or sk-ii")
    'at https://shop.example/a.jpg?... or sk-ii'
    """
    if "@" in text:
        text = _users(text)
    return _queries(text) if "?" in text or "#" in text else text


def shape_of_secret(text: str) -> str:
    """Return what in a text has the shape of a secret, in words; nothing if nothing has.

    >>> shape_of_secret("https://me:pass@shop.example"), shape_of_secret("catalog/202?/*.jsonl")
    ('a name or password (NAME:PASSWORD@)', '')
    """
    return next((what for what, _, step in _STEPS if step(text) != text), "")


def has_key(text: str) -> bool:
    """Tell whether a text holds what looks like a key of a provider or a private key."""
    return _keys(text) != text


def _users(text: str) -> str:
    text = _TORN_USER.sub(r"\1", text)
    text = _ADDRESS.sub(_without_user, text)
    return _BARE_USER.sub("...@", text)


def _without_user(found: re.Match[str]) -> str:
    start = found[0][: found.start("rest") - found.start()]
    return start + _USER.sub("", found["rest"], count=1) if _USER.match(found["rest"]) else found[0]


def _queries(text: str) -> str:
    return _BARE_QUERY.sub(r"\g<name>=...", _ADDRESS.sub(_without_query, text))


def _without_query(found: re.Match[str]) -> str:
    start = found[0][: found.start("rest") - found.start()]
    if (found["scheme"] or "").lower() in _STORES:
        return start + _STORE_QUERY.sub(_QUERY_MASK, found["rest"])
    return start + _FRAGMENT.sub("#...", _ANY_QUERY.sub(_QUERY_MASK, found["rest"]))


def _ports(text: str) -> str:
    return _ADDRESS.sub(_without_port, text)


def _without_port(found: re.Match[str]) -> str:
    start = found[0][: found.start("rest") - found.start()]
    if not (torn := _NO_PORT.match(found["rest"])):
        return found[0]
    return f"{start}{torn[1]}:...{found['rest'][torn.end() :]}"


def _headers(text: str) -> str:
    text = _HEADER.sub(rf"\1\2{MASK}", text)
    return _SCHEME.sub(lambda found: (found[1] or found[2]) + MASK, text)


def _named(text: str) -> str:
    return _FLAG.sub(rf"\1{MASK}", _NAMED.sub(rf"\1{MASK}", text))


def _keys(text: str) -> str:
    return _KEY.sub(MASK, _PRIVATE_KEY.sub(MASK, text))


# What it is in words, what a text holds that has any, and what takes it out.
_STEPS: tuple[tuple[str, tuple[str, ...], Callable[[str], str]], ...] = (
    ("a name or password (NAME:PASSWORD@)", ("@",), _users),
    ("a query (?NAME=VALUE), which may be a key or signature", ("?", "#", "&"), _queries),
    ("something else than a port behind its host", ("/",), _ports),
    (
        "a header with a key",
        ("auth", "api-key", "amz-", "cookie", "bearer", "basic"),
        _headers,
    ),
    ("a key or password", ("key", "secret", "token", "pass", "pwd", "connection"), _named),
    (
        "what looks like a key",
        ("sk", "hf_", "xai_", "r8_", "gh", "glpat-", "a", "xox", "nvapi-", "eyj"),
        _keys,
    ),
)

"""Secrets by their value: what the environment holds of keys, tokens and passwords is written
nowhere, whoever says it and however it is escaped.

Standard library only, and nothing of this program, as shapes.py.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "[key]"
# What servers on one's own machine take for a key is often a word: none, local, EMPTY.
MIN_CHARS = 8
# Of a variable that nobody named; its name alone is no proof.
MIN_GUESSED_CHARS = 16
# What providers and stores read; `watch` adds those that options name.
KNOWN_VARIABLES = frozenset(
    [
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "AZURE_OPENAI_API_KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HUGGINGFACE_HUB_TOKEN",
        "MISTRAL_API_KEY",
        "VLLM_API_KEY",
        "WANDB_API_KEY",
    ]
)
_LIKE_A_SECRET = re.compile(
    r"(?:^|_)(?:API_?KEY|ACCESS_?KEY(?:_ID)?|SECRET(?:_?(?:ACCESS_?)?KEY)?|TOKEN|PASSWORD|PASSWD"
    r"|PASSPHRASE|PASS|CONNECTION_STRING|SAS)$",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"://[^/\s@:]*:([^\s@]+)@")
_ENCODED = "A-Za-z0-9+/_="
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|[nrt]|(.))", re.DOTALL)
_BREAK = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_BETWEEN = r"(?:[ \t]*(?:\r?\n|\\+[rn])+[ \t]*)?"
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "sol": "/"}
# Escapes within escapes within escapes; so many of a long text would take too long.
_MAX_STEPS, _SHORT_CHARS = 3, 1 << 16
_watched: set[str] = set()


def watch(*names: str) -> None:
    """Take the values of these environment variables for secrets, too."""
    if not _watched.issuperset(names):
        _watched.update(names)
    refresh()


def watched() -> tuple[str, ...]:
    """Return the names that `watch` was given, for another process."""
    return tuple(sorted(_watched))


def refresh() -> None:
    """Read the environment again."""
    _secrets.cache_clear()


def hidden(text: str) -> str:
    r"""Return the text with the mask in place of each secret of the environment, also where it is
    percent-encoded, base64, escaped, or broken over lines.
    """
    secrets = _secrets()
    readings = _readings(text) if secrets else ()
    for secret in secrets:
        if secret.is_in(readings):
            text = secret.taken_out(text)
            readings = _readings(text)
    return text


def has_values() -> bool:
    """Tell whether the environment holds any secret."""
    return bool(_secrets())


def name_of_secret(text: str) -> str:
    """Return the name of an environment variable whose secret a text holds, or nothing."""
    readings = _readings(text)
    return next((secret.name for secret in _secrets() if secret.is_in(readings)), "")


@dataclass(frozen=True)
class _Secret:
    """A value of the environment and the ways in which it may be written.

    plain: what it is found by at once; encoded: base64 and hexadecimal, of which what stands around
    belongs to it; letters: a pattern of every way to write each of its characters.
    """

    name: str
    text: str
    plain: tuple[str, ...]
    encoded: tuple[str, ...]
    letters: re.Pattern[str]

    def is_in(self, readings: tuple[str, ...]) -> bool:
        """Tell whether a text of these `_readings` holds it in any way."""
        ways = (self.text, *self.encoded)
        return any(way in reading for reading in readings for way in ways)

    def taken_out(self, text: str) -> str:
        """Return the text without it; of a text that hides it too well nothing is left."""
        for each in sorted(self.plain, key=len, reverse=True):
            text = text.replace(each, MASK)
        for each in self.encoded:
            if each in text:
                around = rf"[{_ENCODED}-]{{0,400}}"
                text = re.sub(around + re.escape(each) + around, MASK, text)
        if self.is_in(_readings(text)):
            text = self.letters.sub(MASK, text)
        return MASK if self.is_in(_readings(text)) else text


def _readings(text: str) -> tuple[str, ...]:
    """Return the text and what it says when one, two or three of the steps below are taken."""
    found, latest = {text: None}, [text]
    for _ in range(_MAX_STEPS if len(text) <= _SHORT_CHARS else 2):
        read = [step(each) for each in latest for mark, step in _STEPS if mark in each]
        latest = [each for each in dict.fromkeys(read) if each not in found]
        found.update(dict.fromkeys(latest))
    return tuple(found)


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    if code:
        return chr(int(code, 16))
    return found[3] if found[3] is not None else "\n"


def _joined(text: str) -> str:
    return _BREAK.sub("", text)


# What a text has that the step reads, and the step.
_STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("%", unquote),
    ("+", unquote_plus),
    ("\\", lambda text: _ESCAPE.sub(_unescaped, text)),
    ("&", html.unescape),
    ("\n", _joined),
    ("\r", _joined),
)


@lru_cache(maxsize=1)
def _secrets() -> tuple[_Secret, ...]:
    named: dict[str, str] = {}
    for name, value in os.environ.items():
        for text in _secrets_of(name, value):
            named.setdefault(text, name)
    # Of two that hold each other the longer one goes first.
    return tuple(_secret(named[text], text) for text in sorted(named, key=len, reverse=True))


def _secrets_of(name: str, value: str) -> list[str]:
    found = [password for password in _PASSWORD.findall(value) if _is_secret(password, MIN_CHARS)]
    found += [unquote(each) for each in found if "%" in each]
    text = value.strip()
    if name in KNOWN_VARIABLES or name in _watched:
        found += [text] if _is_secret(text, MIN_CHARS) else []
    elif _LIKE_A_SECRET.search(name) and _is_secret(text, MIN_GUESSED_CHARS):
        # A word or a path is no secret, whatever its variable is called.
        is_mixed = any(map(str.isdigit, text)) and any(map(str.isalpha, text))
        found += [text] if is_mixed and not text.startswith(("/", "~")) else []
    return found


def _is_secret(text: str, min_chars: int) -> bool:
    # What has only digits could not be told from a number.
    return len(text) >= min_chars and not text.isdecimal() and len(set(text)) > 2


def _secret(name: str, text: str) -> _Secret:
    data = text.encode("utf-8", "surrogateescape")
    plain = [
        text,
        quote(data, safe=""),
        quote_plus(data, safe=""),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        repr(text)[1:-1],
        html.escape(text),
        html.escape(text, quote=False),
    ]
    lowered = [re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), each) for each in plain]
    encoded = [*_base64_cores(data), data.hex(), data.hex().upper()]
    letters = _BETWEEN.join(_ways_to_write(char) for char in text)
    return _Secret(
        name,
        text,
        tuple(dict.fromkeys([*plain, *lowered])),
        tuple(dict.fromkeys(encoded)),
        re.compile(letters),
    )


def _base64_cores(data: bytes) -> list[str]:
    """Return what stands in base64 wherever the bytes do: at each of the three offsets the
    characters that no byte before or after has a part in.
    """
    cores = []
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * offset + data).decode().rstrip("=")
            begin = (0, 2, 3)[offset]
            end = len(whole) if (offset + len(data)) % 3 == 0 else len(whole) - 1
            cores.append(whole[begin:end])
    return cores


def _ways_to_write(char: str) -> str:
    code, ways = ord(char), [rf"\\*{re.escape(char)}"]
    ways.append("".join(f"%(?i:{byte:02x})" for byte in char.encode("utf-8", "surrogateescape")))
    ways += [
        rf"\\+u(?i:{code:04x})",
        rf"\\+x(?i:{code:02x})",
        rf"&#0*{code};",
        f"&#[xX]0*(?i:{code:x});",
    ]
    ways += [f"&{name};" for name, says in _ENTITIES.items() if says == char]
    return f"(?:{'|'.join(ways)})"

"""Text for terminals: what comes from a catalog is shown, never obeyed."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with control and invisible characters as escapes, so that no catalog can steer a
    terminal.

    >>> printable("red\x1b[2J\u202e")
    'red\\x1b[2J\\u202e'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )

"""What HTML pages of this project share: texts made safe to look at, small pictures, and a content
policy.

Catalog texts are untrusted: pages escape every one, show what cannot be seen as escapes, and load
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re

from schemas.secrets import public_addresses
from schemas.texts import one_line
from transforms.images.decode import decode
from transforms.images.files import ImageLimits, PictureProblem

MAX_TEXT_CHARS = 400
# Controls, half surrogates and marks that reorder the text around them; what merely joins letters
# stays.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def clean(text: str, max_chars: int = MAX_TEXT_CHARS) -> str:
    r"""Return the text in one line, shortened to `max_chars`, what cannot be seen or stored as an
    escape, addresses without passwords and queries.

    >>> clean("red\n\x1b[2J \u202eder")
    'red \\x1b[2J \\u202eder'
    """
    line = one_line(public_addresses(text), max_chars)
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), line)


def thumbnail(
    data: bytes | PictureProblem, limits: ImageLimits, max_side_px: int, quality: int = 75
) -> str | PictureProblem:
    """Return a data URI of the picture as a JPEG, no side longer than `max_side_px`.

    data: as it was read; a problem stays one.
    """
    if isinstance(data, PictureProblem):
        return data
    decoded = decode(data, hashlib.sha256(data).hexdigest(), limits, max_side_px)
    if isinstance(decoded, PictureProblem):
        return decoded
    stream = io.BytesIO()
    decoded.picture.image.save(stream, "JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def content_policy(style: str, script: str) -> str:
    """Return a policy that lets a page use this style, this script and inlined pictures, and load
    nothing.
    """
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    allowed = f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"

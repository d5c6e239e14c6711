"""Servers that answer with statuses nobody expects."""

from __future__ import annotations

import json
from typing import Any

from tests.misbehaviour.contract import USED, Respond, Row, sends, whole


def _range(first: int, cut: int) -> Respond:
    """A part of an answer that says which one it is."""

    def part(body: dict[str, Any]) -> bytes:
        return json.dumps(whole(body)).encode()[first : cut or None]

    return sends(part, 206, Content_Range=f"bytes {first}-99/{100 if not cut else 5000}")


BEHAVIOURS: dict[str, Row] = {
    **{f"status-{code}": (USED, sends(whole, code)) for code in (201, 202, 203, 206, 226)},
    "status-206-whole": (USED, _range(0, 0)),
    "status-206-part": ("model-error", _range(0, 100)),
    "status-206-end": ("model-error", _range(50, 0)),
    **{
        f"status-{code}-empty": ("model-error", sends(lambda body: b"", code))
        for code in (200, 202, 204, 205)
    },
    "status-299-error": ("model-error", sends(lambda body: {"error": {"message": "no"}}, 299)),
    "status-403-moderated": (
        "model-refused",
        sends(lambda body: {"error": {"message": "requires moderation: violence"}}, 403),
    ),
    "status-400-filtered": (
        "model-refused",
        sends(
            lambda body: {"error": {"code": "content_filter", "message": "management policy"}}, 400
        ),
    ),
    "text-plain": (USED, sends(whole, Content_Type="text/plain")),
    "octet-stream": (USED, sends(whole, Content_Type="application/octet-stream")),
    "status-304": ("model-error", sends(lambda body: b"", 304)),
    "status-500-with-usage": (
        "model-error",
        sends(lambda body: {"error": {"message": "late"}, "usage": whole(body)["usage"]}, 500),
    ),
    "status-599": ("model-error", sends(lambda body: b"\xff\xfe\x00", 599)),
}

"""Servers that answer with statuses nobody expects."""

from __future__ import annotations

import json
from typing import Any

from tests.misbehaviour.contract import USED, Behaviour, Respond, sends, whole


def _range(first: int, cut: int) -> Respond:
    """A part of an answer that says which one it is."""

    def part(body: dict[str, Any]) -> bytes:
        return json.dumps(whole(body)).encode()[first : cut or None]

    return sends(part, 206, Content_Range=f"bytes {first}-99/{100 if not cut else 5000}")


def _error(status: int, **error: str) -> Respond:
    return sends(lambda body: {"error": error}, status)


BEHAVIOURS: dict[str, Behaviour] = {
    **{
        f"status-{code}": Behaviour(USED, f"answers with HTTP {code}", sends(whole, code))
        for code in (201, 202, 203, 206, 226)
    },
    "status-206-whole": Behaviour(
        USED, "answers with HTTP 206 and a range that is the whole", _range(0, 0)
    ),
    "status-206-part": Behaviour(
        "model-error", "sends the first part of its answer, HTTP 206", _range(0, 100)
    ),
    "status-206-end": Behaviour(
        "model-error", "sends the last part of its answer, HTTP 206", _range(50, 0)
    ),
    **{
        f"status-{code}-empty": Behaviour(
            "model-error", f"sends HTTP {code} and nothing", sends(lambda body: b"", code)
        )
        for code in (200, 202, 204, 205)
    },
    "status-299-error": Behaviour(
        "model-error", "sends an error with HTTP 299", _error(299, message="no")
    ),
    "status-403-moderated": Behaviour(
        "model-refused",
        "refuses a prompt by its moderation, HTTP 403",
        _error(403, message="requires moderation: violence"),
        "openrouter.ai/docs, Errors",
    ),
    "status-400-filtered": Behaviour(
        "model-refused",
        "refuses a prompt by its filter, HTTP 400",
        _error(400, code="content_filter", message="management policy"),
        "Microsoft Learn, content filtering of Azure OpenAI",
    ),
    "text-plain": Behaviour(
        USED, "calls its JSON text/plain", sends(whole, Content_Type="text/plain")
    ),
    "octet-stream": Behaviour(
        USED,
        "calls its JSON application/octet-stream",
        sends(whole, Content_Type="application/octet-stream"),
    ),
    "status-304": Behaviour(
        "model-error", "says that nothing was modified", sends(lambda body: b"", 304)
    ),
    "status-500-with-usage": Behaviour(
        "model-error",
        "fails late, and says what it took",
        sends(
            lambda body: {"error": {"message": "late"}, "usage": whole(body)["usage"]},
            500,
        ),
    ),
    "status-599": Behaviour(
        "model-error", "sends HTTP 599 and bytes", sends(lambda body: b"\xff\xfe\x00", 599)
    ),
}

"""What no request gets past, in every dress that servers have for it: it is met few times, told in one line, and the
next run goes on from what was answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.misbehaviour import HostileServer
from tests.misbehaviour.ends import ENDINGS, MODEL, WRONG_KEY, Remedy
from tests.servers.conformance import ITEMS, ask_items
from tests.servers.network import certificate

KEY_NAME = "MISBEHAVIOUR_KEY"
# More than it takes to agree would be wasted, and fewer than there are questions.
MOST_CALLS, FEW = 5, 9


def told_alike(remedy: Remedy) -> Mapping[str, Any]:
    """The options of a run that does what the remedy says, as `ask_items` takes them."""
    given = dict(zip(remedy.options[::2], remedy.options[1::2], strict=True))
    return {"model": given.get("--describe-model", MODEL), "sees": "--max-pictures" not in given}


@pytest.mark.parametrize(
    ("name", "known"),
    [*((name, False) for name in ENDINGS), ("credit-402", True), ("model-400-alias", True)],
)
def test_what_no_request_gets_past_ends_the_run(
    name: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than five of many questions are sent, also where it is known how to ask, what to do is said in
    one line, and once it is done all items are answered at a call each.
    """
    remedy, marker = ENDINGS[name].remedy, f"[server: {name}]"
    options: dict[str, Any] = {"api_key_env": KEY_NAME, "learnt_dir": str(tmp_path / "learnt")}
    monkeypatch.setenv(KEY_NAME, WRONG_KEY)
    with HostileServer() as server:
        if known:
            learnt = ask_items(server, tmp_path / "before", items=1, **options)
            assert learnt.kept == 1
        asked = {"marker": marker, "marked": range(FEW), "items": FEW, **options}
        found = ask_items(server, tmp_path / "now", **asked)
        assert (found.kept, found.calls <= MOST_CALLS) == (0, True), found
        assert remedy.words in found.ended
        assert "run again: answers so far are kept" in found.ended
        assert found.ended.isprintable()
        assert WRONG_KEY not in found.ended
        server.mended = True
        monkeypatch.setenv(KEY_NAME, remedy.key)
        after = ask_items(server, tmp_path / "now", **asked | told_alike(remedy))
    assert (after.kept, after.calls) == (FEW, FEW), after


def test_a_certificate_is_refused_by_its_cause(tmp_path: Path) -> None:
    """Who signed it, whose it is, and that there is no TLS at all are told apart, after one call or none, each with
    what to do.
    """
    context, authority = certificate(tmp_path)
    server = HostileServer()
    server.tls = context
    with server:
        unknown = ask_items(server, tmp_path / "a")
        assert "self-signed" in unknown.ended
        assert "--ca-file" in unknown.ended
        elsewhere = server.url.replace("127.0.0.1", "localhost")
        other = ask_items(server, tmp_path / "b", endpoint=elsewhere, ca_file=str(authority))
        assert "localhost" in other.ended
        assert "name the server as its certificate does" in other.ended
        right = ask_items(server, tmp_path / "c", ca_file=str(authority))
    assert (unknown.calls, other.calls, right.calls, right.kept) == (0, 0, ITEMS, ITEMS)
    with HostileServer() as plain:
        secure = ask_items(plain, tmp_path / "d", endpoint=plain.url.replace("http", "https"))
    assert (secure.calls, "write http://" in secure.ended) == (0, True), secure


# What ends a run early, or nearly all of it: behaviour of the later items → options that make it short.
KINDS: dict[str, dict[str, Any]] = {
    "credit-402": {},
    "key-401": {},
    "model-404": {},
    "429": {"busy_secs": 0.4},
    "500": {"give_up_secs": 0.4, "busy_secs": 0},
    "closed": {"give_up_secs": 0.4},
    "hang": {"give_up_secs": 0.8, "timeout_secs": 0.4},
    "400": {},
}
ANSWERED = 8


@pytest.mark.parametrize("name", KINDS)
def test_answers_are_kept_whatever_ended_the_run(name: str, tmp_path: Path) -> None:
    """What was answered before the end is not asked again, the rest is, once each."""
    marker, later = f"[server: {name}]", range(ANSWERED, ITEMS)
    with HostileServer() as server:
        first = ask_items(
            server, tmp_path, marker=marker, marked=later, max_inflight=2, **KINDS[name]
        )
        answered = server.seen["ok"]
    assert first.kept <= answered <= ANSWERED
    with HostileServer() as mended:
        mended.always = "ok"
        second = ask_items(mended, tmp_path, marker=marker, marked=later)
    assert (second.kept, second.calls) == (ITEMS, ITEMS - answered)


def test_what_is_on_the_wire_when_a_run_ends_is_still_used(tmp_path: Path) -> None:
    """Answers that were paid for before the credit ended are waited for, and kept."""
    marker = "[server: credit-402]"
    with HostileServer() as server:
        server.slow_secs = 1.0
        first = ask_items(server, tmp_path, marker=marker, marked=range(4, ITEMS), max_inflight=8)
        assert first.ended
        answered = server.seen["ok"]
        assert answered > 1
        server.mended = True
        second = ask_items(server, tmp_path, marker=marker, marked=range(4, ITEMS))
    assert second.calls == ITEMS - answered


@pytest.mark.parametrize("name", ["redirect", "403"])
def test_refusals_that_come_before_slow_answers_are_their_items_own(
    name: str, tmp_path: Path
) -> None:
    """Answers that were on the wire when refusals agreed show that others are answered: the run goes on, whatever is
    refused faster than answers come; and the last few do not end it.
    """
    asked = {"marker": f"[server: {name}]", "marked": [10, 11, 12, 13, 7, 8, 9], "max_inflight": 8}
    with HostileServer() as server:
        server.slow_secs = 0.5
        first = ask_items(server, tmp_path, items=60, **asked)
        again = ask_items(server, tmp_path, items=60, **asked)
    assert (first.ended, first.kept) == ("", 60 - 7), first
    assert (again.ended, again.kept) == ("", 60 - 7), again

"""The program between another one's output and its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from schemas.secrets.pump import command, whole_lines
from tests.planted import MARK, holds


def test_what_passes_has_no_secrets() -> None:
    """Lines come through in their order, with bytes that are no text, without secrets by value, of
    named variables too, and by shape; signals to the job do not end it.
    """
    env = {**os.environ, "SHOP_SERVER": MARK, "HF_TOKEN": f"hf-{MARK}"}
    pump = subprocess.Popen(
        command(sys.executable, ["SHOP_SERVER"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
    )
    assert pump.stdin is not None
    pump.stdin.write(b"begins\n")
    pump.stdin.flush()
    pump.send_signal(signal.SIGSTOP)
    pump.send_signal(signal.SIGCONT)
    lines = f"is {MARK}\nhttps://me:pass@h/?a=b\nsplit {MARK[:9]}\n{MARK[9:]}\n".encode()
    told, _ = pump.communicate(lines + b"odd \xff\xfe\nends without a break")
    assert pump.returncode == 0
    assert told.startswith(b"begins\n")
    assert b"https://h/?..." in told
    assert told.endswith(b"odd \xff\xfe\nends without a break")
    assert not holds(told.decode("utf-8", "replace"))


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_pieces_end_with_lines(size: int) -> None:
    """However the input arrives, nothing is lost and pieces end where lines do."""
    data = b"".join(b"line %d\n" % number for number in range(500)) + b"rest"
    reads = iter([data[n : n + size] for n in range(0, len(data), size)] + [b""])
    pieces = list(whole_lines(lambda _: next(reads)))
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])

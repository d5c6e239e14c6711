"""Ports of the loopback for servers that tests start."""

from __future__ import annotations

import socket
from contextlib import suppress


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    listening = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in listening]
    for each in listening:
        each.close()
    return ports


def answers(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
        return True
    return False

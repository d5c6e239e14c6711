"""A server of its own process: `python -m tests.misbehaviour [--honest]` prints its URL and serves until it is ended."""

from __future__ import annotations

import argparse
import asyncio

from tests.misbehaviour import HonestServer, HostileServer


async def serve(*, honest: bool) -> None:
    server = HonestServer() if honest else HostileServer()
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--honest", action="store_true")
    asyncio.run(serve(honest=parser.parse_args().honest))

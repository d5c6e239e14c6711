"""Writes the tables of docs/misbehaviour.md, from runs; or serves, as a process of its own.

python -m tests.misbehaviour: measures every behaviour (some minutes) and writes the page.
python -m tests.misbehaviour --serve [--honest]: prints the URL of a server, and serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio

from tests.misbehaviour import HonestServer, HostileServer


async def serve(*, honest: bool) -> None:
    server = HonestServer() if honest else HostileServer()
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()


def write_page() -> None:
    from tests.misbehaviour.table import PAGE, page_with, table

    PAGE.write_text(page_with(table()), "utf-8")
    print(PAGE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--honest", action="store_true")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(honest=options.honest))
    else:
        write_page()

"""Each row of a record batch as a message of Arrow's IPC format: what is kept of a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

# Messages lie in memory besides their rows until the last one is taken.
_AT_ONCE_ROWS, _AT_ONCE_BYTES = 256, 1 << 20


def row_messages(batch: Any) -> Iterator[Any]:
    """Yield a buffer a row: what `batch.slice(row, 1).serialize()` gives, of many rows at once.

    batch: of plain columns, see `plain_batch`.
    """
    at_once = _AT_ONCE_BYTES * batch.num_rows // max(1, batch.nbytes)
    at_once = max(1, min(_AT_ONCE_ROWS, at_once))
    for begin in range(0, batch.num_rows, at_once):
        if at_once == 1:
            yield batch.slice(begin, 1).serialize()
        else:
            yield from _messages(batch.slice(begin, at_once))


def _messages(batch: Any) -> Iterator[Any]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_table(pa.Table.from_batches([batch]), max_chunksize=1)
    stream = sink.getvalue()
    source = pa.BufferReader(stream)
    reader = pa.ipc.MessageReader.open_stream(source)
    reader.read_next_message()  # of the schema
    begin = source.tell()
    for _ in range(batch.num_rows):
        reader.read_next_message()
        end = source.tell()
        yield stream.slice(begin, end - begin)
        begin = end

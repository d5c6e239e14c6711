"""JSON in all its forms, XML feeds, and Parquet, by writers that know nothing of the product."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
from lxml import etree

from tests.variants.contract import Cells, Records, Variant, texts_of
from tests.variants.delimited import arrow_table, duckdb_copy, flat_table

Text = Callable[[Records], str]
_dumps = partial(json.dumps, ensure_ascii=False)


def _text(text: Text, name: str = "catalog.json", encoding: str = "utf-8") -> Callable[..., Path]:
    def write(records: Records, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(text(records).encode(encoding))
        return path

    return write


def _each(text: Callable[[Cells], str], end: str = "\n") -> Text:
    return lambda records: "".join(text(record) + end for record in records)


def _not_a_number(record: Cells) -> str:
    """Return a record in which a missing number is NaN, as Python writes it."""
    return _dumps({name: float("nan") if cell is None else cell for name, cell in record.items()})


def _without_nulls(record: Cells) -> str:
    return _dumps({name: cell for name, cell in record.items() if cell is not None})


_JSON = (
    Variant("json: one object a line", _text(_each(_dumps), "catalog.jsonl")),
    Variant("json: escapes beyond ASCII", _text(_each(json.dumps), "catalog.jsonl")),
    Variant("json: .ndjson", _text(_each(_dumps), "catalog.ndjson")),
    Variant("json: lines in .json", _text(_each(_dumps))),
    Variant("json: lines end in CR LF", _text(_each(_dumps, "\r\n"), "catalog.jsonl")),
    Variant("json: a mark at the begin", _text(_each(_dumps), "catalog.jsonl", "utf-8-sig")),
    Variant("json: UTF-16", _text(_each(_dumps), "catalog.jsonl", "utf-16")),
    Variant("json: null left out", _text(_each(_without_nulls), "catalog.jsonl")),
    Variant("json: NaN for null", _text(_each(_not_a_number), "catalog.jsonl")),
    Variant("json: Python's repr", _text(_each(repr), "catalog.jsonl")),
    Variant("json: a comma behind every object", _text(_each(_dumps, ",\n"), "catalog.jsonl")),
    Variant("json: one array", _text(lambda records: _dumps(list(records)))),
    Variant(
        "json: one array in .jsonl", _text(lambda records: _dumps(list(records)), "catalog.jsonl")
    ),
    Variant("json: an array, indented", _text(lambda records: _dumps(list(records), indent=2))),
    Variant(
        "json: an array of UTF-16", _text(lambda records: _dumps(list(records)), encoding="utf-16")
    ),
    Variant("json: {products: [...]}", _text(lambda records: _dumps({"products": list(records)}))),
    Variant(
        "json: {data: {items: [...]}, indented}",
        _text(
            lambda records: _dumps(
                {"ok": True, "data": {"page": 1, "items": list(records)}, "next": None}, indent=4
            )
        ),
    ),
    Variant("json: objects behind each other", _text(_each(_dumps, ""))),
    Variant("json: objects over several lines", _text(_each(partial(_dumps, indent=2)))),
    Variant("json: keys sorted", _text(_each(partial(_dumps, sort_keys=True)), "catalog.jsonl")),
)


def _orjson(records: Records, folder: Path) -> Path:
    path = folder / "catalog.json"
    path.write_bytes(orjson.dumps(list(records), option=orjson.OPT_INDENT_2))
    return path


def _pandas(name: str, **options: Any) -> Callable[[Records, Path], Path]:
    def write(records: Records, folder: Path) -> Path:
        path = folder / name
        pd.DataFrame(list(records)).to_json(path, **{"orient": "records", **options})
        return path

    return write


def _polars(lines: bool) -> Callable[[Records, Path], Path]:
    def write(records: Records, folder: Path) -> Path:
        path = folder / ("catalog.jsonl" if lines else "catalog.json")
        frame = pl.from_arrow(arrow_table(records))
        assert isinstance(frame, pl.DataFrame)
        if lines:
            frame.write_ndjson(path)
        else:
            frame.write_json(path)
        return path

    return write


_nested = partial(duckdb_copy, table=arrow_table)

_JSON_WRITERS = (
    Variant("orjson: an array, indented", _orjson),
    Variant("pandas: to_json, an array", _pandas("catalog.json")),
    Variant("pandas: to_json, lines", _pandas("catalog.jsonl", lines=True)),
    Variant("pandas: to_json, indented", _pandas("catalog.json", indent=4, force_ascii=False)),
    Variant("pandas: to_json, lines, .gz", _pandas("catalog.jsonl.gz", lines=True)),
    Variant("pandas: to_json, .bz2", _pandas("catalog.json.bz2")),
    Variant("pandas: to_json of a table", _pandas("catalog.json", orient="table", index=False)),
    Variant("DuckDB: COPY to JSON lines", _nested("catalog.jsonl", "FORMAT json")),
    Variant("DuckDB: COPY to a JSON array", _nested("catalog.json", "FORMAT json, ARRAY true")),
    Variant(
        "DuckDB: JSON lines, .zst", _nested("catalog.jsonl.zst", "FORMAT json, COMPRESSION zstd")
    ),
    Variant("Polars: write_ndjson", _polars(lines=True)),
    Variant("Polars: write_json", _polars(lines=False)),
)


def _parquet(table: Any = arrow_table, **options: Any) -> Callable[[Records, Path], Path]:
    def write(records: Records, folder: Path) -> Path:
        path = folder / "catalog.parquet"
        pq.write_table(table(records), path, **options)
        return path

    return write


def _pandas_parquet(records: Records, folder: Path) -> Path:
    path = folder / "catalog.parquet"
    pd.DataFrame(list(records)).to_parquet(path)
    return path


def _polars_parquet(records: Records, folder: Path) -> Path:
    path = folder / "catalog.parquet"
    frame = pl.from_arrow(arrow_table(records))
    assert isinstance(frame, pl.DataFrame)
    frame.write_parquet(path, row_group_size=50)
    return path


_PARQUET = (
    Variant("Arrow: Parquet", _parquet()),
    Variant(
        "Arrow: Parquet, small row groups, zstd", _parquet(row_group_size=37, compression="zstd")
    ),
    Variant(
        "Arrow: Parquet, no dictionary, gzip", _parquet(use_dictionary=False, compression="gzip")
    ),
    Variant("Arrow: Parquet, lists as JSON", _parquet(flat_table)),
    Variant("pandas: to_parquet", _pandas_parquet),
    Variant("Polars: write_parquet", _polars_parquet),
    Variant("DuckDB: COPY to Parquet", _nested("catalog.parquet", "FORMAT parquet")),
    Variant(
        "DuckDB: Parquet, zstd", _nested("catalog.parquet", "FORMAT parquet, COMPRESSION zstd")
    ),
)

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_G = "http://base.google.com/ns/1.0"


def _in_xml(record: Cells) -> bool:
    r"""Whether XML can hold a record: it has no control characters, and makes \n of \r\n."""
    return not _NOT_XML.search(texts_of(record)) and "\r" not in texts_of(record)


def _add(parent: Any, tag: str, cell: Any) -> None:
    """Add a cell as elements: one for each entry of a list, objects as elements within."""
    if isinstance(cell, list):
        for entry in cell:
            _add(parent, tag, entry)
    elif cell is not None:
        element = etree.SubElement(parent, tag)
        if isinstance(cell, dict):
            for name, value in cell.items():
                _add(element, name, value)
        else:
            element.text = str(cell)


def _elements(record: Cells, parent: Any, tag: str, prefix: str = "") -> None:
    element = etree.SubElement(parent, tag)
    for name, cell in record.items():
        _add(element, prefix + name, cell)


def _xml(indent: bool, encoding: str = "utf-8") -> Callable[[Records, Path], Path]:
    def write(records: Records, folder: Path) -> Path:
        root = etree.Element("catalog")
        for record in records:
            _elements(record, root, "product")
        path = folder / "catalog.xml"
        etree.ElementTree(root).write(
            path, encoding=encoding, xml_declaration=True, pretty_print=indent
        )
        return path

    return write


def _rss(records: Records, folder: Path) -> Path:
    root = etree.Element("rss", version="2.0", nsmap={"g": _G})
    channel = etree.SubElement(root, "channel")
    etree.SubElement(channel, "title").text = "A shop"
    etree.SubElement(channel, "link").text = "https://shop.example/"
    for record in records:
        _elements(record, channel, "item", f"{{{_G}}}")
    path = folder / "feed.xml"
    etree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    return path


def _attributes(records: Records, folder: Path) -> Path:
    root = etree.Element("catalog")
    for record in records:
        cells = {
            name: cell if isinstance(cell, str) else _dumps(cell)
            for name, cell in record.items()
            if cell is not None
        }
        etree.SubElement(root, "product", cells)
    path = folder / "catalog.xml"
    etree.ElementTree(root).write(path, encoding="utf-8")
    return path


def _pandas_xml(records: Records, folder: Path) -> Path:
    path = folder / "catalog.xml"
    pd.DataFrame(flat_table(records).to_pylist()).to_xml(path, index=False)
    return path


_XML = (
    Variant("lxml: an element a record", _xml(indent=False), _in_xml),
    Variant("lxml: indented", _xml(indent=True), _in_xml),
    Variant("lxml: UTF-16", _xml(indent=False, encoding="utf-16"), _in_xml),
    Variant("lxml: ASCII and references", _xml(indent=True, encoding="us-ascii"), _in_xml),
    Variant("lxml: RSS with g:", _rss, _in_xml),
    Variant("lxml: cells as attributes", _attributes, _in_xml),
    Variant("pandas: to_xml", _pandas_xml, _in_xml),
)

DOCUMENTS = (*_JSON, *_JSON_WRITERS, *_PARQUET, *_XML)

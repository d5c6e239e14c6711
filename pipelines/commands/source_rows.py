"""The rows of the input that items are made of, and where they stand in it today.

A snapshot knows rows by their bytes, so that lines may move without rebuilding anything; files and
lines are looked up when somebody asks.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from pipelines.commands.partial_run import options_of_run
from pipelines.configuration.config import EnrichConfig
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.from_options import config_from
from pipelines.configuration.plan import CATALOG, IMAGE_TABLE, splits_of
from pipelines.snapshots.item_history import files_of_item, row_of
from pipelines.snapshots.snapshot import Snapshot
from schemas.elements import RawRecord, Reject
from schemas.loading import TemplateRefusedError, load_template
from schemas.tables.arrow import PROVENANCE_SUFFIX
from schemas.texts import shorten
from transforms.readers import InputRefusedError, InputSplit, SplitReport, Unread, read_split
from transforms.runtime.parquet import read_parquet

# A file is looked at as a whole, so that its lines are counted from its beginning.
_WHOLE = 1 << 62
MAX_RAW_CHARS = 200
# How evidence and flags name a row, by the beginning of its key.
_NAMED = re.compile(r"\brows? ([0-9a-f]{8}(?:, [0-9a-f]{8})*)|\bfrom ([0-9a-f]{8})\b")
_OTHER = "other"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row that an item is made of.

    key: as in the table records; name: its beginning, by which evidence calls the row; fate: as in
    that table, `other` for a row of the group that the item has something of. places: file and
    line, of each place where the row stands; none where it was not found. raw: its beginning.
    """

    key: str
    name: str
    fate: str
    places: tuple[str, ...] = ()
    raw: str = ""


@dataclass(frozen=True, slots=True)
class ItemRows:
    """The rows of one item, in the order of the input; why_not: why they were not looked for."""

    rows: tuple[SourceRow, ...] = ()
    why_not: str = ""


def add_rows_option(parser: argparse.ArgumentParser) -> None:
    """Declare --no-rows."""
    parser.add_argument(
        "--no-rows",
        action="store_true",
        help="do not look through the input for the rows of items that are made of several",
    )


def rows_of_items(info: Snapshot, item_ids: Collection[str]) -> dict[str, ItemRows]:
    """Return the rows of those of some items that are made of several, with their places in the
    input as it is now.
    """
    fates = {item_id: _fates(info, item_id) for item_id in dict.fromkeys(item_ids)}
    several = {item_id: found for item_id, found in fates.items() if len(found) > 1}
    if not several:
        return {}
    wanted = {key for found in several.values() for key in found}
    try:
        found = _found(info, wanted)
        why_not = ""
    except (ConfigError, InputRefusedError, TemplateRefusedError, OSError, ValueError) as error:
        found, why_not = {}, str(error).splitlines()[0]
    return {
        item_id: ItemRows(tuple(_in_order(of_item, found)), why_not)
        for item_id, of_item in several.items()
    }


def _fates(info: Snapshot, item_id: str) -> dict[bytes, str]:
    """Return key → fate of the rows of an item, and of others that its evidence names."""
    fates: dict[bytes, str] = {}
    groups: set[str] = set()
    for file in files_of_item(info, "records", item_id):
        table = read_parquet(info.path, file)
        for row in table.filter(pc.equal(table["item_id"], item_id)).to_pylist():
            fates[row["raw_key"]] = row["fate"]
            groups.update(filter(None, [row.get("group")]))
    named = set(_named_rows(row_of(info, item_id) or {})) if groups else set()
    missing = named - {_name(key) for key in fates}
    if missing:
        for file in info.files_of("records"):
            table = read_parquet(info.path, file, ["raw_key", "group"])
            keys = table.filter(pc.is_in(table["group"], pc.cast(sorted(groups), "string")))
            for key in keys["raw_key"].to_pylist():
                if _name(key) in missing:
                    fates.setdefault(key, _OTHER)
    return fates


def _named_rows(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what evidence and flags of an item call rows."""
    fields = [
        ((row[name] or {}).get("evidence") or {}).get("field")
        for name in row
        if name.endswith(PROVENANCE_SUFFIX)
    ]
    texts = [*fields, *(flag["detail"] for flag in row.get("flags") or ())]
    for text in filter(None, texts):
        for several, one in _NAMED.findall(text):
            yield from (several or one).split(", ")


def _name(key: bytes) -> str:
    return key.hex()[:8]


def _found(info: Snapshot, wanted: Collection[bytes]) -> dict[bytes, list[RawRecord]]:
    """Return key → where such rows stand in the files that the run was given."""
    given = options_of_run(info.manifest.options)
    # Nothing is written; where it would be is the one option that a continued run does not take.
    config = config_from(argparse.Namespace(output=info.path, **given))
    template = load_template(config.template)
    found: dict[bytes, list[RawRecord]] = {}
    for split in (
        split
        for kind in (CATALOG, IMAGE_TABLE)
        for split in splits_of(config, template, kind, _WHOLE)
    ):
        for raw in _rows_in(split, config, wanted):
            found.setdefault(raw.key, []).append(raw)
    return found


def _rows_in(
    split: InputSplit, config: EnrichConfig, wanted: Collection[bytes]
) -> Iterator[RawRecord]:
    def choose(batch: Sequence[Unread]) -> Sequence[Unread]:
        return [unread for unread in batch if unread.key in wanted]

    for element in read_split(split, config.read_limits, choose):
        if isinstance(element, Reject) and element.reason == "file-unreadable":
            raise OSError(element.message)
        if not isinstance(element, SplitReport):
            yield element.raw


def _in_order(
    fates: Mapping[bytes, str], found: Mapping[bytes, Sequence[RawRecord]]
) -> Iterable[SourceRow]:
    def place(key: bytes) -> tuple[Any, ...]:
        first = found[key][0] if key in found else None
        return (1,) if first is None else (0, first.kind, first.file, first.position)

    for key in sorted(fates, key=lambda key: (*place(key), key)):
        raws = found.get(key, ())
        yield SourceRow(
            key.hex(),
            _name(key),
            fates[key],
            tuple(place_of(raw) for raw in raws),
            _shown(raws[0]) if raws else "",
        )


def place_of(raw: RawRecord) -> str:
    """Return the file of a record and the line, or row, that it begins in.

    >>> place_of(RawRecord(b"", "csv;quote=", "in.csv", 7))
    'in.csv, line 7'
    >>> place_of(RawRecord(b"", "parquet", "in.parquet", 0))
    'in.parquet, row 1'
    """
    if raw.format.startswith("parquet"):
        return f"{raw.file}, row {raw.position + 1:,}"
    return f"{raw.file}, {'row' if raw.file.endswith('.xlsx') else 'line'} {raw.position:,}"


def _shown(raw: RawRecord) -> str:
    if raw.format.startswith("parquet"):
        return ""
    return shorten(raw.data.decode("utf-8", "replace").strip(), MAX_RAW_CHARS)


def row_lines(of_item: ItemRows, most: int) -> Iterator[str]:
    """Yield a line for each row, of `most` at most."""
    if of_item.why_not:
        yield f"files and lines are not shown: {of_item.why_not}"
    for row in of_item.rows[:most]:
        where = "; ".join(row.places) or ("" if of_item.why_not else "not in the input any more")
        yield f"row {row.name} ({row.fate}){': ' if where else ''}{where}"
    if len(of_item.rows) > most:
        yield f"and {len(of_item.rows) - most:,} more"

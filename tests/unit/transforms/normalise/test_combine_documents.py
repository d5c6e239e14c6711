"""The examples of rows that belong together in docs/templates.md."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.attributes import RowsMode
from schemas.elements import Record, Reject
from schemas.loading import parse_template
from schemas.template import Duplicates, RecordMap, Template
from tests.support import ROOT
from transforms.normalise.combine import combine, inherit
from transforms.readers import SplitReport, plan_splits, read_split
from transforms.readers.added.fill_down import FillDown
from transforms.readers.read import RecordReader, combination_of

PAGE = ROOT / "docs" / "templates.md"
SECTION = "## Several rows: groups, duplicates, combining"


@dataclass(frozen=True)
class Example:
    """template, table: as they are shown; becomes: an object for each item, and for each reason."""

    template: str
    table: str
    becomes: tuple[dict[str, Any], ...]


def examples() -> Iterator[Example]:
    """What an example leaves out is that of the one before."""
    text = PAGE.read_text("utf-8")
    begin = text.index(SECTION)
    section = text[begin : text.index("\n## ", begin + 1)]
    template, table = "", ""
    for kind, block in re.findall(r"```(yaml|csv|json)\n(.*?)```", section, re.DOTALL):
        if kind == "yaml":
            earlier = template.partition("attributes:")
            template = block if "attributes:" in block else block + "".join(earlier[1:])
        elif kind == "csv":
            table = block
        else:
            objects = json.loads("[" + re.sub(r"\}\n\{", "},{", block) + "]")
            yield Example(template, table, tuple(objects))


EXAMPLES = list(examples())


def made(template: Template, path: Path) -> Iterator[dict[str, Any]]:
    """Read, inherit and combine the rows of a file as a run does."""
    how, read = combination_of(template), RecordReader(template)
    rejects: list[Reject] = []
    groups: dict[str, list[Record]] = {}
    rows: list[Record] = []
    for split in plan_splits([str(path)], fill_down=FillDown.of(template)):
        for element in read_split(split):
            if isinstance(element, SplitReport):
                continue
            found = element if isinstance(element, Reject) else read(element)
            if isinstance(found, Reject):
                rejects.append(found)
            elif isinstance(found, Record):
                (groups.setdefault(found.group, []) if found.group else rows).append(found)
    for group in groups.values():
        variants, refused = inherit(group, how)
        rows += variants
        rejects += refused
    by_id: dict[str, list[Record]] = {}
    for row in rows:
        by_id.setdefault(row.item_id, []).append(row)
    for item_id, same in by_id.items():
        item, refused = combine(same, how)
        rejects += refused
        if item is not None:
            pictures = {"pictures": list(item.image_refs)} if item.image_refs else {}
            told = sorted({flag.reason for flag in item.flags})
            flags = {"flags": told} if told else {}
            yield {"id": item_id, **item.values, **pictures, **flags}
    for reason, count in Counter(each.reason for each in rejects).items():
        yield {"reason": reason, "rows": count}


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_rows_become_what_the_page_says(number: int, tmp_path: Path) -> None:
    """Each example of the page gives the items and the rejects that stand behind it."""
    example = EXAMPLES[number]
    template = parse_template(f"name: shown\nversion: 1.0.0\n{example.template}", "the page")
    path = tmp_path / "in.csv"
    path.write_text(example.table, "utf-8")
    assert list(made(template, path)) == list(example.becomes)


def test_every_option_has_an_example() -> None:
    """The page shows each option that says what becomes of several rows, with all its values."""
    shown = [yaml.safe_load(example.template) for example in EXAMPLES]
    records = [each["record"] for each in shown]
    options = {"group", "fill_down", "language", "duplicates", "event_ts"}
    assert options <= RecordMap.model_fields.keys()
    assert options <= {key for record in records for key in record}
    assert any("position" in record.get("images", {}) for record in records)
    choices = {record.get("duplicates", "merge") for record in records}
    assert choices == set(Duplicates.__args__)
    modes = {each.get("rows") for every in shown for each in every["attributes"]}
    assert modes - {None} == set(RowsMode.__args__)

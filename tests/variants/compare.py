"""Every variant of every catalog, and the table of what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.variants.containers import CONTAINERS
from tests.variants.contract import Records, Variant
from tests.variants.delimited import DELIMITED, headerless
from tests.variants.documents import DOCUMENTS
from tests.variants.sources import Reading, Source, differences, read
from transforms.readers import InputRefusedError

VARIANTS = (*DELIMITED, *DOCUMENTS, *CONTAINERS)
# Of fewer records that a form can hold nothing is learnt.
MIN_RECORDS = 5
SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """What a variant of a catalog gave. records: compared; found: the first differences."""

    variant: str
    catalog: str
    records: int
    found: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        if self.records < MIN_RECORDS:
            return "-"
        return "differs" if self.found else str(self.records)


class Comparison:
    """The first records of a catalog, and the items of their original form."""

    def __init__(self, name: str, source: Source, folder: Path, limit: int) -> None:
        self._name, self._source, self._folder = name, source, folder
        self._records = source.records(limit)
        self._original = read(source.path, source.template)
        assert not self._original.problems, self._original.problems[:3]

    @property
    def variants(self) -> tuple[Variant, ...]:
        return (*VARIANTS, headerless(self._records))

    def outcome(self, variant: Variant) -> Outcome:
        """Write the records in that way, read them, and compare."""
        wanted, records = self._original, self._records
        if variant.reduce is not None:
            records = [variant.reduce(record) for record in records]
        records = [record for record in records if variant.fits(record)]
        if len(records) < MIN_RECORDS or (
            variant.reduce is not None and records[0] == self._records[0]
        ):
            return Outcome(variant.name, self._name, 0)
        if variant.reduce is not None:
            wanted = self._as_json_lines(records)
        ids = [self._id_of(record) for record in records]
        folder = self._folder / f"{self._name}-{variant.name}".replace("/", " ").replace("*", " ")
        folder.mkdir()
        path = variant.write(records, folder)
        try:
            got = read(path, self._source.template, variant.said, variant.input_format)
        except InputRefusedError as refused:
            return Outcome(variant.name, self._name, len(records), (str(refused),))
        kept = Reading({item_id: wanted.items[item_id] for item_id in ids})
        found = tuple(islice(differences(kept, got), SHOWN))
        if len(got.rejects) > variant.rejects:
            found = (*got.rejects[:SHOWN], *found)
        return Outcome(variant.name, self._name, len(records), found)

    def _as_json_lines(self, records: Records) -> Reading:
        path = self._folder / f"{self._name}-reduced.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return read(path, self._source.template)

    def _id_of(self, record: dict[str, object]) -> str:
        return next(str(record[name]) for name in self._source.template.record.id if name in record)


def table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a line a variant: of each catalog how many records gave the same items, `-` where the
    form cannot hold enough of them, or that it differs, and then how.
    """
    catalogs = list(dict.fromkeys(each.catalog for each in outcomes))
    width = max(len(each.variant) for each in outcomes) + 2
    yield "variant".ljust(width) + "".join(name.rjust(14) for name in catalogs)
    by_variant: dict[str, dict[str, Outcome]] = {}
    for each in outcomes:
        by_variant.setdefault(each.variant, {})[each.catalog] = each
    for variant, found in by_variant.items():
        cells = (found[name].said if name in found else "" for name in catalogs)
        yield variant.ljust(width) + "".join(cell.rjust(14) for cell in cells)
    same = sum(
        all(each.said != "differs" for each in found.values())
        and any(each.records for each in found.values())
        for found in by_variant.values()
    )
    yield f"{same} of {len(by_variant)} variants give the same items in every catalog that they can hold"
    for each in outcomes:
        for number, difference in enumerate(each.found):
            yield (
                f"{each.variant}, {each.catalog}: {difference}"
                if not number
                else f"    {difference}"
            )

"""Columns that a template names and no input has, named before a run and not by empty tables."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from schemas.template import Template
from schemas.texts import first_names
from transforms.normalise.column_groups import columns_of
from transforms.normalise.column_names import ColumnNames
from transforms.readers import InputSplit, Peek

# Formats in which each file says all its columns at its beginning.
_WITH_COLUMNS = frozenset({"csv", "tsv", "parquet", "xlsx"})


def missing_columns(template: Template, seen: Peek) -> list[str]:
    """Return the columns of attributes and pictures of which the records that were seen have none,
    with those that may be meant.

    Of several that one attribute may come from, none is missing if there is one of them.
    """
    if not seen.records:
        return []
    names = ColumnNames(seen.columns)
    missing: dict[str, None] = {}
    for _, sources, _ in _wanted(template):
        if not any(columns_of(template, source, names) for source in sources):
            missing |= dict.fromkeys(sources)
    return [_with_hint(source, seen) for source in missing]


def refused_columns(template: Template, seen: Peek, splits: Sequence[InputSplit]) -> Iterator[str]:
    """Yield a message for each required attribute whose values can stand nowhere in the input.

    Of records that name their columns themselves, as those of JSON do, later ones may have them.
    """
    if not seen.records or any(split.format not in _WITH_COLUMNS for split in splits):
        return
    names = ColumnNames(seen.columns)
    for what, sources, is_required in _wanted(template):
        if is_required and not any(columns_of(template, source, names) for source in sources):
            yield (
                f"{what} is required, and no input has its columns: "
                f"{', '.join(_with_hint(source, seen) for source in sources)}; the columns are "
                f"{first_names(seen.columns)}. Name the right one, or write required: false"
            )


def _wanted(template: Template) -> Iterator[tuple[str, Sequence[str], bool]]:
    """Yield what comes from columns, those, and whether only they can give what is required."""
    for attribute in template.attributes:
        if attribute.from_:
            yield (
                f"attribute {attribute.name}",
                attribute.from_,
                attribute.required and not attribute.fill,
            )
    images = template.record.images
    if images.columns:
        yield "record.images", images.columns, images.required and images.table is None


def _with_hint(source: str, seen: Peek) -> str:
    by_folded = {name.casefold(): name for name in seen.columns}
    close = difflib.get_close_matches(source.casefold(), by_folded, n=1)
    return f"{source} (did you mean {by_folded[close[0]]}?)" if close else source

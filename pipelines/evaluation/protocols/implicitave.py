"""The ImplicitAVE benchmark: attributes that only the image shows."""

from __future__ import annotations

from typing import Any

from pipelines.configuration.errors import ConfigError
from pipelines.evaluation.judge import same_value
from pipelines.evaluation.protocols.catalogs import (
    Request,
    Trial,
    benchmark_rows,
    masks_of,
    read_catalog,
    write_catalog,
)
from pipelines.evaluation.truth import LabelReader, Problems, TruthFound, check_ids, read_lines
from transforms.extraction.cells import as_text
from transforms.items.mask import Mask

FASHION = "Clothing_Shoes_and_Jewelry"


def department_group(domain: str) -> str:
    """Return the group of departments that share ImplicitAVE's lists of values.

    >>> department_group("Food"), department_group("Footwear")
    ('Food', 'Clothing_Shoes_and_Jewelry')
    """
    return domain if domain in ("Food", "Home") else FASHION


def implicitave(request: Request) -> Trial:
    """ImplicitAVE (ACL 2024): one value an item that its picture shows and its title hides, from a
    closed list.

    Without labelled_folds no truth is in the catalog. With them the truth is columns of the
    prepared catalog, named `<group of departments>/<attribute>`, and an item is labelled in all
    folds but the one that hides it.
    """
    rows = benchmark_rows(request, "implicitave")
    reader = LabelReader(request.template)
    problems, collected, slots = Problems(), TruthFound(), list(read_lines(request, "value"))
    cells: dict[str, dict[str, Any]] = {}
    for item_id, label, values in slots:
        if item_id in rows:
            column = f"{department_group(str(rows[item_id].get('domain')))}/{label}"
            attribute = reader.by_column.get(column)
            if attribute is None or not attribute.fill:
                problems.add(
                    f"{column!r} is read by no attribute with fill: true; add one with from: "
                    f"['{column}']"
                )
                continue
            cells.setdefault(item_id, {})[column] = values[0]
            for value in values:
                collected.add(item_id, attribute, *reader.read(attribute, value))
    problems.refuse(request)
    check_ids(request, rows, (item_id for item_id, _, _ in slots))
    masks: tuple[Mask | None, ...] = (None,)
    if request.labelled_folds:
        names = {name for _, name in collected.truth}
        masks = masks_of(names, "item", request.labelled_folds, request.seed, "--labelled-folds")
        rows = {item_id: row | cells.get(item_id, {}) for item_id, row in rows.items()}
    notes = [
        "Forced accuracy is the paper's micro F1: every slot has a value, and an answer is always "
        "given."
    ]
    inputs = (write_catalog(request.work / "catalog.jsonl", rows.values()),)
    reference: tuple[str, ...] = ()
    if request.reference:
        labelled, left_out = labelled_rows(request, reader, frozenset(rows))
        reference = (write_catalog(request.work / "reference.jsonl", labelled),)
        notes += (
            [f"{left_out:,} labelled rows are of attributes that the template does not have."]
            if left_out
            else []
        )
    return Trial(
        inputs, masks, collected.truth, same_value, reference, (*notes, *collected.notes())
    )


def labelled_rows(
    request: Request, reader: LabelReader, taken: frozenset[str]
) -> tuple[list[dict[str, Any]], int]:
    """Labelled texts {id, domain, category, title, attribute, value} as catalog rows, and how many
    were left out.

    One row an id and a column an attribute; an id that the catalog has too is given a prefix.
    """
    rows: dict[str, dict[str, Any]] = {}
    left_out = 0
    for line in read_catalog(request.reference, None, request.read_limits, "--reference"):
        row = dict(line)
        item_id, label, value = (
            as_text(row.pop(name, None)) for name in ("id", "attribute", "value")
        )
        if not item_id or not label or not value:
            raise ConfigError(
                [
                    "--reference: protocol implicitave takes rows {id, domain, title, attribute, "
                    "value}"
                ]
            )
        column = f"{department_group(str(row.get('domain')))}/{label}"
        if column not in reader.by_column:
            left_out += 1
            continue
        item_id = f"labelled-{item_id}" if item_id in taken else item_id
        rows.setdefault(item_id, {"id": item_id, **row})[column] = value
    return list(rows.values()), left_out

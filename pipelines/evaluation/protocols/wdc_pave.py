"""The WDC PAVE benchmark: attribute values in web offers."""

from __future__ import annotations

from pipelines.evaluation.judge import Slot, same_text
from pipelines.evaluation.protocols.catalogs import (
    Request,
    Trial,
    benchmark_rows,
    masks_of,
    write_catalog,
)
from pipelines.evaluation.truth import Problems, check_ids, read_lines
from transforms.extraction.cells import as_text, is_null


def wdc_pave(request: Request) -> Trial:
    """WDC-PAVE (ADBIS 2024): texts of offers, every slot with its values or `n/a`, exact
    comparison.

    The values are columns of the prepared catalog, and an item is labelled in all folds but the one
    that hides it.
    """
    rows = benchmark_rows(request, "wdc-pave")
    problems, slots = Problems(), list(read_lines(request, "values"))
    by_label = {
        source: attribute for attribute in request.template.attributes for source in attribute.from_
    }
    truth: dict[Slot, tuple[str, ...]] = {}
    for item_id, label, values in slots:
        attribute = by_label.get(label)
        if attribute is None or not attribute.fill:
            problems.add(
                f"{label!r} is read by no attribute with fill: true; add one with from: ['{label}']"
            )
        elif item_id in rows:
            absent = frozenset(text.strip().casefold() for text in attribute.absent)
            texts = [as_text(value) or "" for value in values]
            if "n/a" in texts and "n/a" not in absent:
                problems.add(
                    f"attribute {attribute.name} lacks absent: [n/a], by which the truth says that "
                    "none is"
                )
            rows[item_id].setdefault(label, texts[0] if texts else None)
            known = [text.strip() for text in texts if not is_null(text, absent | {""})]
            slot = item_id, attribute.name
            truth[slot] = tuple(dict.fromkeys([*truth.get(slot, ()), *known]))
    problems.refuse(request)
    check_ids(request, rows, (item_id for item_id, _, _ in slots))
    masks = masks_of({name for _, name in truth}, "item", request.folds, request.seed, "--folds")
    notes = (
        "F1, precision and recall at the cascade's own threshold are the paper's; texts are "
        "compared exactly.",
    )
    return Trial(
        (write_catalog(request.work / "catalog.jsonl", rows.values()),),
        masks,
        truth,
        same_text,
        (),
        notes,
    )

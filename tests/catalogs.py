"""The six real catalogs that nobody here wrote, and how the job is called for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support import DATA

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Catalog:
    """records: how many the catalog's own README says it has."""

    template: str
    inputs: tuple[str, ...]
    records: int
    images_root: str | None = None
    image_table: str | None = None


CATALOGS = {
    "grocery": Catalog("grocery", ("grocery/catalog.jsonl",), 399, "grocery"),
    "magento": Catalog(
        "apparel",
        ("magento/catalog.csv", "magento/catalog_gear.csv"),
        1418,
        "magento/images",
        "magento/images_gear.csv",
    ),
    "films": Catalog("films", ("interactions/items.jsonl",), 1175, "interactions"),
    "stamps": Catalog("multilingual", ("stamps/catalog.jsonl",), 161, "stamps"),
    "implicitave": Catalog(
        str(HERE / "templates" / "implicitave.yaml"),
        ("implicitave/catalog.jsonl",),
        763,
        "implicitave",
    ),
    "wdc_pave": Catalog(
        str(HERE / "templates" / "wdc_pave.yaml"), ("wdc_pave/catalog.jsonl",), 1066
    ),
}


def arguments(name: str, *options: str) -> list[str]:
    """The command line of a run on a catalog."""
    catalog = CATALOGS[name]
    command = [
        "--template",
        catalog.template,
        "--input",
        *(str(DATA / path) for path in catalog.inputs),
        *options,
    ]
    if catalog.images_root:
        command += ["--images-root", str(DATA / catalog.images_root)]
    if catalog.image_table:
        command += ["--image-table", str(DATA / catalog.image_table)]
    return command

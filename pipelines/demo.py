"""The demo: a small catalog, half empty on purpose, over the photographs inside the scikit-image
wheel.

Writes the catalog and its pictures (with a few broken ones) to a folder, runs the main job on it
and says where to look. Started as `make demo` or `python -m pipelines.demo`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from pipelines import enrich
from pipelines.commands.exits import DONE


def _record(
    sku: str | None, name: str | None, description: str | None, images: Sequence[str], **given: str
) -> dict[str, Any]:
    """A record of the demo; what is not given is null, as in a real catalog's gaps."""
    known = {
        "brand": given.get("brand"),
        "color": given.get("color"),
        "material": given.get("material"),
    }
    return {"sku": sku, "name": name, **known, "description": description, "images": list(images)}


RECORDS = (
    _record(
        "D-001",
        "Stoneware coffee cup, brown, 250 ml",
        "<p>Hand-thrown <b>stoneware</b> cup &amp; saucer.<br>Dishwasher safe. Holds 250 ml.</p>",
        ["coffee.png"],
    ),
    _record(
        "D-002",
        "Cat portrait poster",
        "A ginger cat looks up. Printed on matte paper, 50 x 70 cm.",
        ["chelsea.png"],
        brand="Framework",
        color="orange",
        material="Paper",
    ),
    _record(
        "D-003",
        "Space suit costume for adults",
        "Orange polyester suit with patches. Machine washable. Weight: 1.2 kg.",
        ["astronaut.png"],
    ),
    _record("D-004", "Rocket launch photo print", None, ["rocket.jpg"]),
    _record(
        "D-005",
        "Motorcycle garage set",
        "Stand and tool board for a red motorcycle. Weight: 14,5 kg.",
        ["motorcycle_left.png", "motorcycle_right.png"],
        brand="Torque & Sons",
        color="red",
        material="Steel",
    ),
    _record(
        "D-006",
        "Roman coin replicas",
        "Twenty-four replica coins cast in bronze, in a wooden tray.",
        ["coins.png"],
    ),
    _record(
        "D-007",
        "Moon surface wall print",
        "Crater field in grey tones on stretched canvas, 80 cm wide.",
        ["moon.png"],
        color="C7",
        material="Canvas",
    ),
    _record(
        "D-008",
        "Hubble deep field scarf",
        "Galaxies on black silk. Not wool, not polyester.",
        ["hubble_deep_field.jpg"],
        brand="Framework",
    ),
    _record(
        "D-009",
        "Facing brick, red, box of 24",
        "Frost-proof ceramic brick. 2.3 kg each.",
        ["brick.png"],
    ),
    _record(
        "D-010",
        "Garden gravel 16 mm, 20 kg bag",
        "Washed gravel in grey and white.",
        ["gravel.png"],
    ),
    _record(
        "D-011",
        "Artificial turf, green, 2 x 5 m",
        "Turf of polypropylene, 30 mm pile. UV resistant.",
        ["grass.png"],
        brand="Lawnly",
    ),
    _record("D-012", "Wall clock", None, ["clock_motion.png"]),
    _record("D-013", None, None, ["coffee.png"]),
    _record(
        "D-014",
        "Photographer's tripod, aluminium, black",
        "Folds to 40 cm. Weight: 1,3 kg. GTIN 4006381333931",
        ["camera.png"],
    ),
    _record(
        "D-015",
        "Book scan service",
        "We scan a page of your book and read the text.",
        ["page.png", "text.png"],
    ),
    _record(
        "D-016",
        "Horse silhouette sticker, black vinyl",
        "Sticks to walls and doors. Width: 12 cm.",
        ["horse.png"],
    ),
    _record("D-017", "Toy with a missing photo", None, ["not-there.jpg"], color="blue"),
    _record("D-018", "White glass lamp with a torn photo", "Power: 40 W.", ["torn.jpg"]),
    _record(
        "D-019", "Vase with an error page for a photo", None, ["error-page.jpg"], material="Glass"
    ),
    _record(
        "D-020",
        "Porcelain plate whose photo climbs out of its folder",
        "Dishwasher safe.",
        ["../../etc/passwd"],
    ),
    _record("D-016", "Horse silhouette sticker", None, []),
    _record(None, "A record without an id", None, []),
)

BROKEN_LINES = (
    b'{"sku": "D-900", "name": "cut off in the mid',
    b'{"sku": "D-901", "name": "Latin-1 caf\xe9"}',
)


def write_catalog(folder: Path) -> None:
    """Write catalog.jsonl, template.yaml and images/ below `folder`."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "the demo needs scikit-image; pip install 'catalog-enrich[embedded,checks,demo]'"
        )
    photographs = Path(spec.submodule_search_locations[0]) / "data"
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for name in sorted({photo for record in RECORDS for photo in record["images"]}):
        if (photographs / name).is_file():
            shutil.copyfile(photographs / name, images / name)
    (images / "torn.jpg").write_bytes((photographs / "rocket.jpg").read_bytes()[:20_000])
    (images / "error-page.jpg").write_text("<html><body>404 Not Found</body></html>")
    lines = [orjson.dumps(record) for record in RECORDS]
    (folder / "catalog.jsonl").write_bytes(b"\n".join([*lines, *BROKEN_LINES]) + b"\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the demo's catalog and run the main job on it; returns the job's exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.demo", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--output", default="demo-output", metavar="DIR", help="(default: %(default)s)"
    )
    folder = Path(parser.parse_args(argv).output)
    catalog = folder / "catalog"
    write_catalog(catalog)
    print(
        f"catalog    {catalog}/catalog.jsonl ({len(RECORDS) + len(BROKEN_LINES)} records), "
        f"pictures in {catalog}/images"
    )
    tables = folder / "tables"
    job = [
        "--template",
        "product",
        "--input",
        f"{catalog}/catalog.jsonl",
        "--images-root",
        f"{catalog}/images",
    ]
    code = enrich.main([*job, "--output", str(tables)])
    if code == DONE:
        print("look       the README, section Start, has a query for these tables")
    return code


if __name__ == "__main__":
    sys.exit(main())

"""`catalog-enrich demo`: a small catalog, half empty on purpose, and the job run on it.

Its pictures are the photographs inside the scikit-image wheel, and a few broken files; so the demo
needs no network and no repository.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.run import RUN, RUN_EXITS
from pipelines.configuration.errors import ConfigError
from pipelines.configuration.plan import GATE_MODULE
from transforms.models import (
    build_image_encoder,
    build_tagger,
    build_text_encoder,
    missing_requirements,
)
from transforms.models.contract import ModelOptions

EXTRAS = "embedded,checks,demo"


def _record(
    sku: str | None, name: str | None, description: str | None, images: Sequence[str], **given: str
) -> dict[str, Any]:
    """Return a record of the demo; what is not given is null, as in a real catalog's gaps."""
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
    """Write catalog.jsonl and images/ below `folder`."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("scikit-image is not installed")
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


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        default="demo-output",
        metavar="DIR",
        help="where the catalog and its tables are written (default: %(default)s)",
    )


def _demo(options: argparse.Namespace) -> Exit:
    missing = sorted(_missing_modules())
    if missing:
        fix = f"pip install 'catalog-enrich[{EXTRAS}]'"
        raise ConfigError([f"the demo needs {', '.join(missing)}; {fix}"])
    folder = Path(options.output)
    catalog, tables = folder / "catalog", folder / "tables"
    write_catalog(catalog)
    if not options.json:
        print(
            f"catalog    {catalog}/catalog.jsonl ({len(RECORDS) + len(BROKEN_LINES)} records), "
            f"pictures in {catalog}/images"
        )
    job = ["--template", "product", "--input", f"{catalog}/catalog.jsonl"]
    job += ["--images-root", f"{catalog}/images", "--output", str(tables)]
    code = RUN.main([*job, "--json"] if options.json else job)
    if code == Exit.DONE and not options.json:
        print(f"next       catalog-enrich inspect D-001 --output {tables}")
        print(f"           catalog-enrich tables {tables} --table items --head 3")
    return Exit(code)


def _missing_modules() -> set[str]:
    """Return the modules of EXTRAS that are not installed."""
    options = ModelOptions()
    models = (build_tagger(options), build_image_encoder(options), build_text_encoder(options))
    missing = {name for model in models for name in missing_requirements(model)}
    return missing | {name for name in ("skimage", GATE_MODULE) if find_spec(name) is None}


DEMO = Command(
    "demo",
    "Writes a small catalog, half empty on purpose, over photographs that come with scikit-image, "
    "and runs the job on it with the embedded models: no language model, no network, about a "
    f"minute. Needs the extras {EXTRAS}.",
    ["", "--output somewhere"],
    _add_options,
    _demo,
    RUN_EXITS,
)

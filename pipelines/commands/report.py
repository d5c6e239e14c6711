"""`catalog-enrich report`: the page of a snapshot, written again."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.commands.command import Command
from pipelines.commands.exits import Exit
from pipelines.commands.snapshot_option import (
    add_output_argument,
    add_snapshot_option,
    snapshot_of,
)
from pipelines.configuration.errors import ConfigError
from pipelines.monitoring.terminal import (
    print_after_work,
    print_json,
    print_warnings,
    printable,
)
from pipelines.report import REPORT_PAGE, render
from pipelines.run.artifacts import write_text
from pipelines.snapshots.history import list_folders
from pipelines.snapshots.snapshot import Snapshot
from transforms.images.files import ImageLimits


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_output_argument(parser)
    add_snapshot_option(parser)
    parser.add_argument(
        "--images-root",
        metavar="DIR",
        help="folder of the images (default: that of the run that made the snapshot)",
    )
    parser.add_argument(
        "--out", default="", metavar="FILE", help="where to write it (default: beside the tables)"
    )


def _report(options: argparse.Namespace) -> Exit:
    info = snapshot_of(options)
    if options.out and not Path(options.out).absolute().parent.is_dir():
        raise ConfigError([f"--out {options.out}: its folder does not exist"])
    root = options.images_root or info.manifest.images_root or None
    page = render(info.path, info.manifest, root, ImageLimits(), _before(options.output, info))
    if options.out:
        path = str(Path(options.out).absolute())
        Path(path).write_text(page, "utf-8", "backslashreplace")
    else:
        path = write_text(info.path, REPORT_PAGE, page)
    size_bytes = len(page.encode("utf-8", "backslashreplace"))
    document = {"run_id": info.run_id, "path": path, "size_bytes": size_bytes}
    said = printable(f"{path} ({size_bytes / 2**20:.1f} MiB): the report of {info.run_id}")
    print_after_work(lambda: print_json(document) if options.json else print(said))
    return Exit.DONE


def _before(output: str, info: Snapshot) -> str | None:
    """Return the folder of the snapshot that it continues from or was compared with.

    None where that has been pruned, or cannot be read, which a warning says.
    """
    wanted = info.manifest.compared_with or info.manifest.based_on
    snapshots, broken = list_folders(output)
    print_warnings(
        f"{each.path} is not compared with: {each.problem}"
        for each in broken
        if each.run_id == wanted
    )
    return next((each.path for each in snapshots if each.run_id == wanted), None)


REPORT = Command(
    "report",
    "Writes the report of a snapshot, published or refused, into its folder: one page that needs "
    "no network and no "
    "server, with counts, coverage, examples with images and evidence, quarantine, "
    "contradictions, a map of the "
    "items, time and cost, and what changed. A run writes it by itself.",
    ["features", "features --snapshot 20260131T120000Z-1f3c9a --out refused.html"],
    _add_options,
    _report,
)

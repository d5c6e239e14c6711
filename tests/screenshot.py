"""The picture of the report in the README, taken of the demo's report in a headless Chromium.

`make picture` runs the demo and writes docs/report.png. The demo's photographs belong to others: a
grey box stands for each, so that no copy of them lies in the repository.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests.browser import launched, opened

WIDTH_PX = 1100
COLORS = 256
# Two cards lie side by side.
MAX_CARDS = 6
# One attribute with values that were filled and one that stayed open.
ATTRIBUTE = "color"
HIDE_PHOTOGRAPHS = """() => {
  for (const image of document.querySelectorAll("img")) {
    const {width, height} = image.getBoundingClientRect();
    const box = document.createElement("div");
    box.style.cssText = `width:${width}px;height:${height}px;background:#c8ccd2;border-radius:6px`;
    image.replaceWith(box);
  }
}"""


def take(browser: Any, report: Path) -> Image.Image:
    """The report's verdict and counts, and below them the examples of one attribute."""
    with opened(browser, report, (WIDTH_PX, 900)) as shown:
        page = shown.page
        page.evaluate(HIDE_PHOTOGRAPHS)
        whole = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        verdict_px = _bottom(page.locator("#counts .tiles")) + 8
        heading = page.get_by_role("heading", name=ATTRIBUTE, exact=True)
        section = page.locator("section.attribute").filter(has=heading)
        begin_px = int(section.bounding_box()["y"]) - 8
        end_px = _bottom(section.locator(".card").nth(MAX_CARDS - 1)) + 12
    picture = Image.new("RGB", (WIDTH_PX, verdict_px + end_px - begin_px), "white")
    picture.paste(whole.crop((0, 0, WIDTH_PX, verdict_px)))
    picture.paste(whole.crop((0, begin_px, WIDTH_PX, end_px)), (0, verdict_px))
    return picture


def _bottom(element: Any) -> int:
    box = element.bounding_box()
    return int(box["y"] + box["height"])


def main(argv: Sequence[str] | None = None) -> int:
    """Write the picture; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshot", description=__doc__)
    parser.add_argument("report", type=Path, help="report.html of a run of the demo")
    parser.add_argument("out", type=Path, help="the PNG file to write")
    options = parser.parse_args(argv)
    try:
        with launched() as browser:
            picture = take(browser, options.report.resolve())
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    # Few colours: the file stays small.
    picture.quantize(COLORS).save(options.out, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

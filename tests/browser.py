"""A real headless browser for pages that people look at: everything it says and asks for is
recorded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
PHONE, DESKTOP = (360, 800), (1280, 900)


@dataclass
class Opened:
    """A page in the browser.

    said: console errors and exceptions; asked: URLs requested, `data:` aside.
    """

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        """The text of each element that is visible."""
        return [
            each.inner_text()
            for each in self.page.query_selector_all(selector)
            if each.is_visible()
        ]

    def grave_findings(self) -> list[str]:
        """What axe-core finds serious or critical."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        grave = [each for each in found if each["impact"] in ("serious", "critical")]
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in grave]

    def wrong_numbers(self, manifest: Any) -> list[str]:
        """Numbers with a place in the manifest that are not what stands there."""
        shown = self.page.eval_on_selector_all(
            "[data-manifest]",
            "all => all.map(e => [e.dataset.manifest, e.dataset.value, e.textContent])",
        )
        assert shown, "no number says where it stems from"
        wrong = []
        for path, raw, text in shown:
            value = _at(manifest, path)
            # Shown with four digits or as a whole number.
            seen = float(text.replace(",", ""))
            if float(raw) != value or abs(seen - value) > max(1e-9, abs(value) * 1e-3):
                wrong.append(f"{path}: {text} ({raw}) instead of {value}")
        return wrong


def _at(value: Any, path: str) -> Any:
    """What stands at a dotted path; keys may hold dots."""
    if not path:
        return value
    if isinstance(value, list):
        head, _, rest = path.partition(".")
        return _at(value[int(head)], rest)
    key = max((key for key in value if path == key or path.startswith(f"{key}.")), key=len)
    return _at(value[key], path[len(key) + 1 :])


@contextmanager
def launched() -> Iterator[Any]:
    """A headless Chromium. Raises FileNotFoundError where there is none."""
    found = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if found is None:
        raise FileNotFoundError(f"no browser here: none of {', '.join(EXECUTABLES)} is on the PATH")
    from playwright.sync_api import sync_playwright

    # Chromium's sandbox refuses to work for root.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=found, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; tests that need it are skipped where there is none."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    try:
        with launched() as chromium:
            yield chromium
    except FileNotFoundError as error:
        pytest.skip(str(error))


@contextmanager
def opened(
    browser: Any, path: Path, size: tuple[int, int] = DESKTOP, scheme: str = "light"
) -> Iterator[Opened]:
    """A local file, opened as a reader does."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
    )
    result = Opened(context.new_page())
    result.page.on(
        "console",
        lambda message: result.said.append(message.text) if message.type == "error" else None,
    )
    result.page.on("pageerror", lambda error: result.said.append(str(error)))
    result.page.on(
        "request",
        lambda request: (
            result.asked.append(request.url) if not request.url.startswith("data:") else None
        ),
    )
    try:
        result.page.goto(path.as_uri())
        yield result
    finally:
        context.close()

"""The run report in a real headless Chromium: what it says, what it asks for, whether everybody can
use it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from pipelines.report.data_docs import DATA_DOCS
from tests.browser import DESKTOP, PHONE, opened
from tests.catalogs import CATALOGS
from tests.support import Run, Shop, needs_data

MAX_BYTES = 5 * 2**20
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\u202egnp.exe"


def report_of(run: Run) -> Path:
    return run.snapshot / "report.html"


@pytest.fixture(scope="module")
def shop_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small catalog with something of everything, hostile texts among them, and an earlier
    snapshot.
    """
    shop = Shop(tmp_path_factory.mktemp("shop"))
    colors = ("red", "blue", "green", "white")
    for number in range(4):
        shop.picture(f"{number}.png", colors[number])
    records: list[dict[str, Any]] = [
        {
            "sku": f"s{number:02}",
            "name": f"{('Red', 'Navy', 'Green')[number % 3]} mug {number}",
            "text": f"A mug of {100 + number} g.",
            "photos": f"{number % 4}.png",
            "tags": ["new"] if number % 2 else None,
            "color": "Blue" if number % 5 == 0 else None,
        }
        for number in range(40)
    ]
    records += [
        {
            "sku": "evil",
            "name": f"{HOSTILE} Red",
            "text": "</script><script>document.title='owned'</script>" + "x" * 900,
        },
        {"name": HOSTILE},
        {"sku": "gone", "name": "Mug", "photos": "gone.png"},
    ]
    assert shop.run(shop.file("in.jsonl", records)).code == 0
    records[1]["color"] = "Green"
    run = shop.run(shop.file("in.jsonl", records), report=True)
    assert (run.code, run.err) == (0, "")
    return run


def test_a_small_report_is_whole(shop_run: Run, browser: Any) -> None:
    """No console error, no request but for the page itself, the manifest's numbers, and every
    section has something.
    """
    with opened(browser, report_of(shop_run)) as seen:
        assert (seen.said, seen.asked) == ([], [report_of(shop_run).as_uri()])
        assert seen.wrong_numbers(shop_run.manifest) == []
        headings = seen.texts("h2")
        assert len(headings) >= 12
        text = seen.page.inner_text("main")
    for expected in ("missing-id", "What to do", "s01", "image-missing", "Compared with"):
        assert expected in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_data_docs_are_for_everybody(shop_run: Run, browser: Any, scheme: str) -> None:
    """The page of all checks asks for nothing else, has no grave finding of axe-core, and its links
    lead somewhere.
    """
    path = shop_run.snapshot / DATA_DOCS
    for size in (DESKTOP, PHONE):
        with opened(browser, path, size, scheme) as seen:
            assert (seen.said, seen.asked) == ([], [path.as_uri()])
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert seen.grave_findings() == []
            links = seen.page.eval_on_selector_all(
                "main a", "all => all.map(each => each.hash.slice(1))"
            )
            assert len(links) == len(shop_run.manifest["checks"])
            assert seen.page.evaluate("ids => ids.every(id => document.getElementById(id))", links)


def test_hostile_texts_stay_texts(shop_run: Run, browser: Any) -> None:
    """Markup, script ends and marks that reorder text in catalog texts are shown, never obeyed."""
    page = report_of(shop_run).read_text()
    assert "\u202e" not in page
    with opened(browser, report_of(shop_run)) as seen:
        assert seen.page.title() != "owned"
        assert "<script>document.title" in seen.page.inner_text("main")
        assert not seen.page.query_selector("img[src=x]")


def test_search_and_filters_show_what_fits(shop_run: Run, browser: Any) -> None:
    """A search leaves examples with that text, a filter those of the attribute and confidence, and
    both can be undone.
    """
    with opened(browser, report_of(shop_run)) as seen:
        every = len(seen.texts(".example"))
        seen.page.fill("#search", "mug 7")
        found = seen.texts(".example")
        assert 0 < len(found) < every
        assert all("mug 7" in text.lower() for text in found)
        assert seen.page.inner_text("#example-count") == f"{len(found)} of {every} examples"
        seen.page.click("#filters button[type=reset]")
        seen.page.wait_for_selector(".example[hidden]", state="detached")
        seen.page.select_option("#by-attribute", "color")
        seen.page.fill("#by-confidence", "0.9")
        cards = [card for card in seen.page.query_selector_all(".example") if card.is_visible()]
        assert cards
        assert all(card.get_attribute("data-attribute") == "color" for card in cards)
        assert all(float(card.get_attribute("data-confidence")) >= 0.9 for card in cards)
        seen.page.click("#checks summary")
        seen.page.select_option("#check-severity", "critical")
        critical = sum(check["severity"] == "critical" for check in shop_run.manifest["checks"])
        assert seen.page.inner_text("#check-count").startswith(f"{critical} of")


def test_the_map_is_used_with_the_keyboard(shop_run: Run, browser: Any) -> None:
    """Arrow keys choose an item, which is shown with its title; another attribute colours the map."""
    with opened(browser, report_of(shop_run)) as seen:
        seen.page.focus("#map-plot")
        seen.page.keyboard.press("ArrowRight")
        first = seen.page.inner_text("#map-told")
        assert first != "No item chosen."
        for key in ("ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"):
            seen.page.keyboard.press(key)
        assert seen.page.query_selector_all("#map-plot circle.chosen")


def test_without_script_everything_essential_is_there(shop_run: Run, browser: Any) -> None:
    """With scripts switched off the verdict, the numbers and the examples show, and no dead
    controls.
    """
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report_of(shop_run).as_uri())
    assert "Published" in page.inner_text("header")
    assert not page.is_visible("#search")
    assert page.is_visible(".example")
    context.close()


def test_a_refused_snapshot_has_its_report(
    shop: Shop, browser: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page of a refused snapshot says so, with the failed check and what to do; the command
    writes it again.
    """
    bad = [{"sku": None, "name": "x"}, {"sku": "a", "name": "Red mug"}, {"sku": "", "name": "z"}]
    run = shop.run(shop.file("bad.jsonl", bad), report=True)
    assert run.code == 1
    out = shop.folder / "page.html"
    command = [
        "report",
        str(run.output),
        "--snapshot",
        run.manifest["run_id"],
        "--out",
        str(out),
        "--json",
    ]
    assert cli.main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["size_bytes"] == out.stat().st_size
    for path in (report_of(run), out):
        with opened(browser, path) as seen:
            assert "Refused" in seen.page.inner_text("header")
            assert "of the records are in quarantine" in seen.page.inner_text("#checks")
            assert "fix the export" in seen.page.inner_text("#checks")


def test_a_report_that_cannot_be_written_costs_no_snapshot(shop: Shop) -> None:
    """Pictures that vanish after the run, or a strange earlier snapshot, leave the run published."""
    records = [
        {"sku": f"s{n}", "name": "Red mug", "photos": shop.picture(f"{n}.png")} for n in range(3)
    ]
    first = shop.run(shop.file("in.jsonl", records))
    (first.snapshot / "items" / "bucket-00000.parquet").write_bytes(b"PAR1")
    run = shop.run(shop.file("in.jsonl", [*records, {"sku": "new", "name": "Mug"}]), report=True)
    assert run.code == 0
    assert report_of(run).exists()


@needs_data
def test_the_report_of_a_real_catalog(whole: tuple[str, Run], browser: Any) -> None:
    """No console error, no request, the manifest's numbers, pictures that show, less than 5 MB, no
    sideways scrolling on
    a phone, and nothing that axe-core calls serious, in light and dark."""
    name, run = whole
    path = report_of(run)
    assert path.stat().st_size < MAX_BYTES
    for size, scheme in ((DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "dark")):
        with opened(browser, path, size, scheme) as seen:
            assert (seen.said, seen.asked) == ([], [path.as_uri()])
            width = seen.page.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0], f"{width} px wide"
            if size == DESKTOP:
                assert seen.grave_findings() == []
            if scheme == "light":
                assert seen.wrong_numbers(run.manifest) == []
                _search_works(seen)
                if CATALOGS[name].images_root is not None:
                    _pictures_show(seen)


def _search_works(seen: Any) -> None:
    every = len(seen.texts(".example"))
    if not every:
        return
    sought = seen.page.eval_on_selector(".example .id", "each => each.textContent.trim()")
    seen.page.fill("#search", sought)
    found = seen.texts(".example")
    assert 0 < len(found) <= every
    assert all(sought.lower() in text.lower() for text in found)
    seen.page.click("#filters button[type=reset]")


def _pictures_show(seen: Any) -> None:
    widths = seen.page.eval_on_selector_all("img", "all => all.map(each => each.naturalWidth)")
    assert widths
    assert min(widths) > 0

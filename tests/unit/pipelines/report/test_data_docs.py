"""Data Docs: Great Expectations' page of all checks, which loads nothing from elsewhere."""

from __future__ import annotations

import html
import re

from pipelines.report.data_docs import DATA_DOCS, data_docs_page, self_contained
from tests.manifests import make_check, make_manifest
from tests.support import Shop

RECORDS = [{"sku": f"s{n}", "name": f"Red mug {n}"} for n in range(6)]


def test_each_snapshot_has_its_page(shop: Shop) -> None:
    """A run writes the page beside its tables; it names every check, and loads nothing."""
    run = shop.run(shop.file("in.jsonl", RECORDS), report=True)
    page = (run.snapshot / DATA_DOCS).read_text()
    text = html.unescape(page)
    for check in run.manifest["checks"]:
        assert check["column"].partition(".")[2] in text
        assert f"{check['id']}: {check['check']}" in text
    assert not re.search(r"<(script|link|img|iframe)\b", page, re.IGNORECASE)
    assert "default-src 'none'" in page


def test_a_refused_snapshot_says_what_to_do(shop: Shop) -> None:
    """The page of a refused snapshot is not a success and has the fix of the failed check."""
    run = shop.run(
        shop.file("in.jsonl", [{"name": "nobody"}, {"sku": "a", "name": "x"}, {"name": "none"}]),
        report=True,
    )
    assert run.code == 1
    (failed,) = [check for check in run.manifest["checks"] if not check["passed"]]
    page = html.unescape((run.snapshot / DATA_DOCS).read_text())
    assert ">Refused<" in page
    assert f"To do:</strong> {failed['fix']}" in page


def test_texts_of_catalogs_are_no_markup() -> None:
    """Examples from a catalog cannot bring a script or a picture into the page."""
    check = make_check(
        id="closed-list",
        check="color stays in its closed list",
        column="items.color",
        expectation="ExpectColumnValuesToBeInSet",
        expected={"value_set": ["Red", "<script>alert(1)</script>"]},
        values=3,
        examples=["<img src=x onerror=alert(2)>", "<script>alert(3)</script>"],
        fix="look",
    )
    page = data_docs_page(make_manifest(checks=[check], published=False))
    assert "<script" not in page
    assert "<img" not in page
    assert "Content-Security-Policy" in page


def test_what_the_library_loads_is_taken_out() -> None:
    """Nothing of the library's page is loaded, runs or leads elsewhere; its verdicts are words, its
    sections linked.
    """
    page = (
        '<head><link rel="stylesheet" href="https://x/y.css"><script src="https://x/z.js"></script></head><img src="q">'
        '<nav><a href="#section-2">items.color</a></nav>'
        '<div id="section-2" class="ge-section" onclick="go()" style="top: 0"><a href="https://x">kept</a>'
        '<i class="fas fa-check-circle text-success"></i><i class="fas fa-times text-danger"></i></div><footer>x</footer>'
    )
    sections, places = self_contained(page)
    assert sections == (
        '<div id="section-2" class="ge-section">kept<span class="good">passed</span><span class="bad">failed</span></div>'
    )
    assert places == {"items.color": "#section-2"}

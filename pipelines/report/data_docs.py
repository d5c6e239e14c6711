"""Great Expectations' Data Docs of a snapshot: their own page, rendered from what the gate added up
over all files.

Their page loads styles, scripts and a logo from servers of others; here it loads nothing, so that
looking at a snapshot tells nobody of it.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import jinja2
from lxml import html
from markupsafe import Markup

from pipelines.report.html import clean, content_policy
from pipelines.snapshots.manifest import CheckEntry, Manifest

DATA_DOCS = "data_docs/index.html"
# What loads from elsewhere or needs a script, and the library's own frame: styles, navigation,
# footer.
_TAKEN_OUT = (
    "//script|//style|//link|//meta|//title|//img|//iframe|//object|//embed|//base|//form|//footer|//nav"
    "|//*[contains(@class, 'modal')]|//*[@data-toggle='collapse']"
)
# Without the first, which says again what the verdict says.
_SECTIONS = (
    "//div[starts-with(@id, 'section-')][contains(@class, 'ge-section')][@id != 'section-1']"
)


def data_docs_page(manifest: Manifest) -> str:
    """Return the HTML page of all checks in a manifest.

    Each is shown with the column `<frame>.<column>`.
    """
    import great_expectations as gx
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    rows = [_validation(check) for check in manifest.checks]
    passed = sum(row.success for row in rows)
    whole = ExpectationSuiteValidationResult(
        success=manifest.published,
        results=rows,
        suite_name="catalog-enrich",
        statistics={
            "evaluated_expectations": len(rows),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(rows) - passed,
            "success_percent": 100.0 * passed / max(1, len(rows)),
        },
        meta={
            "great_expectations_version": gx.__version__,
            "run_id": {"run_name": manifest.run_id, "run_time": str(manifest.finished)},
            "active_batch_definition": {},
        },
    )
    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(whole))
    sections, places = self_contained(page)
    style = resources.files("pipelines.report").joinpath("report.css").read_text()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["clean"] = lambda text: clean(str(text))
    return environment.get_template("data_docs.html.j2").render(
        manifest=manifest,
        version=gx.__version__,
        checks=sorted(manifest.checks, key=lambda check: (check.passed, check.severity)),
        passed=passed,
        places=places,
        sections=Markup(sections),  # noqa: S704 - made by the library, which escapes, and cleaned
        style=Markup(style),  # noqa: S704 - a file of this package
        policy=Markup(content_policy(style, "")),  # noqa: S704 - made of hashes
    )


def self_contained(page: str) -> tuple[str, dict[str, str]]:
    """Return the sections of the library's page without anything that is loaded, and column → link
    to its section.
    """
    document = html.document_fromstring(page)
    links = document.xpath("//nav//a[starts-with(@href, '#')]")
    places = {link.text_content().strip(): link.get("href") for link in links}
    for element in document.xpath(_TAKEN_OUT):
        element.drop_tree()
    for link in document.xpath("//a"):  # to pages that are not here
        link.drop_tag()
    for icon in document.xpath("//i"):
        passed = "text-success" in icon.get("class", "")
        icon.tag, icon.text = "span", "passed" if passed else "failed"
        icon.set("class", "good" if passed else "bad")
    for element in document.xpath("//*"):
        element.tag = "h3" if element.tag == "h5" else element.tag
        for name in [
            name for name in element.attrib if name == "style" or name.startswith(("on", "data-"))
        ]:
            del element.attrib[name]
    return "".join(
        html.tostring(each, encoding="unicode") for each in document.xpath(_SECTIONS)
    ), places


def _validation(check: CheckEntry) -> Any:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    arguments = {"column": check.column, **check.expected}
    values = max(1, check.values, check.unexpected)
    percent = 100.0 * check.unexpected / values
    return ExpectationValidationResult(
        success=check.passed,
        expectation_config=ExpectationConfiguration(
            type=_snake(check.expectation),
            kwargs=arguments,
        ),
        result={
            "element_count": values,
            "unexpected_count": check.unexpected,
            "unexpected_percent": percent,
            "unexpected_percent_nonmissing": percent,
            "partial_unexpected_list": check.examples,
            "missing_count": 0,
            "missing_percent": 0.0,
        },
        exception_info={
            "raised_exception": False,
            "exception_message": None,
            "exception_traceback": None,
        },
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()

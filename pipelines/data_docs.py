"""Great Expectations' Data Docs of a snapshot: their own page, rendered from what the gate added up over all files.

Their page loads styles, scripts and a logo from servers of others; here it loads nothing, so that looking at a snapshot
tells nobody of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import escape

# Scripts, remote style sheets and pictures, and what is typed into a search box of the page.
_REMOTE = (
    re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE),
    re.compile(r"<link\b[^>]*>", re.IGNORECASE),
    re.compile(r"<img\b[^>]*>", re.IGNORECASE),
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
DATA_DOCS = "data_docs/index.html"
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 0 auto; max-width: 70rem; padding: 1rem }
table { border-collapse: collapse; width: 100% }
td, th { border: 1px solid #8886; padding: .3rem .5rem; text-align: left }
ul { padding-left: 1.2rem } .modal, .popover, nav form { display: none }
"""


def data_docs_page(manifest: Mapping[str, Any]) -> str:
    """The HTML page of all checks in a manifest. Each is shown with the column `<frame>.<column>`."""
    import great_expectations as gx
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    rows = [_validation(check) for check in manifest["checks"]]
    passed = sum(row.success for row in rows)
    whole = ExpectationSuiteValidationResult(
        success=manifest["published"],
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
            "run_id": {"run_name": manifest["run_id"], "run_time": str(manifest["finished"])},
            "active_batch_definition": {},
        },
    )
    html: str = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(whole))
    return _with_meanings(self_contained(html), manifest["checks"])


def _with_meanings(html: str, checks: Sequence[Mapping[str, Any]]) -> str:
    """The page with a table in front of what each check means, and what to do where it failed."""
    rows = [
        f"<tr><td>{'passed' if check['passed'] else 'failed'}</td><td>{check['severity']}</td>"
        f"<td>{escape(check['id'])}: {escape(check['check'])}</td><td>{escape(check['column'])}</td>"
        f"<td>{'' if check['passed'] else escape('To do: ' + check['fix'])}</td></tr>"
        for check in sorted(checks, key=lambda check: (check["passed"], check["severity"]))
    ]
    head = "<tr><th>verdict</th><th>severity</th><th>check</th><th>column</th><th>what to do</th></tr>"
    table = f"<h2>What is checked</h2><table>{head}{''.join(rows)}</table>"
    return re.sub(r"<body\b[^>]*>", lambda body: body[0] + table, html, count=1)


def self_contained(html: str) -> str:
    """The page without anything that is loaded from elsewhere, and forbidden to load anything."""
    for pattern in _REMOTE:
        html = pattern.sub("", html)
    head = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{_STYLE}</style>'
    return html.replace("<head>", f"<head>{head}", 1)


def _validation(check: Mapping[str, Any]) -> Any:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    arguments, share = {"column": check["column"], **check["expected"]}, check["unexpected"] / max(1, check["values"])
    return ExpectationValidationResult(
        success=check["passed"],
        expectation_config=ExpectationConfiguration(
            type=_snake(check["expectation"]),
            kwargs=arguments,
        ),
        result={
            "element_count": check["values"],
            "unexpected_count": check["unexpected"],
            "unexpected_percent": 100.0 * share,
            "unexpected_percent_nonmissing": 100.0 * share,
            "partial_unexpected_list": check["examples"],
            "missing_count": 0,
            "missing_percent": 0.0,
        },
        exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()

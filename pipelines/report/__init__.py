"""The report of a run: one HTML page beside the tables that explains a snapshot to the people who
look at it.
"""

from pipelines.report.page import REPORT_PAGE, render, write_run_report

__all__ = ["REPORT_PAGE", "render", "write_run_report"]

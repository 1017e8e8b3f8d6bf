"""Figures and one self-contained HTML page; a rich table for the terminal."""

from longodds.report.page import Documents, equivalent, measurement_facts, write_report
from longodds.report.terminal import render_fast_p, render_table, render_tasks

__all__ = [
    "Documents",
    "equivalent",
    "measurement_facts",
    "render_fast_p",
    "render_table",
    "render_tasks",
    "write_report",
]

"""Figures and one self-contained HTML page; a rich table for the terminal."""

from longodds.report.page import Documents, write_report
from longodds.report.terminal import render_fast_p, render_table, render_tasks

__all__ = ["Documents", "render_fast_p", "render_table", "render_tasks", "write_report"]

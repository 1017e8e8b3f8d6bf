"""Where problems come from: the bundled suite, KernelBench, a user's own files, and seeded splits of either.

A problem is read as text, and only its outline is looked at; torch is imported for a file of example tensors alone.
"""

from __future__ import annotations

from longodds.tasks.bundled import EVAL_ONLY_FAMILIES
from longodds.tasks.kernelbench import describe_source
from longodds.tasks.loader import load_suite, load_task, task_name
from longodds.tasks.module import read_module
from longodds.tasks.problem import SkippedProblem
from longodds.tasks.splits import load_split, make_split, render_split, select_tasks

__all__ = [
    "EVAL_ONLY_FAMILIES",
    "SkippedProblem",
    "describe_source",
    "load_split",
    "load_suite",
    "load_task",
    "make_split",
    "read_module",
    "render_split",
    "select_tasks",
    "task_name",
]

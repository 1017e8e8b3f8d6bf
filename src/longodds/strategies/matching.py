"""What a finished run took, task by task, as the budget of a run that is to be compared with it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from longodds.errors import UserError
from longodds.store import RunDir, sampled_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.types import Task


def match_budgets(match: Path | str, tasks: Sequence[Task]) -> dict[str, int]:
    """Task id -> tokens that a cell of the run at `match` was charged on that task, the mean over its seeds: its prompt
    once a step, prompts that show earlier attempts with them, and what was sampled.

    Raises UserError for a path that is no run, and for a task that it did not sample or that has changed since.
    """
    run = RunDir.open(match)
    records = run.records()
    spent: dict[str, float] = defaultdict(float)
    prompts: set[tuple[str, int, int]] = set()
    seeds: dict[str, set[int]] = defaultdict(set)
    for row in run.sample_rows():
        task_id = row["task_id"]
        seeds[task_id].add(row["seed"])
        spent[task_id] += sampled_tokens(row)
        if row.get("prompt_tokens") is not None:
            spent[task_id] += row["prompt_tokens"]
        elif (asked := (task_id, row["seed"], row["step"])) not in prompts:
            prompts.add(asked)
            spent[task_id] += len(records[task_id].prompt_token_ids) if task_id in records else 0
    budgets: dict[str, int] = {}
    for task in tasks:
        if task.id not in spent:
            raise UserError(f"--match {match}: has no samples of {task.id}; match a run on the same tasks")
        if task.id in records and records[task.id].task.digest != task.digest:
            raise UserError(f"--match {match}: its task {task.id} has another content; match a run on the same tasks")
        budgets[task.id] = round(spent[task.id] / len(seeds[task.id]))
    return budgets

"""Which tasks a run is about, in what order, and which programs it times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from longodds.errors import UserError
from longodds.selection import STRATEGIES, get_selector
from longodds.tasks import describe_source, load_split, load_suite, select_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from longodds.config import TaskSettings
    from longodds.selection.selectors import AnySelector
    from longodds.types import Policy, Task


def choose_tasks(settings: TaskSettings, *, note: Callable[[str], None] | None = None) -> list[Task]:
    """The tasks of a run: suite, then split and subset, then ids, then number.

    note: is told which KernelBench is used, and of files of a suite that are no problems. Raises
    UserError for an unknown suite, a missing or altered split, ids that the suite lacks, a subset that the suite does
    not define, no task left.
    """
    on_skip = None if note is None else lambda problem: note(f"skipped {problem.reason}")
    root = settings.kernelbench_root
    tasks = load_suite(settings.suite, scale=settings.scale, on_skip=on_skip, kernelbench_root=root)
    source = tasks[0].metadata.get("source")
    if note is not None and source is not None:
        note(f"{settings.suite}: {describe_source(source)}")
    if settings.split is not None:
        path = Path(settings.split).expanduser()
        ids = load_split(path)["problem_ids"][settings.subset or "eval"]
        tasks = select_tasks(tasks, ids, source=str(path))
    elif settings.subset is not None:
        tasks = _own_subset(tasks, settings.subset)
    if settings.problem_ids is not None:
        tasks = select_tasks(tasks, settings.problem_ids, source="--problem-ids")
    tasks = tasks[: settings.max_tasks]
    if not tasks:
        raise UserError(f"suite {settings.suite!r}: no task is left; widen --split, --subset or --problem-ids")
    return tasks


def _own_subset(tasks: Sequence[Task], subset: str) -> list[Task]:
    if not any("split" in task.metadata for task in tasks):
        suite = tasks[0].suite
        raise UserError(
            f"--subset {subset}: suite {suite!r} has no split of its own; make one with `longodds split make` "
            "and give it by --split"
        )
    return [task for task in tasks if task.metadata.get("split") == subset]


@dataclass(frozen=True, slots=True)
class TimePlan:
    """Which correct programs of a cell are timed.

    kind: `all`, `none`, or `top`: the first m by a selection strategy, which sees no timings.
    """

    kind: str
    m: int = 0
    strategy: str = ""

    def selector(self, seed: int) -> AnySelector:
        return get_selector(self.strategy, seed=seed)


def may_overlap(policy: Policy, plan: TimePlan, device: str) -> bool:
    """Whether sampling may go on while programs are judged on `device`.

    Not where a local model computes on the very device that programs are timed on: each would slow the other down, and
    the timings would be of both.
    """
    where = getattr(policy, "device", None)
    if where is None or plan.kind == "none":
        return True
    kind, _, index = str(where).partition(":")
    timed, _, timed_index = device.partition(":")
    return (kind, index or "0") != (timed, timed_index or "0")


def parse_time(text: str) -> TimePlan:
    """`all`, `none` or `top:M:STRATEGY`. Raises UserError for anything else."""
    if text in ("all", "none"):
        return TimePlan(text)
    match = re.fullmatch(r"top:([0-9]+):(.+)", text)
    if match is None:
        raise UserError(f"--time {text!r}: must be all, none or top:M:STRATEGY, e.g. top:3:surprisal")
    m, strategy = int(match.group(1)), match.group(2)
    if m < 1:
        raise UserError(f"--time {text!r}: M must be at least 1")
    if strategy not in STRATEGIES:
        raise UserError(f"--time {text!r}: unknown strategy {strategy!r}; known: {', '.join(STRATEGIES)}")
    return TimePlan("top", m, strategy)

"""`longodds tasks list|show|validate`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from longodds.cli.console import json_stdout, make_table, note_line, print_table, print_text, write_json
from longodds.errors import UserError

if TYPE_CHECKING:
    from longodds.evaluator import TaskReport
    from longodds.tasks import SkippedProblem
    from longodds.types import Task


def list_tasks(suite: str, /, *, kernelbench_root: str | None = None, json: bool = False) -> None:
    """List the tasks of a suite.

    Parameters
    ----------
    suite
        cpu, kernelbench:1 to kernelbench:4, dir:PATH or file:PATH.py.
    kernelbench_root
        A checkout of KernelBench, a Parquet or JSONL file of its dataset, hub or hub@REVISION.
    json
        One JSON document on stdout.
    """
    from longodds.tasks import describe_source, load_suite

    skipped: list[SkippedProblem] = []
    with json_stdout(json) as out:
        tasks = load_suite(suite, on_skip=skipped.append, kernelbench_root=kernelbench_root)
        for problem in skipped:
            note_line(f"skipped {problem.reason}")
        if json:
            left_out = [{"path": str(p.path), "reason": p.reason} for p in skipped]
            document = {"suite": suite, "n_tasks": len(tasks), "tasks": [_summary(t) for t in tasks]}
            write_json(out, {**document, "n_skipped": len(skipped), "skipped": left_out})
            return
        rows = [(t.id, *(str(t.metadata.get(key, "")) for key in ("family", "split", "description"))) for t in tasks]
        print_table(make_table(None, ["task", "family", "split", "description"], rows))
        splits = Counter(str(t.metadata["split"]) for t in tasks if "split" in t.metadata)
        parts = ", ".join(f"{n} {name}" for name, n in sorted(splits.items()))
        missing = f"; {len(skipped)} files skipped" if skipped else ""
        print_text(f"\n{len(tasks)} tasks{f' ({parts})' if parts else ''}{missing}")
        if "source" in tasks[0].metadata:
            print_text(describe_source(tasks[0].metadata["source"]))


def show_task(task: str, /, *, kernelbench_root: str | None = None, json: bool = False) -> None:
    """Show one task: what is known about it and its source.

    Parameters
    ----------
    task
        A task id (cpu/row_softmax_by_hand, kernelbench:1/4, dir:PATH/NAME, file:PATH.py).
    kernelbench_root
        A checkout of KernelBench, a Parquet or JSONL file of its dataset, hub or hub@REVISION.
    json
        One JSON document on stdout.
    """
    from longodds.tasks import load_task

    with json_stdout(json) as out:
        found = load_task(task, kernelbench_root=kernelbench_root)
        if json:
            write_json(out, {**_summary(found), "suite": found.suite, "reference": found.reference})
            return
        print_text("\n".join(f"# {k}: {v}" for k, v in {"task": found.id, **found.metadata}.items()))
        print_text("\n" + found.reference)


def _summary(task: Task) -> dict[str, Any]:
    return {"task_id": task.id, "digest": task.digest, "metadata": dict(task.metadata)}


def validate_tasks(
    suite: str,
    /,
    *,
    golds: Path | None = None,
    subset: Literal["train", "eval"] | None = None,
    problem_ids: str | None = None,
    max_tasks: int | None = None,
    kernelbench_root: str | None = None,
    timed: Annotated[bool, Parameter(name="--time", negative="--no-time")] = True,
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Check that tasks are fit to judge by.

    Each must run, be deterministic, accept itself and its gold program, and reject programs that return zeros, ones,
    a mean, an input or the previous output. Exits 2, naming them, when some are not.

    Parameters
    ----------
    suite
        cpu, kernelbench:1 to kernelbench:4, dir:PATH or file:PATH.py.
    golds
        Directory with NAME.py for tasks that have a program known to be right and faster.
    subset
        Which half of the suite's own split.
    problem_ids
        Names or numbers, separated by commas.
    max_tasks
        At most so many tasks, the first ones.
    kernelbench_root
        A checkout of KernelBench, a Parquet or JSONL file of its dataset, hub or hub@REVISION.
    timed
        Whether the gold programs must also be verified faster.
    device
        Where programs run: cpu or cuda.
    json
        One JSON document on stdout.
    """
    from longodds.cli.flags import names
    from longodds.config import TaskSettings, resolve
    from longodds.strategies.validate import validate_suite

    flags = {"suite": suite, "subset": subset, "problem_ids": names(problem_ids), "max_tasks": max_tasks}
    settings = resolve(TaskSettings, flags={**flags, "kernelbench_root": kernelbench_root})
    reports: list[TaskReport] = []
    with json_stdout(json) as out:
        for total, report in validate_suite(settings, golds=golds, timed=timed, device=device, note=note_line):
            reports.append(report)
            _tell(len(reports), total, report)
        bad = [r for r in reports if not r.ok]
        if json:
            document = {"suite": suite, "n_tasks": len(reports), "n_ok": len(reports) - len(bad)}
            write_json(out, {**document, "tasks": [r.to_json() for r in reports]})
        else:
            faster = [r for r in reports if r.gold is not None and (r.gold.ci_low or 0.0) > 1]
            golden = sum(r.gold is not None for r in reports)
            print_text(
                f"{len(reports) - len(bad)} of {len(reports)} tasks are fit to judge by; "
                f"{golden} have a gold program, {len(faster)} of them verified faster"
            )
    if bad:
        shown = ", ".join(r.task_id for r in bad[:8]) + (f" and {len(bad) - 8} more" if len(bad) > 8 else "")
        raise UserError(f"{len(bad)} of {len(reports)} tasks are not fit to judge by: {shown}")


def _tell(number: int, total: int, report: TaskReport) -> None:
    what = "; ".join(report.problems) if report.problems else "ok"
    if report.gold is not None and report.gold.speedup is not None:
        what += f", gold {report.gold.speedup:.2f}x"
    reference = "" if report.reference_us is None else f", reference {report.reference_us / 1000:.2f} ms"
    note_line(f"[{number}/{total}] {report.task_id}: {what}{reference}")

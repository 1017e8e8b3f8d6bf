"""What `inspect` shows of a run, as plain values: its tasks, the distinct programs of a task, one program."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError
from longodds.report.browser import line_difference, programs_of
from longodds.report.text import visible
from longodds.types import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from longodds.types import Sample, Task


class RunView:
    """A run to look at. Program rows of a task are made when they are first asked for."""

    def __init__(self, name: str, samples: Sequence[Sample], tasks: Mapping[str, Task], *, seed: int = 0) -> None:
        """seed: breaks ties of the strategies, as in `select`."""
        self.name = name
        self._tasks = tasks
        self._seed = seed
        self._by_task: dict[str, list[Sample]] = {task_id: [] for task_id in tasks}
        for sample in samples:
            self._by_task.setdefault(sample.task_id, []).append(sample)
        self._programs: dict[str, list[dict[str, Any]]] = {}

    def tasks(self) -> list[dict[str, Any]]:
        """One row a task, in the order of the run. Shares are of judged samples; None where there are none or some that
        are correct were not timed."""
        return [self._task_row(task_id, rows) for task_id, rows in self._by_task.items()]

    def _task_row(self, task_id: str, rows: list[Sample]) -> dict[str, Any]:
        verdicts = [s.verdict for s in rows if s.verdict and s.verdict.status is not Status.INFRA_ERROR]
        timed = [v for v in verdicts if v.correct and v.speedup is not None]
        n = len(verdicts)
        known = n > 0 and not any(v.untold for v in verdicts)
        intervals = known and all(v.has_interval for v in timed)
        best = max(timed, key=lambda v: v.speedup or 0.0, default=None)
        return {
            "task_id": task_id,
            "seeds": sorted({s.seed for s in rows}),
            "samples": len(rows),
            "judged": n,
            "correct": sum(v.correct for v in verdicts),
            "programs": len({s.program_digest for s in rows}),
            "timed": len(timed),
            "fast_1": sum((v.speedup or 0.0) > 1 for v in timed) / n if known else None,
            "fast_1_sig": sum((v.ci_low or 0.0) > 1 for v in timed) / n if intervals else None,
            "best_speedup": best.speedup if best else None,
            "best_ci_low": best.ci_low if best else None,
            "statuses": dict(Counter(v.status.value for v in verdicts)),
        }

    def find_task(self, name: str) -> str:
        """The task of that id, or the only one whose id ends with or contains the text. Raises UserError."""
        ids = list(self._by_task)
        if name in ids:
            return name
        for found in ([t for t in ids if t.endswith(f"/{name}")], [t for t in ids if name in t]):
            if len(found) == 1:
                return found[0]
            if found:
                listed = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
                raise UserError(f"{name}: {len(found)} tasks of {self.name} are called so: {listed}")
        raise UserError(f"{name}: no such task in {self.name}; `longodds inspect {self.name}` lists them")

    def programs(self, task_id: str) -> list[dict[str, Any]]:
        """Distinct judged programs of a task, most surprising first."""
        if task_id not in self._programs:
            self._programs[task_id] = programs_of(self._by_task[task_id], seed=self._seed)
        return self._programs[task_id]

    def find_program(self, task_id: str, name: str) -> dict[str, Any]:
        """The program with that number in the list (from 1) or whose digest begins so. Raises UserError."""
        rows = self.programs(task_id)
        if name.isdecimal() and 1 <= int(name) <= len(rows):
            return rows[int(name) - 1]
        found = [row for row in rows if row["d"].startswith(name)]
        if len(found) != 1:
            what = "no such program" if not found else f"{len(found)} programs begin so"
            raise UserError(
                f"{name}: {what} in {task_id}; give its number in the list, 1 to {len(rows)}, or its digest"
            )
        return found[0]

    def difference(self, task_id: str, program: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Lines of the program with their kind: " " as in the reference, "-" only there, "+" only in the program."""
        reference = visible(self._tasks[task_id].reference).splitlines() if task_id in self._tasks else []
        lines: list[tuple[str, str]] = []
        at = 0
        for first, last, *added in line_difference(reference, program["x"].splitlines()):
            lines += [(" ", line) for line in reference[at:first]]
            lines += [("-", line) for line in reference[first:last]]
            lines += [("+", line) for line in added]
            at = last
        return lines + [(" ", line) for line in reference[at:]]


def program_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A program row under the names that documents use. surprisal in nats per token; null where unknown."""
    return {
        "program_digest": row["d"],
        "surprisal": row["s"],
        "n_tokens": row["n"],
        "samples": row["c"],
        "seeds": row["e"],
        "status": row["st"],
        "speedup": row["v"],
        "ci_low": row["lo"],
        "ci_high": row["hi"],
        "runtime_us": row["us"],
        "labels": row["l"],
        "message": row["m"],
        "chosen_by": row["by"],
        "program": row["x"],
    }

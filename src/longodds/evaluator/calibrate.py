"""The A/A control: how often is an unchanged program called faster here, and how large a gain is seen?

Three phases, each row appended to a log so that the same command goes on after an interruption: process pairs of
unchanged programs (the spread that later widens every interval), verdicts on unchanged programs written in different
words, and verdicts against references that were slowed down by a known share.
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from longodds.evaluator import stats
from longodds.evaluator.controller import LocalEvaluator
from longodds.evaluator.settings import EvaluatorSettings, device_name
from longodds.evaluator.validate import unchanged
from longodds.types import Status, Task, Verdict, digest_text

SLOWDOWNS = (0.03, 0.05, 0.10, 0.20)
FAMILY = 32
_PAIRS_PER_PROCESS = 16
Progress = Callable[[str, int, int], None]


def reworded(task: Task, number: int) -> str:
    """The unchanged program in other words: inert names and constants, so that no two texts or digests are equal."""
    tree = ast.parse(task.reference)
    rng = random.Random(number)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "forward":
            spare = ast.parse(f"unused_{number} = {rng.randrange(1 << 30)}").body
            node.body = [*spare, *node.body]
    body = ast.unparse(tree)
    return f"VARIANT = {number}\n{body}\n\nclass ModelNew(Model):\n    pass\n"


def slowed(task: Task, microseconds: float) -> Task:
    """The task with a reference that spins `microseconds` longer per call."""
    source = (
        f"{task.reference}\n\nimport time as _time\n\n_Quick = Model\n\n\nclass Model(_Quick):\n"
        "    def forward(self, *inputs):\n        out = super().forward(*inputs)\n"
        f"        end = _time.perf_counter_ns() + {int(microseconds * 1000)}\n"
        "        while _time.perf_counter_ns() < end:\n            pass\n        return out\n"
    )
    return replace(task, reference=source, digest=digest_text(source))


class Log:
    """Append-only rows of finished measurements by key, so that none is measured twice; a torn last row is dropped."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if whole and json.loads(whole[0]) == header:
            for line in whole[1:]:
                row = json.loads(line)
                self.rows[row["key"]] = row
            path.write_text("".join(whole))
        else:
            path.write_text(json.dumps(header) + "\n")

    def get(self, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if key not in self.rows:
            self.rows[key] = {"key": key, **measure()}
            with self.path.open("a") as file:
                file.write(json.dumps(self.rows[key]) + "\n")
        return self.rows[key]


def calibrate(
    tasks: Sequence[Task],
    settings: EvaluatorSettings,
    *,
    n: int,
    path: Path,
    progress: Progress = lambda phase, done, total: None,
) -> dict[str, Any]:
    """Run the control on `tasks` and write its result to `path` (JSON, see docs/cli.md); returns the document.

    n: verdicts on unchanged programs, spread evenly over the tasks. The log beside `path` makes it resumable.
    Raises UserError for a task that can't be judged, InfraError.
    """
    bare = replace(settings, calibration=None)
    header = {"device": device_name(), "n": n, "tasks": [t.digest for t in tasks], "version": 1, "settings": repr(bare)}
    log = Log(path.with_suffix(".log.jsonl"), header)
    with LocalEvaluator(bare) as evaluator:
        groups, reference_us = _process_pairs(evaluator, tasks, n, log, progress)
    document: dict[str, Any] = {"device": device_name(), "between_process_sd": stats.between_process_sd(groups)}
    log.get("spread", lambda: {"between_process_sd": document["between_process_sd"]})
    document["between_process_sd"] = log.rows["spread"]["between_process_sd"]
    _write(path, document)
    with LocalEvaluator(replace(settings, calibration=path)) as evaluator:
        verdicts = _unchanged(evaluator, tasks, n, log, progress)
        power = _power(evaluator, tasks, n, reference_us, log, progress)
    document |= summarise(verdicts, power)
    _write(path, document)
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)


def _process_pairs(
    evaluator: LocalEvaluator, tasks: Sequence[Task], n: int, log: Log, progress: Progress
) -> tuple[list[list[float]], dict[str, float]]:
    total = max(len(tasks) * 3, min(n // 4, 120))
    groups: list[list[float]] = []
    reference_us: dict[str, float] = {}
    for i in range(total):
        progress("process pairs", i, total)
        task = tasks[i % len(tasks)]

        def measure(task: Task = task, i: int = i) -> dict[str, Any]:
            process = i // len(tasks) % (stats.PROCESS_PAIRS + 1)
            return evaluator.process_pair(task, unchanged(task), process=process, count=_PAIRS_PER_PROCESS)

        row = log.get(f"pair {i}", measure)
        groups.append(row["d"])
        reference_us[task.id] = float(np.median(row["reference_us"]))
    return groups, reference_us


def _unchanged(
    evaluator: LocalEvaluator, tasks: Sequence[Task], n: int, log: Log, progress: Progress
) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    each = -(-n // len(tasks))
    for i in range(n):
        progress("unchanged programs", i, n)
        task, number = tasks[i // each], i % each

        def measure(task: Task = task, number: int = number) -> dict[str, Any]:
            return {"verdict": evaluator.evaluate(task, reworded(task, number)).to_json()}

        row = log.get(f"same {task.id} {number}", measure)
        found.setdefault(task.id, []).append(Verdict.from_json(row["verdict"]))
    return found


def _power(
    evaluator: LocalEvaluator,
    tasks: Sequence[Task],
    n: int,
    reference_us: dict[str, float],
    log: Log,
    progress: Progress,
) -> dict[float, list[Verdict]]:
    found: dict[float, list[Verdict]] = {s: [] for s in SLOWDOWNS}
    repeats = max(1, n // 100)
    plan = [(t, s, r) for t in tasks for s in SLOWDOWNS for r in range(repeats)]
    for i, (task, slowdown, repeat) in enumerate(plan):
        progress("planted slowdowns", i, len(plan))

        def measure(task: Task = task, slowdown: float = slowdown) -> dict[str, Any]:
            padded = slowed(task, slowdown * reference_us[task.id])
            return {"verdict": evaluator.evaluate(padded, unchanged(task)).to_json()}

        row = log.get(f"slowed {task.id} {slowdown} {repeat}", measure)
        found[slowdown].append(Verdict.from_json(row["verdict"]))
    return found


def summarise(verdicts: dict[str, list[Verdict]], power: dict[float, list[Verdict]]) -> dict[str, Any]:
    """The figures of `calibrate --json`. A verdict that is not CORRECT counts as judged wrongly and is listed."""
    everything = [v for vs in verdicts.values() for v in vs]
    timed = [v for v in everything if v.speedup is not None]
    errors = np.abs([v.speedup - 1 for v in timed if v.speedup is not None]) if timed else np.array([np.nan])
    false = sum((v.ci_low or 0.0) > 1.0 for v in everything)
    interval = binomtest(false, len(everything)).proportion_ci(0.95, "exact")
    families = {task: vs[:FAMILY] for task, vs in verdicts.items()}
    size = min(len(vs) for vs in families.values())
    lows = {task: [v.low_for(size) or 0.0 for v in vs[:size]] for task, vs in families.items()}
    return {
        "n": len(everything),
        "false_faster": false,
        "false_faster_rate": false / len(everything),
        "ci": [float(interval.low), float(interval.high)],
        "abs_error_p50": float(np.percentile(errors, 50)),
        "abs_error_p95": float(np.percentile(errors, 95)),
        "not_correct": [f"{v.task_id}: {v.status}: {v.message}" for v in everything if v.status is not Status.CORRECT],
        "seconds_per_verdict": float(np.median([v.seconds for v in everything])),
        "any_of_k": {"k": size, "tasks": len(lows), "false": sum(max(x) > 1.0 for x in lows.values())},
        "power": [
            {"slowdown": s, "called_faster": float(np.mean([(v.ci_low or 0.0) > 1.0 for v in vs])), "n": len(vs)}
            for s, vs in power.items()
            if vs
        ],
    }

"""The A/A control: how often is an unchanged program called faster here, and how large a gain is seen?

Three phases, each row appended to a log so that the same command goes on after an interruption: process pairs of
unchanged programs on fork servers that are started anew (the spread that later widens every interval); verdicts on
unchanged programs written in different words, with two naive ways of timing between them; and verdicts against
references that were slowed down by a known share.
"""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from longodds.errors import UserError
from longodds.evaluator import stats
from longodds.evaluator.control_log import Log
from longodds.evaluator.controller import LocalEvaluator
from longodds.evaluator.controls import reworded
from longodds.evaluator.cores import SHARED, SHARED_GPU, usable_cores
from longodds.evaluator.forks import FRESH
from longodds.evaluator.settings import EvaluatorSettings, device_name
from longodds.evaluator.validate import unchanged
from longodds.types import Status, Task, Verdict

SLOWDOWNS = {"cpu": (0.03, 0.05, 0.10, 0.20), "cuda": (0.01, 0.03)}
FAMILY, FAMILIES = 32, 10
WHOLE = 200  # verdicts from which on families are whole
_EACH = 10  # unchanged programs of a task that has no family
_PAIRS_PER_PROCESS, _ROUND_TASKS = 16, 4
_MOST_ROUNDS = {"cpu": 8, "cuda": 5}  # on a GPU preparing the tasks anew in each takes longest
_TOGETHER = 4
_NAIVE_EVERY = {"cpu": 8, "cuda": 16}  # programs of a family; on a GPU these ways take several times as long as ours
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a control of size n measures. families: tasks with k unchanged programs each; others: (task, programs)."""

    families: list[Task]
    k: int
    others: list[tuple[Task, int]]
    rounds: int
    repeats: int
    first: int = 0
    device: str = "cpu"

    @property
    def slowdowns(self) -> tuple[float, ...]:
        return SLOWDOWNS[self.device]

    @staticmethod
    def of(tasks: Sequence[Task], n: int, device: str = "cpu") -> Plan:
        """At least n verdicts on unchanged programs, of tasks spread evenly over those given."""
        families = _spread(tasks, min(FAMILIES, n))
        k = FAMILY if n >= WHOLE else -(-n // len(families))
        left = max(0, n - k * len(families))
        rest = [t for t in tasks if t not in families] or list(tasks)
        used = _spread(rest, min(len(rest), -(-left // _EACH))) if left else []
        others = [(t, left // len(used) + (i < left % len(used))) for i, t in enumerate(used)]
        rounds = max(1, min(_MOST_ROUNDS[device], n // 25))
        return Plan(families, k, others, rounds, max(1, n // 100), device=device)

    def share(self, number: int, of: int) -> Plan:
        """Every `of`-th task, from the `number`-th on: what one of several evaluators side by side does."""
        return replace(self, families=self.families[number::of], others=self.others[number::of], first=self.start)

    @property
    def start(self) -> int:
        """Number of the first program of a task beside the families: another one than a family's, if tasks are few."""
        return self.first or (WHOLE if {t.id for t in self.families} & {t.id for t, _ in self.others} else 0)

    @property
    def unchanged(self) -> list[tuple[Task, int]]:
        """(task, number of the program), task by task: an evaluator keeps few tasks at hand."""
        family = [(t, i) for t in self.families for i in range(self.k)]
        return family + [(t, self.start + i) for t, count in self.others for i in range(count)]


def _spread(tasks: Sequence[Task], count: int) -> list[Task]:
    count = max(1, min(count, len(tasks)))
    return [tasks[i * len(tasks) // count] for i in range(count)]


def calibrate(
    tasks: Sequence[Task],
    settings: EvaluatorSettings,
    *,
    n: int,
    path: Path,
    workers: int = 1,
    progress: Progress = lambda phase, done, total: None,
) -> dict[str, Any]:
    """Run the control on `tasks` and write its result to `path` (JSON, see docs/cli.md); returns the document.

    n: verdicts on unchanged programs that the false-faster rate is counted over; from WHOLE on, FAMILIES tasks get
    FAMILY programs each. workers: evaluators side by side, a core each. The log beside `path` makes it resumable.
    Raises UserError for a task that can't be judged and for more workers than cores, InfraError.
    """
    available = usable_cores()
    if workers > available:
        raise UserError(f"--workers: {workers} evaluators need as many cores, here are {available}")
    bare = replace(settings, calibration=None)
    plan = Plan.of(tasks, n, settings.device)
    header = {
        "device": device_name(settings.device),
        "n": n,
        "tasks": [t.digest for t in tasks],
        "version": 3,
        "settings": repr(bare),
    }
    with Log(path.with_suffix(".log.jsonl"), header) as log:
        with LocalEvaluator(bare) as evaluator:
            groups = _process_pairs(evaluator, plan, log, progress)
        spread = log.get("spread", lambda: {"between_process_sd": between_process_sd(groups, settings.device)})
        document = {"device": device_name(settings.device), "between_process_sd": spread["between_process_sd"]}
        write_document(path, document)
        _side_by_side(replace(settings, calibration=path), workers, plan, log, progress)
        control = _Control(None, plan, log, lambda phase, done, total: None)  # everything is in the log now
        control.run()
        document |= summarise(control, n)
        write_document(path, document)
        return document


def write_document(path: Path, document: dict[str, Any]) -> None:
    """JSON, whole or not at all."""
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def between_process_sd(groups: Mapping[str, Sequence[Mapping[str, Any]]], device: str) -> float:
    """Of all process pairs; on a GPU of those of the task where it is largest beside what its launches explain: there
    processes of most programs differ by a fraction of what those of a few do, and one reference serves for all programs
    of a task. groups: by task, each process pair's `d`, and on a GPU its `launches` and `reference_us`."""
    if device == "cpu":
        return stats.between_process_sd([row["d"] for of_task in groups.values() for row in of_task])
    seen = [stats.between_process_sd([row["d"] for row in of_task]) for of_task in groups.values()]
    launching = [_launching(of_task) for of_task in groups.values()]
    return max(math.sqrt(max(a**2 - b**2, 0.0)) for a, b in zip(seen, launching, strict=True))


def _launching(rows: Sequence[Mapping[str, Any]]) -> float:
    known = [
        stats.launch_spread(r["launches"], r["reference_us"]) for r in rows if {"launches", "reference_us"} <= set(r)
    ]
    return float(np.median(known)) if known else 0.0


def _process_pairs(
    evaluator: LocalEvaluator, plan: Plan, log: Log, progress: Progress
) -> dict[str, list[dict[str, Any]]]:
    """What was measured of process pairs, by task.

    A round starts both fork servers anew, so that what a server's forks may share varies too, and uses each for several
    tasks. Task by task beforehand and afterwards: every family's task is in some round.
    """
    plans: list[tuple[int, int, Task]] = []
    for r in range(max(plan.rounds, -(-len(plan.families) // _ROUND_TASKS))):
        for i in range(min(_ROUND_TASKS, len(plan.families))):
            task = plan.families[(r * _ROUND_TASKS + i) % len(plan.families)]
            plans += [(r, process, task) for process in range(1, 1 + FRESH)]
    groups: dict[str, list[dict[str, Any]]] = {}
    for i, (r, process, task) in enumerate(plans):
        progress("process pairs", i, len(plans))
        new = i == 0 or plans[i - 1][0] != r

        def measure(task: Task = task, process: int = process, new: bool = new) -> dict[str, Any]:
            return evaluator.process_pair(task, unchanged(task), process=process, count=_PAIRS_PER_PROCESS, renew=new)

        row = log.get(f"pair {r} {process} {task.id}", measure)
        groups.setdefault(task.id, []).append(row)
    return groups


def _side_by_side(
    settings: EvaluatorSettings,
    workers: int,
    plan: Plan,
    log: Log,
    progress: Progress,
) -> None:
    """The verdicts of the plan, by `workers` evaluators on a core each; tasks are shared out. Raises
    UserError, InfraError."""
    count = max(1, min(workers, len(plan.families)))
    stop = threading.Event()

    def work(number: int) -> None:
        def tell(phase: str, done: int, total: int) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            if number == 0:
                progress(phase, done, total)

        core = settings.core if count == 1 else None  # each leases another
        try:
            with LocalEvaluator(replace(settings, core=core)) as evaluator:
                _Control(evaluator, plan.share(number, count), log, tell).run()
        except BaseException:  # raised again: whatever ends one, Ctrl-C too, ends the others
            stop.set()
            raise

    if count == 1:
        work(0)
        return
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(work, number) for number in range(count)]
        try:
            for future in futures:
                future.result()
        except BaseException:  # raised again: Ctrl-C comes to this thread alone
            stop.set()
            raise


class _Control:
    """The verdicts of a control so far, by what they are on. evaluator: None when the log has everything."""

    def __init__(self, evaluator: LocalEvaluator | None, plan: Plan, log: Log, progress: Progress) -> None:
        self._evaluator, self.plan, self.log, self.progress = evaluator, plan, log, progress
        self.same: list[Verdict] = []
        self.families: dict[str, list[Verdict]] = {}
        self.winners: dict[str, Verdict] = {}
        self.naive: dict[str, list[float]] = {"sequential": [], "together": []}
        self.gains: dict[float, list[Verdict]] = {s: [] for s in plan.slowdowns}

    def run(self) -> None:
        self.unchanged()
        self.power()

    @property
    def evaluator(self) -> LocalEvaluator:
        assert self._evaluator is not None, "a measurement is missing in the log"
        return self._evaluator

    def unchanged(self) -> None:
        """Verdicts on unchanged programs; naive ways between them; each family's winner measured again."""
        todo = self.plan.unchanged
        family = self.plan.k * len(self.plan.families)
        for i, (task, number) in enumerate(todo):
            self.progress("unchanged programs", i, len(todo))
            program = reworded(task, number)
            verdict = self._verdict(f"same {task.id} {number}", lambda t=task, p=program: self.evaluator.evaluate(t, p))
            self.same.append(verdict)
            if i >= family:
                continue
            of_task = self.families.setdefault(task.id, [])
            of_task.append(verdict)
            if number % _NAIVE_EVERY[self.plan.device] == 0:
                self._naively(task, number)
            if len(of_task) == self.plan.k:
                self._winner(task, of_task)

    def _naively(self, task: Task, number: int) -> None:
        programs = [reworded(task, number + i) for i in range(min(_TOGETHER, self.plan.k))]
        row = self.log.get(f"naive {task.id} {number}", lambda: self.evaluator.naive_speedups(task, programs))
        for way, found in self.naive.items():
            found += row[way]

    def _winner(self, task: Task, verdicts: Sequence[Verdict]) -> None:
        """The best of a family is measured again before it counts."""
        lows = [v.low_for(len(verdicts)) or 0.0 for v in verdicts]
        best = max(range(len(lows)), key=lows.__getitem__)
        if lows[best] > 1.0:
            program = reworded(task, best)
            self.winners[task.id] = self._verdict(
                f"again {task.id} {best}", lambda: self.evaluator.remeasure(task, program, among=len(verdicts))
            )

    def power(self) -> None:
        """Verdicts on unchanged programs against references that were slowed down."""
        plan = [(t, s, r) for t in self.plan.families for s in self.plan.slowdowns for r in range(self.plan.repeats)]
        random.Random(0).shuffle(plan)
        plan.sort(key=lambda x: x[0].id)  # stable: task by task, slowdowns in random order
        for i, (task, slowdown, repeat) in enumerate(plan):
            self.progress("planted slowdowns", i, len(plan))
            self.gains[slowdown].append(
                self._verdict(
                    f"slowed {task.id} {slowdown} {repeat}",
                    lambda t=task, s=slowdown: self.evaluator.evaluate_slowed(t, unchanged(t), s),
                )
            )

    def _verdict(self, key: str, measure: Callable[[], Verdict]) -> Verdict:
        return Verdict.from_json(self.log.get(key, lambda: {"verdict": measure().to_json()})["verdict"])


def summarise(control: _Control, n: int) -> dict[str, Any]:
    """The figures of `calibrate --json`. A verdict that is not CORRECT counts as judged wrongly and is listed."""
    everything = control.same
    judged = [*everything, *(v for gained in control.gains.values() for v in gained)]
    order = list(range(len(everything)))
    random.Random(0).shuffle(order)  # fixed: which n of them count is no choice
    counted = [everything[i] for i in sorted(order[:n])]
    false = sum((v.ci_low or 0.0) > 1.0 for v in counted)
    interval = binomtest(false, len(counted)).proportion_ci(0.95, "exact")
    k = control.plan.k
    before = sum(max(v.low_for(k) or 0.0 for v in vs) > 1.0 for vs in control.families.values())
    return {
        "n": len(counted),
        "false_faster": false,
        "false_faster_rate": false / len(counted),
        "ci": [float(interval.low), float(interval.high)],
        **_errors([v.speedup for v in counted if v.speedup is not None]),
        "shared_core": sum(not {SHARED, SHARED_GPU}.isdisjoint(v.labels) for v in everything),
        "not_correct": [f"{v.task_id}: {v.status}: {v.message}" for v in judged if v.status is not Status.CORRECT],
        "seconds_per_verdict": float(np.median([v.seconds for v in everything])),
        "any_of_k": {
            "k": k,
            "tasks": len(control.families),
            "false": sum((v.ci_low or 0.0) > 1.0 for v in control.winners.values()),
            "before_remeasuring": before,
        },
        "power": [
            {
                "slowdown": s,
                "called_faster": float(np.mean([(v.ci_low or 0.0) > 1.0 for v in vs])),
                "n": len(vs),
                **_errors([v.speedup / (1 + s) for v in vs if v.speedup is not None]),
            }
            for s, vs in control.gains.items()
            if vs
        ],
        "speedups": {"sound": _rounded(v.speedup for v in counted if v.speedup is not None)}
        | {way: _rounded(found) for way, found in control.naive.items()},
        "naive": {
            way: {"n": len(found), "false_faster": sum(x > 1.0 for x in found), **_errors(found)}
            | {"false_faster_5": sum(x > 1.05 for x in found)}
            for way, found in control.naive.items()
        },
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(x), 5) for x in values]


def _errors(speedups: Sequence[float]) -> dict[str, float | None]:
    """Quantiles of |speedup - 1|, where 1 is the truth."""
    if not speedups:
        return {"abs_error_p50": None, "abs_error_p95": None}
    errors = np.abs(np.asarray(speedups) - 1)
    return {"abs_error_p50": float(np.percentile(errors, 50)), "abs_error_p95": float(np.percentile(errors, 95))}

"""Verdicts per minute: this evaluator beside a plain one that starts a Python process per candidate, in one run.

    python -m scripts.bench_evaluator [--run RUN] [--tasks 12] [--seconds 600] [--json]

The plain one imports torch, compares 5 outputs and times reference and candidate 50 times each, in the candidate's own
process, pinned to the same core. Both judge the same candidates, task by task, in alternating order. With --run they
are the samples of that run, all that it has of a task, as a model wrote them. Without, they are 16 a task in the mix
of an earlier adapter of the embedded model (docs/LOG.md: 62 % raise, 21 % correct, 15 % wrong, 2 % no Python; four
distinct programs in ten), with a gold program in most tasks. Three ways: plain; longodds with every candidate run; and
with equal programs run once and the cache of verdicts on, empty at first. Starting the evaluator and preparing tasks
is part of its time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator, trivial_programs, unchanged
from longodds.store import RunDir
from longodds.tasks import load_suite
from longodds.types import Task, Verdict

T = TypeVar("T")
GOLDS = Path(__file__).parents[1] / "tests" / "golds"
PLAIN = """
import sys, time, torch
torch.set_num_threads(1); torch.set_grad_enabled(False)
exec(open(sys.argv[1]).read(), space := {})
exec(open(sys.argv[2]).read(), own := {})
init = space.get("get_init_inputs", list)()
torch.manual_seed(0); a = space["Model"](*init)
torch.manual_seed(0); b = own["ModelNew"](*init)
for _ in range(5):
    x = space["get_inputs"]()
    torch.testing.assert_close(a(*x), b(*x), rtol=1e-4, atol=1e-4)
means = []
for model in (a, b):
    start = time.perf_counter()
    for _ in range(50):
        model(*x)
    means.append(time.perf_counter() - start)
print(means[0] / means[1])
"""


def candidates(task: Task, number: int) -> list[str]:
    """16 programs of a task: what a small model writes of it, duplicates included."""
    same = unchanged(task)
    gold = GOLDS / f"{task.id.partition('/')[2]}.py"
    slower = f"{same}\n    def forward(self, *a):\n        super().forward(*a)\n        return super().forward(*a)\n"
    trivial = trivial_programs(task)
    correct = [[same, same, same], [same, same, slower], [same, same, same]][number % 3]
    if gold.exists():
        correct.append(gold.read_text())
    wrong = [trivial["zeros"], trivial["mean"]]
    broken = ["def forward(self, x:\n"] if number % 3 == 0 else []
    raising = [
        f"{same}\n    def forward(self, *a):\n        {line}\n        return super().forward(*a)\n"
        for line in ("y = undefined + 1", "a[0].no_such_method()", "a = a[0] @ a[0][0, :1].reshape(1, 1).expand(3, 3)")
    ]
    rest = 16 - len(correct) - len(wrong) - len(broken)
    return [*correct, *wrong, *broken, *(raising[(i * i) % 3] for i in range(rest))]


def sampled(run: Path) -> list[tuple[Task, list[str]]]:
    """The tasks of a run and all programs sampled for each, over its seeds. Raises UserError for what is no run."""
    with RunDir.open(run) as store:
        programs: dict[str, list[str]] = {}
        for sample in store.samples():
            programs.setdefault(sample.task_id, []).append(sample.program or "")
        return [(task, programs[name]) for name, task in store.tasks().items() if name in programs]


def spread(items: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of the items, evenly spaced."""
    return items[:: max(1, len(items) // most)][:most]


class Way:
    """One way of judging: what it took, in all and for each program that was run."""

    def __init__(self, judge: Callable[[Task, Sequence[str]], list[float]]) -> None:
        self.judge = judge
        self.seconds, self.verdicts = 0.0, 0
        self.each: list[float] = []

    def go(self, task: Task, programs: Sequence[str]) -> None:
        start = time.monotonic()
        self.each += self.judge(task, programs)
        self.seconds += time.monotonic() - start
        self.verdicts += len(programs)

    def report(self) -> dict[str, Any]:
        return {
            "verdicts": self.verdicts,
            "seconds": round(self.seconds, 2),
            "per_minute": round(60 * self.verdicts / self.seconds, 1),
            "median_s": round(statistics.median(self.each), 3),
        }


def plain(folder: Path, core: int) -> Callable[[Task, Sequence[str]], list[float]]:
    script, reference, candidate = (folder / name for name in ("plain.py", "reference.py", "candidate.py"))
    script.write_text(PLAIN)

    def judge(task: Task, programs: Sequence[str]) -> list[float]:
        reference.write_text(task.reference)
        spent: list[float] = []
        for program in programs:
            candidate.write_text(program)
            start = time.monotonic()
            subprocess.run(
                ["taskset", "-c", str(core), sys.executable, script, reference, candidate],
                capture_output=True,
                check=False,
                timeout=300,
            )
            spent.append(time.monotonic() - start)
        return spent

    return judge


def ours(evaluator: LocalEvaluator, seen: Counter[str], *, once: bool) -> Callable[[Task, Sequence[str]], list[float]]:
    """once: equal programs are run once, with the cache."""

    def judge(task: Task, programs: Sequence[str]) -> list[float]:
        verdicts: list[Verdict]
        if once:
            verdicts = [v for _, v in evaluator.evaluate_many(task, programs)]
        else:
            verdicts = [evaluator.evaluate(task, program) for program in programs]
            seen.update(v.status.value for v in verdicts)
        return [v.seconds for v in {id(v): v for v in verdicts}.values()]

    return judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run whose samples are judged")
    parser.add_argument("--tasks", type=int, default=12, help="how many tasks")
    parser.add_argument("--seconds", type=float, default=600.0, help="start no further task after so long")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.tasks < 1:
        parser.error("--tasks: at least 1")
    if asked.run:
        try:
            work = spread(sampled(asked.run), asked.tasks)
        except UserError as error:
            parser.error(f"--run: {error}")
    else:
        work = [(t, candidates(t, i)) for i, t in enumerate(spread(load_suite("cpu"), asked.tasks))]
    # One core for all three, though the second evaluator's verdicts say that it is shared: only one works at a time.
    settings = EvaluatorSettings(core=max(os.sched_getaffinity(0)))
    begin, seen = time.monotonic(), Counter[str]()
    distinct = 0
    with tempfile.TemporaryDirectory(prefix="longodds-bench-") as folder:
        start = time.monotonic()
        with open_evaluator(settings) as every:
            opened = time.monotonic() - start
            with open_evaluator(settings, cache=Path(folder) / "cache") as once:
                ways = {
                    "plain": Way(plain(Path(folder), settings.core)),
                    "longodds": Way(ours(every, seen, once=False)),
                    "longodds_once": Way(ours(once, seen, once=True)),
                }
                ways["longodds"].seconds = ways["longodds_once"].seconds = opened
                for number, (task, programs) in enumerate(work):
                    if number and time.monotonic() - begin > asked.seconds:
                        break
                    distinct += len(set(programs))
                    order = list(ways.values())
                    for way in order if number % 2 == 0 else reversed(order):
                        way.go(task, programs)
    print(_text(ways, seen, distinct, as_json=asked.json))


def _text(ways: dict[str, Way], seen: Counter[str], distinct: int, *, as_json: bool) -> str:
    found = {name: way.report() for name, way in ways.items()}
    rate = {name: way["per_minute"] for name, way in found.items()}
    document = {
        **found,
        "ratio": round(rate["longodds"] / rate["plain"], 2),
        "ratio_once": round(rate["longodds_once"] / rate["plain"], 2),
        "distinct": distinct,
        "statuses": dict(seen.most_common()),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    if as_json:
        return json.dumps(document)
    lines = [
        f"{name:14s} {r['verdicts']} verdicts in {r['seconds']:7.1f} s: {r['per_minute']:7.1f} a minute, "
        f"median {r['median_s']:.2f} s a program"
        for name, r in found.items()
    ]
    return "\n".join(
        [
            *lines,
            f"every program run: {document['ratio']:.2f} times the plain evaluator; equal programs once, with the "
            f"cache: {document['ratio_once']:.2f} times",
            f"{distinct} distinct programs; verdicts: {document['statuses']}; load {document['load']:.1f} on "
            f"{document['cores']} cores",
        ]
    )


if __name__ == "__main__":
    main()

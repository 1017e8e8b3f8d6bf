"""Verdicts per minute on a GPU: this evaluator beside KernelBench's `eval_kernel_against_ref`, on the same candidates.

    python -m scripts.bench_gpu --kernelbench-root CHECKOUT --log bench_gpu.jsonl [--ways ours,bare,theirs]

64 candidates a task (`scripts/gpu_candidates.py`) for ten problems of level 1, two of them with inline CUDA. Ways:

- `ours`: one evaluator, equal programs run once, the cache on and empty at first; its start and preparing tasks count.
- `bare`: the first 16 candidates of each task, every one run, no cache, no screening ended early; times 4 for 64.
  Extensions are compiled ahead, as for `ours`, and equal calls once: KernelBench's way keeps what it compiled as well.
- `theirs`: as the seed calls KernelBench's function, one after the other: 5 correctness trials and 50 timed ones
  (`--fast`: 1 and 5). It is asked about one candidate of each kind, with 2 of the trials; 3 times what the second
  took is added. Each kind's time is multiplied by its number; of inline CUDA once anew and once again, as its
  compilations are kept. Where a right candidate takes long, a wrong one is taken to take its trials, and one that
  raises no longer than one that is no Python. Hostile candidates count in our time only. For problems that take
  little, all trials are run as well: `off` says what the addition is off by.

Of each task: `first_s`, preparing it and the first verdict; `median_s` of a program that was run; `run_s`, all seconds
by the programs that were run. Of all tasks but those with inline CUDA `ours_median_s`, of a program that was run.

Every measurement is a line of the log: the same command goes on where it stopped, and ends with the figures so far.
Needs a GPU, and a checkout of KernelBench with its package (`src/kernelbench`); none of it is imported here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scripts.gpu_candidates import INLINE, Candidate, candidates
from scripts.gpu_memory import used_mib
from scripts.keyed_log import KeyedLog

from longodds.errors import LongoddsError
from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator
from longodds.tasks import load_task
from longodds.types import Task

PROBLEMS = (4, 5, 12, 14, 15, 19, 23, 40, 21, 26)
_SHARE = 4  # of the candidates, those that `bare` judges
_TRIALS = 2  # of KernelBench's correctness trials that are run
_LONG_S = 20.0  # a right candidate that takes longer is not asked about in full, nor one that is wrong or raises
# KernelBench's package wants clients of model services on import; nothing of them is used in judging.
_THEIRS = """
import json, sys, time, types
from unittest.mock import MagicMock
sys.path.insert(0, sys.argv[1] + "/src")
for name in ("openai", "litellm", "dotenv", "requests", "tqdm"):
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = MagicMock()
import torch
from kernelbench import eval as judge
out, sys.stdout = sys.stdout, sys.stderr
begun, ended, seeded = [], [], []
check, seed = judge.run_and_check_correctness, judge.set_seed
def checked(*args, **kwargs):
    begun.append(time.monotonic())
    try:
        return check(*args, **kwargs)
    finally:
        ended.append(time.monotonic())
def noted(number):
    seeded.append(time.monotonic())
    return seed(number)
judge.run_and_check_correctness, judge.set_seed = checked, noted
print(json.dumps({"ready": True}), file=out, flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    for marks in (begun, ended, seeded):
        marks.clear()
    start = time.monotonic()
    try:
        correct, timed = ask["trials"]
        got = judge.eval_kernel_against_ref(
            ask["reference"], ask["program"], measure_performance=timed > 0, timing_method="cuda_event", backend="cuda",
            num_correct_trials=correct, num_perf_trials=timed, precision=torch.float32, device=torch.device("cuda:0"),
        )
        said = "nothing" if got is None else f"compiled={got.compiled} correct={got.correctness} runtime={got.runtime}"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:200]
    end = time.monotonic()
    trials = [t for t in seeded if begun and begun[0] <= t <= ended[0]][::3]  # each trial sets its seed three times
    print(json.dumps({
        "seconds": end - start, "before_s": (begun[0] if begun else end) - start, "trials": len(trials),
        "trial_s": ended[0] - trials[-1] if trials else 0.0, "said": said,
    }), file=out, flush=True)
"""


def zombies() -> int:
    """Processes that have ended and that neither we nor process 1, which gets what others leave, have asked about.
    Those of evaluators beside ours come and go."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            found += state == "Z" and int(parent) in (1, os.getpid())
    return found


def ours(evaluator: LocalEvaluator, task: Task, number: int, log: KeyedLog, key: str, *, bare: bool) -> None:
    found = candidates(number, task.reference)
    found = found[: len(found) // _SHARE] if bare else found
    programs = [c.text for c in found]
    start = time.monotonic()
    prepare_s = evaluator.describe(task)["prepare_s"]
    if bare:
        evaluator.compile_ahead(programs)
        verdicts = {i: evaluator.evaluate(task, program) for i, program in enumerate(programs)}
    else:
        verdicts = dict(evaluator.evaluate_many(task, programs))
    seconds = time.monotonic() - start
    run = list({id(v): v for v in verdicts.values()}.values())
    log.add(
        key,
        seconds=seconds,
        prepare_s=prepare_s,
        asked=len(programs),
        verdicts=len(verdicts),
        run=len(run),
        faster=sum((v.ci_low or 0.0) > 1 for v in run),
        statuses=dict(Counter(f"{c.kind}: {verdicts[i].status.value}" for i, c in enumerate(found))),
        odd=[f"{c.kind}: {verdicts[i].message}"[:200] for i, c in enumerate(found) if _odd(c, verdicts[i].correct)][:5],
        seconds_each=[round(v.seconds, 3) for v in run],
    )


def _odd(candidate: Candidate, correct: bool) -> bool:
    return correct != (candidate.kind == "right")


@contextmanager
def kernelbench(root: Path) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Asks KernelBench's function in a process of its own, started anew when a candidate ends it."""
    process: subprocess.Popen[str] | None = None
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "theirs.py"
        script.write_text(_THEIRS)

        def ask(request: dict[str, Any]) -> dict[str, Any]:
            nonlocal process
            if process is None or process.poll() is not None:
                command = [sys.executable, str(script), str(root)]
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                _read(process)
            assert process.stdin is not None
            start = time.monotonic()
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            return _read(process) or {
                "seconds": time.monotonic() - start,
                "before_s": 0.0,
                "trials": 0,
                "trial_s": 0.0,
                "said": "the process ended",
            }

        yield ask
        if process is not None:
            process.kill()
            process.communicate()


def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    return json.loads(line) if line else {}


def theirs(
    ask: Callable[[dict[str, Any]], dict[str, Any]], task: Task, number: int, log: KeyedLog, trials: tuple[int, int]
) -> None:
    """One candidate of each kind; of inline CUDA twice."""
    firsts: dict[str, Candidate] = {}
    for candidate in candidates(number, task.reference):
        firsts.setdefault(candidate.kind, candidate)
    correct, timed = trials
    few = correct - _left_out(trials)

    def asked(name: str, kind: str, correct: int, timed: int) -> dict[str, Any]:
        key = f"theirs {number} {trials} {name}"
        if key not in log.rows:
            program = firsts[kind].text
            log.add(key, **ask({"reference": task.reference, "program": program, "trials": (correct, timed)}))
        return log.rows[key]

    right = asked("right", "right", few, timed)
    if number in INLINE:
        asked("right again", "right", 1, 0)
    asked("no python", "no python", few, timed)
    if right["seconds"] < _LONG_S:
        asked("raises", "raises", few, timed)
        asked("wrong", "wrong", few, timed)
        if few < correct and number not in INLINE:
            asked("right in full", "right", correct, timed)


def extrapolated(task: Task, number: int, log: KeyedLog, trials: tuple[int, int], most: int) -> float | None:
    """Seconds that KernelBench's way takes for the first `most` candidates; None where a kind was not measured."""
    kinds = ("right", "right again", "raises", "no python", "wrong")
    right, again, raises, none, wrong = (log.rows.get(f"theirs {number} {trials} {kind}") for kind in kinds)
    again = again if number in INLINE else right
    if right is None or again is None or none is None:
        return None
    more = _left_out(trials) * right["trial_s"]
    each = {
        "right": right["seconds"] + more,
        "right again": right["seconds"] + more - right["before_s"] + again["before_s"],
        # A wrong one is no inline CUDA, and stops after its trials.
        "wrong": wrong["seconds"] + more if wrong else none["seconds"] + trials[0] * right["trial_s"],
        "raises": (raises or none)["seconds"],
        "no python": none["seconds"],
        "hostile": 0.0,
    }
    total, seen = 0.0, set[str]()
    for candidate in candidates(number, task.reference)[:most]:
        repeated = candidate.kind == "right" and number in INLINE and candidate.text in seen
        seen.add(candidate.text)
        total += each[f"{candidate.kind} again" if repeated else candidate.kind]
    return total


def off(number: int, log: KeyedLog, trials: tuple[int, int]) -> float | None:
    """By how much the addition for one right candidate misses what it took in full, as a share; None where unknown."""
    right, full = (log.rows.get(f"theirs {number} {trials} right{more}") for more in ("", " in full"))
    if right is None or full is None:
        return None
    return (right["seconds"] + _left_out(trials) * right["trial_s"]) / full["seconds"] - 1


def _left_out(trials: tuple[int, int]) -> int:
    """Correctness trials that were not run."""
    return max(0, trials[0] - _TRIALS)


def report(tasks: dict[int, Task], log: KeyedLog, trials: tuple[int, int]) -> dict[str, Any]:
    """Ratios of summed wall seconds over the tasks that both ways have finished."""
    document: dict[str, Any] = {"trials": trials, "tasks": {}, "ratio": {}}
    starts = {
        "ours": log.rows.get("start ours", {}).get("seconds", 0.0),
        "bare": log.rows.get("start bare", {}).get("seconds", 0.0),
    }
    for way, share in (("ours", 1), ("bare", _SHARE)):
        sums, each = {"theirs": 0.0, way: starts[way]}, list[float]()
        for number, task in tasks.items():
            row = log.rows.get(f"{way} {number}")
            their = extrapolated(task, number, log, trials, 64 // share)
            if row is None or their is None:
                continue
            document["tasks"].setdefault(str(number), {})[way] = {
                "theirs_s": round(their, 1),
                "s": round(row["seconds"], 1),
                "ratio": round(their / row["seconds"], 1),
                "off": off(number, log, trials),
                "first_s": round(row["prepare_s"] + row["seconds_each"][0], 2),
                "median_s": round(statistics.median(row["seconds_each"]), 2),
                "run_s": round(row["seconds"] / row["run"], 2),
                "lost": row["asked"] - row["verdicts"],
                "statuses": row["statuses"],
            }
            sums["theirs"] += their
            sums[way] += row["seconds"]
            each += [] if number in INLINE else row["seconds_each"]
        document["ratio"][way] = round(sums["theirs"] / sums[way], 1) if sums[way] else None
        document[f"{way}_s"] = round(sums[way], 1)
        document[f"{way}_median_s"] = round(statistics.median(each), 2) if each else None
        document[f"left_{way}"] = log.rows.get(f"left {way}")
    return document


def measure(way: str, tasks: dict[int, Task], log: KeyedLog, end: float) -> None:
    """Our evaluator's way, `ours` or `bare`, on the tasks that the log lacks."""
    left = [n for n in tasks if f"{way} {n}" not in log.rows]
    if not left or time.monotonic() > end:
        return
    bare = way == "bare"
    settings = EvaluatorSettings(device="cuda", min_pairs=64 if bare else 8)
    before, dead, start = used_mib(), zombies(), time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        with open_evaluator(settings, None if bare else Path(cache)) as evaluator:
            if f"start {way}" not in log.rows:
                log.add(f"start {way}", seconds=time.monotonic() - start)
            for number in left:
                if time.monotonic() < end:
                    ours(evaluator, tasks[number], number, log, f"{way} {number}", bare=bare)
        log.add(f"left {way}", mib=used_mib() - before, zombies=zombies() - dead)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernelbench-root", type=Path, required=True)
    parser.add_argument("--log", type=Path, default=Path("bench_gpu.jsonl"))
    parser.add_argument("--ways", default="ours,bare,theirs", help="what to measure; '' prints what the log holds")
    parser.add_argument("--problems", default=",".join(map(str, PROBLEMS)))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new after so long")
    parser.add_argument("--fast", action="store_true", help="KernelBench with 1 correctness and 5 timed trials")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    trials = (1, 5) if arguments.fast else (5, 50)
    ways, named = (list(filter(None, text.split(","))) for text in (arguments.ways, arguments.problems))
    if unknown := set(ways) - {"ours", "bare", "theirs"}:
        parser.error(f"--ways: {min(unknown)} is none of ours, bare, theirs")
    if unknown := set(named) - set(map(str, PROBLEMS)):
        parser.error(f"--problems: {min(unknown)} is none of {', '.join(map(str, PROBLEMS))}")
    numbers = [int(n) for n in named]
    root = arguments.kernelbench_root
    if ways and shutil.which("nvidia-smi") is None:
        parser.error("there is no NVIDIA GPU here; --ways '' prints what a log holds")
    try:
        log = KeyedLog(arguments.log)
        tasks = {n: load_task(f"kernelbench:1/{n}", kernelbench_root=str(root)) for n in numbers}
        for way in ways:
            if way == "theirs":
                with kernelbench(root) as ask:
                    for number in numbers:
                        if time.monotonic() < end:
                            theirs(ask, tasks[number], number, log, trials)
            else:
                measure(way, tasks, log, end)
    except LongoddsError as error:
        parser.error(str(error))
    print(json.dumps(report(tasks, log, trials), indent=1))


if __name__ == "__main__":
    main()

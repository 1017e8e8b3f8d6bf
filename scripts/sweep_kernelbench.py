"""All problems of KernelBench on a GPU: what runs, what it takes, what its own gate lets through, what can be gained.

    python -m scripts.sweep_kernelbench --kernelbench-root CHECKOUT --log sweep.jsonl [--levels 1:1-100,2:1-20]
    python -m scripts.sweep_kernelbench --log sweep.jsonl --table [--split splits/l1_seed42.json]

Each problem is validated as `longodds tasks validate --device cuda` does, its unchanged reference timed among that.
When the evaluator has given the GPU's memory back, programs that compute nothing are tried on KernelBench's gate (three
draws of its inputs, `allclose` at 1e-4), in a process of their own. Two lines of the log a problem: the same command
goes on where it stopped. --table prints Markdown from the log alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Self

from scripts.gpu_memory import used_mib
from scripts.keyed_log import KeyedLog

from longodds.errors import LongoddsError, UserError
from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator, trivial_programs
from longodds.evaluator.validate import TaskReport, validate_task
from longodds.tasks import load_split, load_suite, task_name
from longodds.types import Task

# Of level 3 the first twenty with fewer than 100 million weights: each process draws them all on one core.
LEVELS = "1:1-100,2:1-20,3:3-10,3:13-24"
_GATE_S = 120.0
_USUAL = ("tf32", "uncalibrated", "yardstick:declared-precision", "yardstick:fewer-laws")  # labels
_GATE = """
import json, os, sys
sink = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the task's own code prints
import torch
torch.set_grad_enabled(False)
def leaves(out):
    return [out] if isinstance(out, torch.Tensor) else [x for part in out for x in leaves(part)]
def passed(ask):
    torch.set_default_device(ask["device"])
    space = {}; exec(compile(ask["reference"], "<reference>", "exec"), space)
    torch.manual_seed(42); init = list(space.get("get_init_inputs", list)())
    torch.manual_seed(42); model = space["Model"](*init).to(ask["device"])
    draws = []
    for seed in range(3):
        torch.manual_seed(seed); inputs = space["get_inputs"]()
        draws.append([x.to(ask["device"]) if isinstance(x, torch.Tensor) else x for x in inputs])
    found = []
    for name, program in ask["programs"].items():
        own = {}; exec(compile(program, "<program>", "exec"), own)
        torch.manual_seed(42); other = own["ModelNew"](*init).to(ask["device"])
        def same(inputs):
            pairs = zip(leaves(model(*inputs)), leaves(other(*inputs)))
            return all(a.shape == b.shape and torch.allclose(a, b, atol=1e-4, rtol=1e-4) for a, b in pairs)
        if all(same(inputs) for inputs in draws):
            found.append(name)
    return found
for line in sys.stdin:
    try:
        answer = {"passed": passed(json.loads(line))}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"[:200]}
    print(json.dumps(answer), file=sink, flush=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
"""


class Gate:
    """KernelBench's gate in a process of its own, which loads torch once."""

    def __init__(self, device: str = "cuda") -> None:
        self._device = device
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def tried(self, task: Task) -> dict[str, Any]:
        """Names of programs that compute nothing and pass (`passed`), or why that could not be tried (`error`)."""
        if self._process is None:
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            self._process = subprocess.Popen(
                [sys.executable, "-c", _GATE], stdin=pipe, stdout=pipe, stderr=nowhere, text=True
            )
        request = {"reference": task.reference, "programs": trivial_programs(task), "device": self._device}
        assert self._process.stdin is not None and self._process.stdout is not None
        timer = threading.Timer(_GATE_S, self._process.kill)
        timer.start()
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            said = self._process.stdout.readline()
        except BrokenPipeError:
            said = ""
        finally:
            timer.cancel()
        if not said:
            self._end()
            return {"error": f"its process ended, or took over {_GATE_S:g} s"}
        return json.loads(said)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextlib.contextmanager
def peak_mib() -> Generator[list[int]]:
    """The most memory in use on the GPU meanwhile (MiB, the last element), whoever uses it."""
    found, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.25):
            with contextlib.suppress(subprocess.CalledProcessError):  # once in a while the driver is busy
                found[0] = max(found[0], used_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def measured(evaluator: LocalEvaluator, task: Task) -> dict[str, Any]:
    start = time.monotonic()
    with peak_mib() as peak:
        report = validate_task(evaluator, task)
    seconds = time.monotonic() - start
    return {"seconds": round(seconds, 2), "peak_mib": peak[-1], "gate": {}, **summary(report)}


def summary(report: TaskReport) -> dict[str, Any]:
    own = report.own
    return {
        "ok": report.ok,
        "problems": list(report.problems),
        "labels": list(report.labels),
        "dropped": sorted(report.dropped or {}),
        "prepare_s": round(report.prepare_s, 2),
        "status": own.status.value if own else "not judgeable",
        "speedup": own.speedup if own else None,
        "ci": [own.ci_low, own.ci_high] if own else None,
        "reference_us": report.reference_us,
        "floor_us": report.floor_us,
        "gbps": own.gbps if own else None,
        "tflops": own.tflops if own else None,
        "of_ceiling": own.of_ceiling if own else None,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: a line for each problem, then sums."""
    lines = [
        "| problem | unchanged | us | GB/s | TFLOP/s | floor allows | s | GiB | yardstick | passes theirs | odd |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        speedup = "" if row["speedup"] is None else f" {row['speedup']:.3f}"
        gain = f"{row['reference_us'] / row['floor_us']:.4g}x" if row["reference_us"] and row["floor_us"] else ""
        passed = ", ".join(row["gate"].get("passed", [])) or row["gate"].get("error", "")
        odd = "; ".join([*row["problems"], *(label for label in row["labels"] if not label.startswith(_USUAL))])
        yardstick = "fp32" if "yardstick:declared-precision" in row["labels"] else "fp64"
        cells = (
            row["key"].removeprefix("kernelbench:"),
            row["status"] + speedup,
            _rounded(row["reference_us"]),
            _rounded(row["gbps"]),
            _rounded(row["tflops"]),
            gain,
            f"{row['seconds']:.1f}",
            f"{row['peak_mib'] / 1024:.0f}",
            yardstick + (", fewer laws" if "yardstick:fewer-laws" in row["labels"] else ""),
            passed.replace("|", "/")[:80],
            odd.replace("|", "/")[:160],
        )
        lines.append("| " + " | ".join(cells) + " |")
    correct = [row for row in rows if row["status"] == "correct"]
    faster = sum((row["ci"][0] or 0.0) > 1 for row in correct)
    off = sorted(abs(row["speedup"] - 1) for row in correct if row["speedup"])
    lines.append(
        f"\n{len(rows)} problems: {len(correct)} unchanged programs correct, {faster} of them called faster, "
        f"off by {_percentile(off, 0.5):.2%} at the median and {_percentile(off, 0.95):.2%} at the 95th percentile; "
        f"{sum(row['ok'] for row in rows)} fit to judge by; {sum(row['seconds'] for row in rows):.0f} s in all, "
        f"preparing {sum(row['prepare_s'] for row in rows):.0f} s of it; "
        f"{sum(bool(row['gate'].get('passed')) for row in rows)} let a program that computes nothing through "
        "KernelBench's gate."
    )
    return "\n".join(lines)


def _percentile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(int(share * len(ascending)), len(ascending) - 1)] if ascending else 0.0


def evaluated(split: Path) -> set[str]:
    """Ids of the tasks in a split's evaluation half. Raises UserError for a file that is none."""
    document = load_split(split)
    level = document["level"].removeprefix("level_")
    return {f"kernelbench:{level}/{number}" for number in document["problem_ids"]["eval"]}


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def chosen(levels: str, root: str | None) -> list[Task]:
    """Tasks by `level:first-last,...`, numbers of problems. Raises UserError."""
    spans: list[tuple[int, ...]] = []
    for part in levels.split(","):
        if not (found := re.fullmatch(r"([1-4]):(\d+)-(\d+)", part)):
            raise UserError(f"--levels: {part!r} is not level:first-last, such as 1:1-100")
        spans.append(tuple(map(int, found.groups())))
    tasks: list[Task] = []
    for level, first, last in spans:
        suite = load_suite(f"kernelbench:{level}", kernelbench_root=root)
        tasks += [task for task in suite if first <= int(task.id.rpartition("/")[2]) <= last]
    return tasks


def sweep(tasks: Sequence[Task], log: KeyedLog, end: float) -> None:
    """Measure what the log lacks; begin no problem after `end`."""
    left = [task for task in tasks if task.id not in log.rows]
    with open_evaluator(EvaluatorSettings(device="cuda")) as evaluator:
        for task in left:
            if time.monotonic() > end:
                break
            try:
                log.add(task.id, name=task_name(task), **measured(evaluator, task))
            except LongoddsError as error:
                print(f"{task.id}: {error}", file=sys.stderr, flush=True)
    with Gate() as gate:
        for task in tasks:
            if task.id in log.rows and "passed" not in log.rows[task.id]["gate"]:
                log.add(task.id, gate=gate.tried(task))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernelbench-root")
    parser.add_argument("--log", type=Path, default=Path("sweep.jsonl"))
    parser.add_argument("--levels", default=LEVELS, help="level:first-last of its problems' numbers")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no problem after so long")
    parser.add_argument("--table", action="store_true", help="print what the log holds, measure nothing")
    parser.add_argument("--split", type=Path, help="print the evaluation half of this split alone")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    try:
        log = KeyedLog(arguments.log)
        if not arguments.table:
            sweep(chosen(arguments.levels, arguments.kernelbench_root), log, end)
            return
        shown = log.rows.keys() if arguments.split is None else evaluated(arguments.split)
        print(table([row for key, row in log.rows.items() if key in shown]))
    except LongoddsError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

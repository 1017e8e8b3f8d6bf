"""How much processes on a GPU differ in what they take from one kernel to the next, and whether verdicts allow for it.

    python -m scripts.launch_gaps --log launch_gaps.jsonl [--turns 5] [--programs 6] [--seconds S]

Unchanged programs of tasks that launch much or little for their time, in fresh process pairs: what the log ratios of
one have in common comes from its processes. In `gap_us`, microseconds a launch (the call
counted as one), the tasks should agree;
`longodds.evaluator.stats.launch_spread` widens intervals by it. With --programs so many unchanged programs of each
task get verdicts in each turn: none should be `faster`, and hardly an interval `missed` 1. References are new in each
turn. The same command goes on where it stopped, and ends with the figures so far.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scripts.keyed_log import KeyedLog

from longodds.errors import LongoddsError
from longodds.evaluator import EvaluatorSettings, open_evaluator, unchanged
from longodds.evaluator.controls import reworded
from longodds.types import Task, digest_text

_PAIRS = 16
_REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x):
        return {body}

def get_inputs():
    return [torch.rand({shape})]

def get_init_inputs():
    return []
"""
_PARTS = "(x - x.amax(-1, keepdim=True)).exp()"


def _terms(count: int) -> str:
    return " + ".join(["x.sin()", *(f"(x * {i}.5).tanh()" for i in range(count - 1))])


_BODIES = {
    "softmax of 1024 x 1024": ("torch.softmax(x, -1)", "1024, 1024"),
    "softmax in parts of 512 x 1024, maximum and exponential twice": (
        f"{_PARTS} / {_PARTS}.sum(-1, keepdim=True)",
        "512, 1024",
    ),
    "sum of 5 terms of 512 x 1024": (_terms(5), "512, 1024"),
    "sum of 13 terms of 512 x 1024": (_terms(13), "512, 1024"),
    "sum of 41 terms of 512 x 1024": (_terms(41), "512, 1024"),
    "sum of 4 terms of 2048 x 2048": (_terms(4), "2048, 2048"),
    "softmax of 4096 x 4096": ("torch.softmax(x, -1)", "4096, 4096"),
    "softmax of 1024 x 1024, times 1": ("torch.softmax(x, -1) * 1.0", "1024, 1024"),
}


def tasks() -> list[Task]:
    texts = {name: _REFERENCE.format(body=body, shape=shape) for name, (body, shape) in _BODIES.items()}
    return [Task(name, "launch_gaps", text, digest_text(text)) for name, text in texts.items()]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By task and of all: launches, median microseconds, process pairs, sd of their medians (a launch: `gap_us`), and
    verdicts on unchanged programs."""
    found: dict[str, Any] = {}
    gaps: list[float] = []
    for task in dict.fromkeys(row["task"] for row in rows):
        of_task = [row for row in rows if row["task"] == task and "d" in row]
        launches, us = of_task[0]["launches"], float(np.median([row["reference_us"] for row in of_task]))
        middles = [float(np.median(row["d"])) for row in of_task]
        sd = math.sqrt(float(np.mean(np.square(middles))))
        gaps += [middle * us / launches for middle in middles]
        found[task] = {
            "launches": launches,
            "reference_us": round(us, 1),
            "process_pairs": len(of_task),
            "sd": round(sd, 4),
            "gap_us": round(sd * us / launches, 3),
            "verdicts": _verdicts([row for row in rows if row["task"] == task and "ci" in row]),
        }
    gap = round(math.sqrt(float(np.mean(np.square(gaps)))), 3) if gaps else None
    return {"tasks": found, "gap_us": gap, "verdicts": _verdicts([row for row in rows if "ci" in row])}


def _verdicts(rows: list[dict[str, Any]]) -> dict[str, int]:
    known = [row["ci"] for row in rows if None not in row["ci"]]
    return {
        "verdicts": len(rows),
        "correct": sum(row["status"] == "correct" for row in rows),
        "faster": sum(low > 1 for low, _high in known),
        "missed": sum(not low <= 1 <= high for low, high in known),
    }


def _measure(turns: int, programs: int, log: KeyedLog, end: float) -> None:
    """Raises LongoddsError."""
    every = tasks()
    wanted = [f"{t} {task.id}" for t in range(turns) for task in every]
    wanted += [f"{key} {i}" for key in wanted for i in range(programs)]
    if all(key in log.rows for key in wanted):
        return
    with open_evaluator(EvaluatorSettings(device="cuda")) as evaluator:
        for turn, task in itertools.product(range(turns), every):
            key = f"{turn} {task.id}"
            if key not in log.rows and time.monotonic() < end:
                new, process = task is every[0], 1 + turn % 2
                found = evaluator.process_pair(task, unchanged(task), process=process, count=_PAIRS, renew=new)
                log.add(key, task=task.id, **found)
            for i in range(programs):
                if f"{key} {i}" in log.rows or time.monotonic() > end:
                    continue
                verdict = evaluator.evaluate(task, reworded(task, turn * programs + i))
                ci = [verdict.ci_low, verdict.ci_high]
                log.add(f"{key} {i}", task=task.id, status=verdict.status.value, speedup=verdict.speedup, ci=ci)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=5, help="process pairs of each task")
    parser.add_argument("--programs", type=int, default=0, help="unchanged programs of each task in a turn")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin nothing more after so long")
    args = parser.parse_args()
    try:
        log = KeyedLog(args.log)
        _measure(args.turns, args.programs, log, time.monotonic() + args.seconds)
    except LongoddsError as error:
        sys.exit(str(error))
    print(json.dumps(summary(list(log.rows.values())), indent=1))


if __name__ == "__main__":
    main()

"""Live races: pairs from two fork servers in turn, programs timed once, and the real evaluator at work."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "analysis"))
from synthetic_samples import sample

from longodds.errors import InfraError, UserError
from longodds.evaluator import EvaluatorSettings, open_evaluator
from longodds.strategies.racing import live_races
from longodds.types import Task, digest_text

REFERENCE = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        out = torch.zeros_like(x)
        for _ in range(12):
            out = out + x.sin() / 12
        return out


def get_inputs():
    return [torch.randn(256, 512)]


def get_init_inputs():
    return []
"""
TASK = Task("race/sines", "race", REFERENCE, digest_text(REFERENCE))


class Timer:
    """Log ratios by program; logs what it was asked. A program `broken` fails, `hopeless` gives up after three."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.rng = np.random.default_rng(0)

    def process_pair(self, task, program, *, process, count):
        self.asked.append((program, process, count))
        if program.strip() == "broken":
            raise InfraError("the machine said no")
        if program == "hopeless":
            return {"d": [-1.5] * 3}
        return {"d": (float(program) + 0.01 * self.rng.standard_normal(count)).tolist()}


def rows_of(programs, *, seed=0, task=TASK.id):
    return [sample(task, seed, i, mean_nll=1.0 + i, n_tokens=4, speedup=1.2, program=p) for i, p in enumerate(programs)]


def test_the_fastest_program_wins_and_the_slow_ones_are_timed_little():
    timer = Timer()
    rows = rows_of(["0.0", "0.5", "0.2", "broken", "hopeless"])
    found = live_races({"a": rows}, {TASK.id: TASK}, timer)
    (key, pairs) = found.finishes[TASK.id, "0"]
    assert key == next(r.program_digest for r in rows if r.program == "0.5")
    assert pairs == 5 * 8
    assert found.pairs_run == 3 * 8 + 3
    assert [c for p, _, c in timer.asked if p == "hopeless"] == [8]
    assert [c for p, _, c in timer.asked if p == "broken"] == [8, 8]  # tried twice
    with pytest.raises(InfraError, match="the machine said no"):
        live_races({"a": rows_of(["broken", "broken "])}, {TASK.id: TASK}, timer)


def test_looks_take_turns_between_fork_servers_and_seeds_share_what_was_timed():
    timer = Timer()
    near = ["0.10", "0.105"]
    rows = [*rows_of(near), *rows_of(near, seed=1)]
    found = live_races({"a": rows}, {TASK.id: TASK}, timer)
    assert len(found.finishes) == 2
    mine = [(process, count) for program, process, count in timer.asked if program == near[0]]
    assert mine == [(1, 8), (2, 8), (1, 16), (2, 32)][: len(mine)]
    assert len(mine) >= 2
    assert found.pairs_run == sum(c for _, _, c in timer.asked)


def test_a_task_that_is_not_there_is_the_callers_mistake():
    with pytest.raises(UserError, match="its reference is not in the run"):
        live_races({"a": rows_of(["0.1"])}, {}, Timer())


@pytest.mark.slow
def test_the_real_evaluator_races():
    """One sine instead of twelve is an order of magnitude faster."""
    body = "import torch\nimport torch.nn as nn\n\nclass ModelNew(nn.Module):\n    def forward(self, x):\n        "
    good, same = body + "return torch.sin(x)\n", REFERENCE.replace("class Model(", "class ModelNew(")
    rows = [dataclasses.replace(r, program=p) for r, p in zip(rows_of(["good", "same"]), (good, same), strict=True)]
    with open_evaluator(EvaluatorSettings()) as evaluator:
        found = live_races({"a": rows}, {TASK.id: TASK}, evaluator)
    key, pairs = found.finishes[TASK.id, "0"]
    assert key == rows[0].program_digest
    assert pairs >= 16
    assert found.seconds > 0

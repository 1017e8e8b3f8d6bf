"""A program's threads: those that its calls wait for are welcome, and none gets the core while its call has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from longodds.evaluator.children import Child
from longodds.evaluator.oracle import Oracle
from longodds.tasks import load_task

POOLED = """
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn as nn

class ModelNew(Model):
    def __init__(self, *args):
        super().__init__(*args)
        self.pool = ThreadPoolExecutor(1)

    def forward(self, *inputs):
        return self.pool.submit(self.work, *inputs).result()

    def work(self, *inputs):
        torch.set_grad_enabled(False)
        return super().forward(*inputs)
"""


@pytest.mark.alone
def test_threads_that_a_call_waits_for_are_welcome_and_wait_themselves(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies: set[tuple[bool, int]] = set()  # of threads that stand after a call: the first one's, or another's
    freeze = Child.freeze

    def frozen(self: Child) -> None:
        freeze(self)
        for entry in Path(f"/proc/{self.pid}/task").iterdir():
            policies.add((int(entry.name) == self.pid, os.sched_getscheduler(int(entry.name))))

    monkeypatch.setattr(Child, "freeze", frozen)
    task = load_task("cpu/softmax_entropy_rows")
    verdict = oracle.judge(task, task.reference + POOLED, timed=True)
    assert verdict.correct, verdict
    assert verdict.ci_low is not None
    assert 0.5 < verdict.ci_low <= 1
    assert policies == {(True, os.SCHED_OTHER), (False, os.SCHED_IDLE)}

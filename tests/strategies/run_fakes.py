"""A policy and an evaluator that are small enough to reason about: programs are words, verdicts follow from them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from longodds.types import REMEASURED, Completion, Prompt, SampleKey, SamplingParams, Status, Task, Verdict, digest_text

REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x):
        return x + {n}

def get_inputs():
    return [torch.ones(2)]

def get_init_inputs():
    return []
"""


def make_tasks(count: int) -> list[Task]:
    texts = [REFERENCE.format(n=i) for i in range(count)]
    return [Task(f"fake/t{i}", "fake", t, digest_text(t), {"name": f"t{i}"}) for i, t in enumerate(texts)]


BODIES = ["return x + 0", "return x * 1", "return torch.add(x, 0)", "return x - 7", "raise ValueError", "return ("]


class FakePolicy:
    """Completion i of a key is a function of the key alone; logs what it was asked."""

    name = "fake"
    parameters = 1000

    def __init__(self, version: str = "v1", fail_after: int | None = None) -> None:
        self.version = version
        self.calls: list[SampleKey] = []
        self.fail_after = fail_after

    def encode(self, prompt: Prompt) -> list[int]:
        return list((prompt.text or "").encode()[:20])

    def sample(self, prompt: Prompt, params: SamplingParams, key: SampleKey) -> list[Completion]:
        self.calls.append(key)
        if self.fail_after is not None and len(self.calls) > self.fail_after:
            raise KeyboardInterrupt
        return [self._one(key, i) for i in key.indices]

    def _one(self, key: SampleKey, index: int) -> Completion:
        noise = hashlib.sha256(f"{key.seed}|{key.task_digest}|{index}".encode()).digest()
        text = BODIES[noise[0] % len(BODIES)]
        n = 3 + noise[1] % 4
        logprobs = tuple(-(noise[2 + j] + 1) / 100 for j in range(n))
        return Completion(tuple(range(n)), logprobs, logprobs, (0, n), text, "stop", self.version)

    def compute_logprobs(self, prompt, token_ids):
        raise NotImplementedError

    def close(self) -> None: ...


class FakeEvaluator:
    """Verdicts by what the program says; logs what it ran. broken: programs that fail once with INFRA_ERROR."""

    def __init__(self, digest: str = "e1", broken: str | None = None, wrong_when_timed: str | None = None) -> None:
        self.digest = digest
        self.ran: list[tuple[str, str, bool]] = []
        self.broken = broken
        self.wrong_when_timed = wrong_when_timed
        self.stays_broken = False
        self.again: list[tuple[str, str, int]] = []
        self.luck = False  # no program that looked faster is
        self.stop_after: int | None = None

    def evaluate(self, task: Task, program: str, *, timed: bool = True) -> Verdict:
        if self.stop_after is not None and len(self.ran) >= self.stop_after:
            raise KeyboardInterrupt
        self.ran.append((task.id, program, timed))
        base = Verdict(task.id, Status.CORRECT, evaluator=self.digest, seconds=0.5)
        if self.broken is not None and self.broken in program:
            if not self.stays_broken:
                self.broken = None
            return replace(base, status=Status.INFRA_ERROR, message="the machine said no")
        if "return (" in program and "return (\n" in program + "\n":
            return replace(base, status=Status.COMPILE_ERROR)
        if "raise" in program:
            return replace(base, status=Status.RUNTIME_ERROR)
        if "- 7" in program or (timed and self.wrong_when_timed is not None and self.wrong_when_timed in program):
            return replace(base, status=Status.INCORRECT)
        if not timed:
            return base
        speedup = 2.0 if "torch.add" in program else 1.0
        return replace(base, speedup=speedup, ci_low=speedup - 0.1, ci_high=speedup + 0.1, pairs=8)

    def evaluate_many(self, task, programs, *, timed=True):
        for i, program in enumerate(programs):
            yield i, self.evaluate(task, program, timed=timed)

    def remeasure(self, task, program, *, among):
        self.again.append((task.id, program, among))
        verdict = self.evaluate(task, program)
        self.ran.pop()
        low = 0.9 if self.luck else verdict.ci_low
        return replace(verdict, ci_low=low, family_low=((among, low),), labels=(*verdict.labels, REMEASURED))

    def close(self) -> None: ...


class Recorder:
    """Keeps what a strategy told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.began: dict[str, int] = {}
        self.count = {"sampled": 0, "judged": 0, "repeated": 0}

    def begin(self, **plan: int) -> None:
        self.began = plan

    def stage(self, text: str) -> None: ...

    def sampled(self, task_id: str, seed: int, count: int) -> None:
        self.count["sampled"] += count

    def judged(self, task_id: str, seed: int, verdict: Verdict, *, repeated: bool) -> None:
        self.count["judged"] += 1
        self.count["repeated"] += repeated

    def note(self, text: str) -> None:
        self.notes.append(text)

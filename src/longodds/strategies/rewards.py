"""From verdicts to rewards, with baselines that are fixed before the step or, as in the seed release, are not."""

from __future__ import annotations

import statistics
from collections import deque
from typing import TYPE_CHECKING, Literal

from longodds.types import FEW_PAIRS_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.types import Verdict

Reward = Literal["verified", "speedup", "correct"]
Baseline = Literal["none", "task", "running-median"]
_HISTORY = 32  # correct speedups that the running median looks back on (the seed release's)


def reward_of(verdict: Verdict, kind: Reward = "verified") -> float:
    """Reward of one verdict; 0 for whatever is not correct.

    `verified`: the speedup, but 1 where its interval contains 1, since noise alone can produce it; of a program that
    was dropped before there was an interval the speedup, at most 1. `speedup`: the point estimate (the seed release's).
    Both: 1 for a correct program whose timing was not asked for, 0 for one that was too slow to be timed, since no
    slower one may earn more. `correct`: 1.
    """
    if not verdict.correct:
        return 0.0
    if kind == "correct":
        return 1.0
    if verdict.speedup is None:
        return 0.0 if verdict.too_slow else 1.0
    if kind == "speedup":
        return verdict.speedup
    if FEW_PAIRS_LABEL in verdict.labels:
        return min(verdict.speedup, 1.0)
    low, high = verdict.ci_low, verdict.ci_high
    told = low is not None and high is not None and (low > 1.0 or high < 1.0)
    return verdict.speedup if told else 1.0


class Baselines:
    """Divides a task's rewards by what is usual for it, so that a task of large speedups does not drown the others.

    `none`: nothing. `task`: by the median reward above 0 of the task's first round that has one, the same for all
    samples of that round and fixed for all later ones. `running-median`: by the median of the task's last 32 rewards
    above 0, one sample after another, 1 before the first. The last one depends on the order of samples: the first
    success of a task of 24x is rewarded with 24, the second with 1 (kept to reproduce the seed release).
    """

    def __init__(self, kind: Baseline = "none") -> None:
        self.kind: Baseline = kind
        self._fixed: dict[str, float] = {}
        self._seen: dict[str, deque[float]] = {}

    def normalise(self, task_id: str, rewards: Sequence[float]) -> list[float]:
        """The rewards of one task's samples in a round, in their order. Rounds must come in order."""
        if self.kind == "none":
            return list(rewards)
        if self.kind == "task":
            positive = [r for r in rewards if r > 0]
            if task_id not in self._fixed and positive:
                self._fixed[task_id] = statistics.median(positive)
            return [r / self._fixed.get(task_id, 1.0) for r in rewards]
        seen = self._seen.setdefault(task_id, deque(maxlen=_HISTORY))
        out: list[float] = []
        for r in rewards:
            out.append(r / (statistics.median(seen) if seen else 1.0))
            if r > 0:
                seen.append(r)
        return out

"""When learning must stop: it went too far from where it began, lost its variety or its reward, or is no number."""

from __future__ import annotations

import math
from dataclasses import dataclass

_COLLAPSED_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """max_kl: nats per token from the policy of step 0. min_entropy: nats per token of what is sampled; 0: no limit."""

    max_kl: float = 0.5
    min_entropy: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a round's samples say of the policy that wrote them.

    kl: mean over tokens of log p - log p0, nats, None at step 0; entropy: mean of -log p, nats; reward: mean.
    """

    step: int
    kl: float | None
    entropy: float
    reward: float


def tripped(readings: list[Reading], limits: Limits) -> str | None:
    """Why the policy of the last reading is not to be trained on, or None.

    Reward has collapsed when it was above 0 once and has been 0 for two rounds.
    """
    now = readings[-1]
    for name, value in (("KL", now.kl or 0.0), ("entropy", now.entropy), ("reward", now.reward)):
        if not math.isfinite(value):
            return f"the {name} of step {now.step} is not a number"
    if now.kl is not None and now.kl > limits.max_kl:
        return f"KL from step 0 is {now.kl:.3f} nats a token at step {now.step}, above max_kl {limits.max_kl:g}"
    if now.entropy < limits.min_entropy:
        return f"entropy is {now.entropy:.3f} nats a token at step {now.step}, below min_entropy {limits.min_entropy:g}"
    rewards = [r.reward for r in readings]
    if len(rewards) > _COLLAPSED_ROUNDS and not any(rewards[-_COLLAPSED_ROUNDS:]) and any(rewards):
        return f"no reward in the {_COLLAPSED_ROUNDS} rounds up to step {now.step}, and there was some before"
    return None

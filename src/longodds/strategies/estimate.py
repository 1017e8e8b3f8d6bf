"""What a run would cost, before anything is spent."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longodds.strategies.early import LOOK_EVERY
from longodds.strategies.opening import open_settings_policy
from longodds.strategies.planning import choose_tasks, parse_time
from longodds.strategies.sampling import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from longodds.config import BestOfNSettings
    from longodds.types import Policy, Task


@dataclass(frozen=True, slots=True)
class Estimate:
    """Upper bounds: every sample at its full length, every program a new one. prompt_tokens: as they are run, once for
    each call to the policy. max_money: tokens only, if priced."""

    tasks: int
    samples: int
    prompt_tokens: int
    max_sampled_tokens: int
    max_flops: float
    max_evaluations: int
    max_money: float | None


def estimate(
    settings: BestOfNSettings,
    *,
    policy: Policy | None = None,
    tasks: Sequence[Task] | None = None,
    note: Callable[[str], None] | None = None,
) -> Estimate:
    """What `best_of_n` with these settings could cost at most; FLOPs are 2 P per token prompted or sampled.

    Opens the policy for its tokenizer and its size; samples nothing and writes nothing. note: as for
    `choose_tasks`.
    """
    parse_time(settings.time)
    asked = ask(list(tasks) if tasks is not None else choose_tasks(settings, note=note), settings)
    with contextlib.ExitStack() as stack:
        if policy is None:
            policy = open_settings_policy(settings)
            stack.callback(policy.close)
        prompt = sum(len(policy.encode(a.prompt)) for a in asked) * len(settings.seeds) * _calls(settings)
        parameters = policy.parameters
    samples = len(asked) * len(settings.seeds) * settings.k
    sampled = samples * settings.max_tokens
    priced = bool(settings.price_prompt or settings.price_sampled)
    tokens = settings.price_prompt * prompt / 1e6 + settings.price_sampled * sampled / 1e6
    return Estimate(
        tasks=len(asked),
        samples=samples,
        prompt_tokens=prompt,
        max_sampled_tokens=sampled,
        max_flops=2.0 * parameters * (prompt + sampled),
        max_evaluations=samples,
        max_money=tokens if priced else None,
    )


def _calls(settings: BestOfNSettings) -> int:
    """Calls to the policy for a cell; an early stop looks after every few samples."""
    looked = settings.k if settings.stop_gain is None else min(LOOK_EVERY, settings.k)
    return math.ceil(settings.k / looked) * math.ceil(looked / settings.batch_size)

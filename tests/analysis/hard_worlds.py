"""Studies with known truth that are unlike those on which the verdict's rules were made: ugly in one way each.

Columns are made directly, no samples. A program has a surprisal, a length and a true log-speedup; what ties them
together is the kind: `informative`, `anti`, `length` (short programs are both surprising and fast) or `uninformative`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from longodds.analysis.table import Table, TableBuilder
from longodds.types import Status

KINDS = ("informative", "anti", "length", "uninformative")


@dataclass(frozen=True)
class World:
    """tail: degrees of freedom of the noise in log-speedup. correct: (a, b) of a Beta law of the share correct per
    task. spread: sd over tasks of the mean log-speedup, in units of the noise; few_fast: half of its mean. distinct:
    programs per sample. popular: exponent of the law of how often a program is written. digits: decimals of surprisal,
    ties below. sizes: samples per task vary. slope: of the log-speedup on the latent, in units of the noise.
    """

    tail: float = 30.0
    correct: tuple[float, float] = (14.0, 6.0)
    spread: float = 0.7
    distinct: float = 0.6
    popular: float = 0.0
    digits: int = 12
    seeds: int = 1
    sizes: bool = False
    intervals: bool = True
    few_fast: float = 0.0
    slope: float = 1.5


WORLDS = {
    "heavy-tailed speedups": World(tail=1.5),
    "few correct (2 in 10)": World(correct=(2.0, 8.0), slope=3.0),
    "very unequal tasks": World(correct=(0.8, 0.8), spread=2.0, sizes=True, slope=3.0),
    "copies: four programs in five written again": World(distinct=0.2, popular=1.2, slope=3.0),
    "three seeds that share programs": World(distinct=0.5, seeds=3),
    "ties in surprisal (one decimal)": World(digits=1),
    "no intervals": World(intervals=False),
    "hardly any fast (1 in 10)": World(few_fast=-1.3, slope=2.5),
}


def hard_study(kind: str, world: World, *, tasks: int, k: int, rng: int) -> Table:
    """One study: `tasks` x `world.seeds` x `k` samples (fewer where sizes vary)."""
    if kind not in KINDS:
        raise ValueError(kind)
    random = np.random.default_rng(rng)
    builder = TableBuilder()
    for t in range(tasks):
        n = int(random.integers(k // 4, k + 1)) if world.sizes else k
        pool = max(3, round(n * world.distinct))
        length = np.clip(np.round(random.lognormal(3.0, 0.5, pool)), 4, 150)
        z_length = (np.log(length) - 3.0) / 0.5
        own = random.normal(size=pool)
        z = -0.8 * z_length + 0.6 * own if kind == "length" else own
        surprisal = np.round(np.exp(-1.0 + 0.5 * z), world.digits)
        latent = {"informative": z, "anti": -z, "length": -z_length, "uninformative": 0 * z}[kind]
        noise = random.standard_t(world.tail, pool)
        base = random.normal(world.few_fast * 2, world.spread)
        speed = 0.15 * (base + world.slope * latent + noise)
        correct = random.random(pool) < random.beta(*world.correct)
        weight = np.arange(1, pool + 1, dtype=float)[random.permutation(pool)] ** -world.popular
        for seed in range(world.seeds):
            for i, j in enumerate(random.choice(pool, size=n, p=weight / weight.sum())):
                sd = float(random.uniform(0.004, 0.02))
                measured = math.exp(float(np.clip(speed[j], -8, 8)) + sd * random.normal())
                half = math.exp(2.576 * sd)
                builder.add(
                    task_id=f"t{t:03d}",
                    replicate=str(seed),
                    sample_id=f"{t}-{seed}-{i}",
                    program=str(j),
                    status=Status.CORRECT if correct[j] else Status.INCORRECT,
                    step=0.0,
                    index=float(i),
                    surprisal=float(surprisal[j]),
                    sum_surprisal=float(surprisal[j] * length[j]),
                    n_tokens=float(length[j]),
                    speedup=measured,
                    ci_low=measured / half if world.intervals else None,
                    ci_high=measured * half if world.intervals else None,
                    pairs=32.0,
                )
    return builder.build()

"""How often is something found where nothing is? Three figures of docs/statistics.md, from simulated studies.

    python -m scripts.null_studies [--studies 40]

Two runs of one policy that differ in their numbers of samples; copies of a program that were measured apart; intervals
of any-of-K where a few tasks are hopeless. Prints a line each.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from longodds.analysis import headline
from longodds.analysis.arms import ArmData
from longodds.analysis.compare import compare_arms
from longodds.analysis.estimators import any_of_k
from longodds.analysis.resampling import Bootstrap
from longodds.analysis.table import Table, TableBuilder
from longodds.types import Status

Z = 2.5758293  # of a 99 % interval
ERROR = 0.03 / 3.6  # standard error of a log speedup, where the fast ones are 3 % faster
SMALL, TASKS = 16, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=40, help="of each kind; five times as many of the other two")
    studies = parser.parse_args().studies
    for large in (SMALL, 128):
        found = sum(_best(number, large) for number in range(studies))
        print(f"{SMALL} and {large} samples of one policy: one is called the best in {found} of {studies}", flush=True)
    for programs in (5, 3):
        table = (_copies(np.random.default_rng(number), programs) for number in range(5 * studies))
        found = sum(headline(t, unit="sample")["p"] < 0.02 for t in table)
        print(f"{programs} programs a task, copies measured apart: p < 0.02 in {found} of {5 * studies}", flush=True)
    for kinds, few, many in ((0.05, 0.0, 0.5), (0.9, 0.002, 0.5)):
        for tasks in (10, 20, 40):
            covered = _covered(tasks, kinds, few, many, 5 * studies)
            print(f"{tasks} tasks, {kinds:.0%} of all of them {few:.1%} fast, others {many:.0%}: {covered}", flush=True)


def _best(number: int, large: int) -> bool:
    rng = np.random.default_rng(number)
    rows = compare_arms([_run(rng, "small", SMALL), _run(rng, "large", large)])["frontier"]
    return next(row for row in rows if row["budget"] == SMALL)["best"] is not None


def _run(rng: np.random.Generator, name: str, k: int) -> ArmData:
    """One sample in ten is 3 % faster, the others are as fast as the reference."""
    table = TableBuilder()
    for task in range(TASKS):
        for i, x in enumerate(0.03 * (rng.random(k) < 0.1) + ERROR * rng.normal(size=k)):
            low, point, high = (math.exp(x + s * Z * ERROR) for s in (-1, 0, 1))
            _add(table, f"s/{task}", i, f"{name}{i}", speedup=point, ci_low=low, ci_high=high, pairs=64.0)
    return ArmData(name, "best_of_n", table.build())


def _copies(rng: np.random.Generator, programs: int) -> Table:
    """A sample is fast by a coin, whatever program it is of; likelihood goes with the program."""
    table = TableBuilder()
    for task in range(20):
        score, share = rng.normal(size=programs), rng.dirichlet(np.ones(programs))
        for i in range(16):
            p = int(rng.choice(programs, p=share))
            _add(table, f"s/{task}", i, str(p), 3 + float(score[p]), speedup=1.01 if rng.random() < 0.5 else 0.99)
    return table.build()


def _add(table: TableBuilder, task: str, i: int, program: str, nats: float = 3.0, **measured: float) -> None:
    table.add(
        task_id=task,
        replicate="0",
        sample_id=f"{task}-{i}",
        program=program,
        status=Status.CORRECT,
        evaluator="",
        step=0.0,
        index=float(i),
        surprisal=nats,
        sum_surprisal=20 * nats,
        n_tokens=20.0,
        sampled_tokens=20.0,
        prompt_tokens=10.0,
        seconds=1.0,
        sampling_seconds=1.0,
        duplicate=0.0,
        **measured,
    )


def _covered(tasks: int, share: float, few: float, many: float, studies: int) -> str:
    """How often 95 % intervals hold the truth, at K = 8 and 32 of 64 samples. A `share` of all tasks has `few` fast
    samples, the others `many`."""
    rng, bootstrap, ks = np.random.default_rng(0), Bootstrap(range(tasks), draws=4000), (8, 32)
    hits = dict.fromkeys(ks, 0)
    for _ in range(studies):
        counts = rng.binomial(64, np.where(rng.random(tasks) < share, few, many))
        values = np.stack([any_of_k(64, int(c), ks) for c in counts])
        for j, k in enumerate(ks):
            truth = share * (1 - (1 - few) ** k) + (1 - share) * (1 - (1 - many) ** k)
            low, high = bootstrap.interval(values[:, j], share=True) or (math.nan, math.nan)
            hits[k] += low <= truth <= high
    return ", ".join(f"{hits[k] / studies:.1%} covered at K = {k}" for k in ks)


if __name__ == "__main__":
    main()

"""What a strategy would have gained if its score said nothing: the null hypothesis that the verdict rests on.

The outcomes of a task's correct programs are permuted among these programs, while every choice, every score and the
number of samples of each program stay as they are. A permutation moves a program's outcome in all seeds at once and in
all samples that wrote it, so that seeds and samples which share programs count for what they are: not independent.

Where nothing is shared (every candidate is a program of its own) this is the same as choosing at random in each cell,
and the number of fast cells has an exact distribution, Poisson-binomial. Elsewhere permutations are drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis.hypotheses import minimum_detectable_effect, permutation_p, poisson_binomial, two_sided
from longodds.analysis.outcomes import METRICS, best_weights, mean_best
from longodds.selection import TIMED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from longodds.analysis.outcomes import CellOutcome, Outcomes

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

ALPHA = 0.02
MAX_DRAWS = 10_000
MIN_DRAWS = 2_000
WORK = 20_000_000
BASELINES = {"random": 1, "random-top3": 3}
"""The exact random strategies and how many each times."""


@dataclass(frozen=True, slots=True)
class Null:
    """Permutation distributions of a study. rows: cells with a correct candidate; flags: per row, (c,) 1.0 where fast.

    fast, log: per strategy, (draws,) sums over `rows` of the value of its choice under permuted outcomes.
    seen, log_seen: per strategy, the same sum with outcomes where they are. A program's outcome is the mean over its
    samples, so that this is not the sum of measured values where its samples were measured apart.
    exact: per baseline, the distribution of the number of fast cells, where no program is shared (else empty).
    chance: per baseline, (draws,) numbers of fast cells of a strategy that succeeds in each cell as often as the
    baseline, in all seeds of a task at once where they share programs (the widest distribution with these chances).
    minimum_detectable: per baseline. n_cells: all cells.
    """

    rows: list[CellOutcome]
    flags: list[Floats]
    n_cells: int
    fast: dict[str, Floats]
    log: dict[str, Floats]
    seen: dict[str, float]
    log_seen: dict[str, float]
    exact: dict[str, Floats]
    chance: dict[str, Floats]
    minimum_detectable: dict[str, float | None]

    def fast_p(self, a: str, baseline: str, total: float) -> float:
        """Two-sided p of a's `total` number of fast cells.

        Where both time equally many, the null is that a's score says nothing. Where they do not, that would favour
        whoever times more, and the null is that a succeeds as often as the baseline.
        """
        if baseline in self.exact:
            return two_sided(self.exact[baseline], round(total))
        if not fair(a, baseline):
            return permutation_p(total, self.chance[baseline])
        return permutation_p(self.seen[a] - self.seen[baseline], self.fast[a] - self.fast[baseline])

    def log_p(self, a: str, baseline: str) -> float | None:
        """Two-sided p of the difference between sums of log-speedups; None where one of the two times more, or some
        speedup is not known."""
        if a not in self.log or not fair(a, baseline):
            return None
        return permutation_p(self.log_seen[a] - self.log_seen[baseline], self.log[a] - self.log[baseline])

    def hits_p(self, chances: Floats, hits: int) -> float:
        """Two-sided p of so many fast choices where those of `rows` are fast with these chances: exact where no two
        cells of a task share programs, else by draws, one for all cells of a task that do."""
        groups = by_task(self.rows)
        if all(_apart(cells) for cells in groups):
            return two_sided(poisson_binomial(chances), hits)
        split = np.split(chances, np.cumsum([len(cells) for cells in groups])[:-1])
        u = np.random.default_rng(0).random((MIN_DRAWS, len(self.rows)))
        return permutation_p(hits, _comonotone(groups, [c.tolist() for c in split], u))

    def spread(self, a: str, baseline: str) -> float:
        """Standard deviation of the difference in the share of fast cells."""
        if baseline in self.exact:
            pmf = self.exact[baseline]
            count = np.arange(len(pmf))
            return math.sqrt(float(pmf @ (count - float(pmf @ count)) ** 2)) / self.n_cells
        luck = self.fast[a] - self.fast[baseline] if fair(a, baseline) else self.chance[baseline]
        return float(np.std(luck)) / self.n_cells


def fair(a: str, baseline: str) -> bool:
    """Whether a times as many candidates as the random baseline."""
    return TIMED[a] == BASELINES[baseline]


def permutation_null(found: Outcomes, metric: str, strategies: Sequence[str], *, seed: int = 0) -> Null | None:
    """The null of a fast metric and of log-speedups for these strategies and the baselines.

    A strategy that made no choice in a cell that has one (no log-probabilities) is left out of it. None where a correct
    candidate was not timed.
    """
    rows = [r for r in found.rows if r.keys]
    at, log_at = METRICS.index(metric), METRICS.index("log_speedup")
    if any(bool(np.isnan(r.worth[at]).any()) for r in rows):
        return None
    with_speed = not any(bool(np.isnan(r.worth[log_at]).any()) for r in rows)
    names = [s for s in strategies if s not in BASELINES and all(len(r.chosen[s]) for r in rows)]
    rng = np.random.default_rng(seed)
    groups = by_task(rows)
    draws = min(MAX_DRAWS, max(MIN_DRAWS, WORK // max(sum(len(r.keys) for r in rows), 1)))
    fast = {n: np.zeros(draws + 1) for n in (*names, *BASELINES)}  # the first draw leaves all where it is
    log = {n: np.zeros(draws + 1) for n in (*names, *BASELINES)} if with_speed else {}
    for cells in groups:
        size = max(int(r.program.max()) for r in cells) + 1
        same = np.arange(size, dtype=np.intp)
        order = np.vstack([same, rng.permuted(np.tile(same, (draws, 1)), axis=1)])
        for sums, index in ((fast, at), (log, log_at)) if with_speed else ((fast, at),):
            permuted = program_values(cells, index, size)[order]
            for r in cells:
                _add(sums, r, permuted, names, binary=index == at)
    flags = [r.worth[at] for r in rows]
    shared = any(not distinct_programs([r.program for r in cells]) for cells in groups)
    exact: dict[str, Floats] = {}
    chance: dict[str, Floats] = {}
    least: dict[str, float | None] = {}
    for name, m in BASELINES.items():
        q = [[min(1.0, float(mean_best(r.worth[at], min(m, len(r.keys))))) for r in cells] for cells in groups]
        if not shared:
            exact[name] = poisson_binomial([x for task in q for x in task])
        chance[name] = _comonotone(groups, q, rng.random((draws, len(rows))))
        units = [x for cells, task in zip(groups, q, strict=True) for x in _units(cells, task)]
        units += [(0.0, 1)] * (len(found.rows) - len(rows))
        least[name] = minimum_detectable_effect([x for x, _ in units], cells=[n for _, n in units], alpha=ALPHA)
    return Null(
        rows,
        flags,
        len(found.rows),
        fast=_drawn(fast),
        log=_drawn(log),
        seen=_seen(fast),
        log_seen=_seen(log),
        exact=exact,
        chance=chance,
        minimum_detectable=least,
    )


def _drawn(sums: dict[str, Floats]) -> dict[str, Floats]:
    return {name: x[1:] for name, x in sums.items()}


def _seen(sums: dict[str, Floats]) -> dict[str, float]:
    return {name: float(x[0]) for name, x in sums.items()}


def _comonotone(groups: list[list[CellOutcome]], q: list[list[float]], u: Floats) -> Floats:
    """(draws,) sums of cells that succeed with chances q, all cells of a task by one draw where they share programs. u:
    (draws, cells) uniform."""
    total = np.zeros(len(u))
    at = 0
    for cells, chances in zip(groups, q, strict=True):
        drawn = u[:, at : at + len(cells)]
        total += ((drawn if _apart(cells) else drawn[:, :1]) < np.asarray(chances)).sum(axis=1)
        at += len(cells)
    return total


def _apart(cells: list[CellOutcome]) -> bool:
    """Whether no two cells of a task have a program in common."""
    return distinct_programs([np.unique(r.program) for r in cells])


def _units(cells: list[CellOutcome], q: list[float]) -> list[tuple[float, int]]:
    """(chance, cells) of what is independent: a task whose seeds share programs is one."""
    return [(x, 1) for x in q] if _apart(cells) else [(float(np.mean(q)), len(q))]


def _add(sums: dict[str, Floats], r: CellOutcome, permuted: Floats, names: list[str], *, binary: bool) -> None:
    """Add one cell's values under permuted outcomes, (draws, programs of the task), to the strategies' sums."""
    for name in names:
        sums[name] += permuted[:, r.program[r.chosen[name]]].max(axis=1)
    counts = np.bincount(r.program, minlength=permuted.shape[1]).astype(np.float64)
    c = len(r.program)
    total = permuted @ counts
    for name, m in BASELINES.items():
        if m == 1:
            sums[name] += total / c
        elif binary:  # the chance that m of c include one of the fast ones, linear between whole numbers of them
            chance = np.append(0.0, np.cumsum(best_weights(c, min(m, c))[::-1]))
            sums[name] += np.interp(total, np.arange(c + 1), chance)
        elif bool((counts == 1).all()):
            sums[name] += mean_best(permuted[0], min(m, c))
        else:
            sums[name] += mean_best(permuted[:, r.program], min(m, c))


def program_values(cells: Sequence[CellOutcome], metric: int, size: int) -> Floats:
    """(size,) outcome of each program of a task, the mean over its candidates in all seeds."""
    program = np.concatenate([r.program for r in cells])
    value = np.concatenate([r.worth[metric] for r in cells])
    return np.bincount(program, value, size) / np.bincount(program, minlength=size)


def by_task(rows: Sequence[CellOutcome]) -> list[list[CellOutcome]]:
    """Cells grouped by their task, in order."""
    groups: dict[str, list[CellOutcome]] = {}
    for r in rows:
        groups.setdefault(r.cell.task_id, []).append(r)
    return list(groups.values())


def distinct_programs(programs: Sequence[Ints]) -> bool:
    """Whether every candidate of these cells is a program of its own. programs: per cell, (c,) program numbers."""
    every = np.concatenate(programs)
    return len(np.unique(every)) == len(every)

"""What each strategy's choice was worth: strategies x metrics x cells, timings joined after choosing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis.estimators import fast_flags, log_binomial
from longodds.selection import STRATEGIES, Choice, select_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from longodds.analysis.pool import Cell, Pools

    Floats = NDArray[np.float64]

ORACLE = "oracle"
NAMES: tuple[str, ...] = (ORACLE, *STRATEGIES)
METRICS = ("fast_1", "fast_1_sig", "fast_1.05", "fast_1.05_sig", "speedup", "log_speedup")


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """One cell, its correct candidates in the order of `keys`.

    worth: (metrics, c) value of each candidate; tokens: (c,); program: (c,) index of its program among those of the
    task, the same in all its cells; chosen: per strategy, positions in `keys`;
    value: (strategies, metrics), where random is an expectation and a strategy that times several has the best one.
    """

    cell: Cell
    keys: list[str]
    worth: Floats
    tokens: Floats
    program: NDArray[np.intp]
    chosen: dict[str, NDArray[np.intp]]
    sizes: dict[str, int]
    value: Floats


@dataclass(frozen=True, slots=True)
class Outcomes:
    """All cells. table: (strategies, metrics, cells); nan where a choice was not timed, or there was nothing to choose
    (speedup metrics only: fast counts 0 there). task: (cells,) index of the task."""

    rows: list[CellOutcome]
    table: Floats
    task: NDArray[np.intp]
    task_ids: list[str]

    def of(self, strategy: str, metric: str) -> Floats:
        """(cells,) values."""
        return self.table[NAMES.index(strategy), METRICS.index(metric)]


def outcomes(pools: Pools, *, seed: int = 0) -> Outcomes:
    """Choose in every cell, then look up what the choices are worth. `seed` breaks ties."""
    numbers: dict[str, dict[int, int]] = {}
    rows = [_outcome(cell, seed, numbers.setdefault(cell.task_id, {})) for cell in pools.cells]
    task_ids = [t.task_id for t in pools.tasks]
    position = {name: i for i, name in enumerate(task_ids)}
    return Outcomes(
        rows=rows,
        table=np.stack([r.value for r in rows], axis=2),
        task=np.array([position[r.cell.task_id] for r in rows], dtype=np.intp),
        task_ids=task_ids,
    )


def _outcome(cell: Cell, seed: int, numbers: dict[int, int]) -> CellOutcome:
    """numbers: of the task's correct programs, filled as they are met."""
    at = np.array([i for i, c in enumerate(cell.candidates) if c.correct], dtype=np.intp)
    correct = [cell.candidates[i] for i in at]
    keys = [c.key for c in correct]
    position = {key: i for i, key in enumerate(keys)}
    speedup, ci_low = cell.speedup[at], cell.ci_low[at]
    right = np.ones(len(keys), dtype=bool)
    known = np.where(speedup > 0, speedup, math.nan)
    worth = np.stack(
        [
            fast_flags(right, speedup, 1.0),
            fast_flags(right, ci_low, 1.0),
            fast_flags(right, speedup, 1.05),
            fast_flags(right, ci_low, 1.05),
            known,
            np.log(known),
        ]
    )
    choices = {ORACLE: Choice(ORACLE, tuple(keys), max(len(keys), 1)), **select_all(cell.candidates, seed=seed)}
    chosen = {n: np.array([position[k] for k in choices[n].keys], dtype=np.intp) for n in NAMES}
    sizes = {n: min(choices[n].m, len(chosen[n])) for n in NAMES}
    value = np.stack([_value(worth, chosen[n], sizes[n], uniform=choices[n].uniform, n=len(keys)) for n in NAMES])
    tokens = np.array([c.n_tokens for c in correct], dtype=np.float64)
    program = np.array([numbers.setdefault(int(p), len(numbers)) for p in cell.program[at]], dtype=np.intp)
    return CellOutcome(cell, keys, worth, tokens, program, chosen, sizes, value)


def _value(worth: Floats, chosen: NDArray[np.intp], m: int, *, uniform: bool, n: int) -> Floats:
    if not n:
        return np.array([0.0, 0.0, 0.0, 0.0, math.nan, math.nan])
    if not len(chosen):
        return np.full(len(worth), math.nan)
    picked = worth[:, chosen]
    if not uniform:
        return picked.max(axis=1)
    return mean_best(picked, m)


def mean_best(values: Floats, m: int) -> Floats:
    """Expected largest of a random m-subset of the last axis, (..., c) -> (...). Equal values give exactly theirs."""
    least = values.min(axis=-1)
    return least + (np.sort(values, axis=-1) - least[..., None]) @ best_weights(values.shape[-1], m)


def best_weights(n: int, m: int) -> Floats:
    """Probability that the i-th smallest of n is the largest of a random m-subset: C(i-1, m-1) / C(n, m)."""
    return np.exp(log_binomial(np.arange(n), m - 1) - log_binomial(n, m))

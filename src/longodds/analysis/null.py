"""What choices would have given if the score said nothing: the null hypothesis of every selection strategy.

In a cell, any correct candidate could as well have been chosen. Between the seeds of a task there is one more thing to
keep: a score belongs to a program, so where several seeds wrote the same programs their choices go together, and three
seeds are not three times the evidence. Programs that share nothing give independent cells and an exact distribution;
tasks whose seeds share programs are drawn, all seeds from one random order of the task's programs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis.hypotheses import convolve_all, minimum_detectable_effect, poisson_binomial
from longodds.analysis.outcomes import METRICS, mean_best

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from longodds.analysis.outcomes import CellOutcome, Outcomes

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

ALPHA = 0.02
MAX_DRAWS = 10_000
MIN_DRAWS = 2_000
WORK = 40_000_000


@dataclass(frozen=True, slots=True)
class ChoiceNull:
    """What m random choices a cell would have given, the baseline of every strategy that times m.

    rows: cells with a correct candidate; flags: per row, (c,) 1.0 where fast; pmf: of the number of fast cells if
    a score said nothing; spread: standard deviation of their share; n_cells: all cells.
    log_sums: (draws,) sums over `rows` of the log-speedup of such choices.
    """

    rows: list[CellOutcome]
    flags: list[Floats]
    pmf: Floats
    spread: float
    minimum_detectable: float | None
    n_cells: int
    log_sums: Floats


def choice_null(found: Outcomes, metric: str, *, m: int = 1, seed: int = 0) -> ChoiceNull | None:
    """The null distribution of a fast metric and of log-speedups; None where a correct candidate was not timed."""
    rows = [r for r in found.rows if r.keys]
    at, log_at = METRICS.index(metric), METRICS.index("log_speedup")
    if any(bool(np.isnan(r.worth[[at, log_at]]).any()) for r in rows):
        return None
    rng = np.random.default_rng(seed)
    draws = min(MAX_DRAWS, max(MIN_DRAWS, WORK // max(sum(len(r.keys) for r in rows), 1)))
    log_sums = np.zeros(draws)
    pmfs: list[Floats] = []
    chances: list[float] = []
    for members in by_task(rows):
        q = [min(1.0, float(mean_best(r.worth[at], min(m, len(r.keys))))) for r in members]
        hits = np.zeros(draws, dtype=np.intp)
        for r, chosen in zip(members, draw_choices([r.program for r in members], m, draws, rng), strict=True):
            picked = r.worth[:, chosen].max(axis=2) if m > 1 else r.worth[:, chosen[:, 0]]
            log_sums += picked[log_at]
            hits += picked[at] > 0
        if shared_programs([r.program for r in members]):
            pmfs.append(np.bincount(hits, minlength=len(members) + 1) / draws)
            chances.append(float(np.mean(q)))
        else:
            pmfs.append(poisson_binomial(q))
            chances += q
    pmf = convolve_all(pmfs)
    count = np.arange(len(pmf))
    variance = float(pmf @ (count - float(pmf @ count)) ** 2)
    empty = len(found.rows) - len(rows)
    return ChoiceNull(
        rows=rows,
        flags=[r.worth[at] for r in rows],
        pmf=pmf,
        spread=math.sqrt(variance) / len(found.rows),
        minimum_detectable=minimum_detectable_effect([*chances, *[0.0] * empty], alpha=ALPHA),
        n_cells=len(found.rows),
        log_sums=log_sums,
    )


def by_task(rows: Sequence[CellOutcome]) -> list[list[CellOutcome]]:
    """Cells grouped by their task, in order."""
    groups: dict[str, list[CellOutcome]] = {}
    for r in rows:
        groups.setdefault(r.cell.task_id, []).append(r)
    return list(groups.values())


def shared_programs(programs: Sequence[Ints]) -> bool:
    """Whether two cells of a task hold the same program. programs: per cell, the program of each candidate."""
    distinct = [np.unique(p) for p in programs]
    return len(np.unique(np.concatenate(distinct))) < sum(len(d) for d in distinct)


def draw_choices(programs: Sequence[Ints], m: int, draws: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Per cell of one task, (draws, min(m, c)) random choices among its candidates, every m-subset equally likely.

    programs: per cell, (c,) index of each candidate's program in the task; samples of one program share it. One
    exponential clock per program (m = 1, running as fast as the cell has samples of it) or per copy of a program
    (m > 1) rings in all cells at once; the first to ring are chosen.
    """
    size = max(int(p.max()) for p in programs) + 1
    if m == 1:
        clocks = rng.standard_exponential((draws, size), dtype=np.float32)
        for p in programs:
            kinds, counts = np.unique(p, return_counts=True)
            first = np.argmin(clocks[:, kinds] / counts.astype(np.float32), axis=1)
            if bool((counts == 1).all()):
                yield np.argsort(p, kind="stable")[first][:, None]
                continue
            starts = np.cumsum(counts) - counts
            copy = (rng.random(draws) * counts[first]).astype(np.intp)
            yield np.argsort(p, kind="stable")[starts[first] + copy][:, None]
        return
    copies = [_copy_number(p) for p in programs]
    width = max(int(c.max()) for c in copies) + 1
    clocks = rng.random((draws, size * width), dtype=np.float32)
    for p, c in zip(programs, copies, strict=True):
        mine = clocks[:, p * width + c]
        if len(p) <= m:
            yield np.broadcast_to(np.arange(len(p)), (draws, len(p)))
        else:
            yield np.argpartition(mine, m - 1, axis=1)[:, :m]


def _copy_number(programs: Ints) -> Ints:
    """0 for the first candidate of a program, 1 for its second, ..."""
    seen: dict[int, int] = {}
    out = np.empty(len(programs), dtype=np.intp)
    for i, p in enumerate(programs.tolist()):
        out[i] = seen.get(p, 0)
        seen[p] = out[i] + 1
    return out

"""Would length alone explain the choice? The chance of being fast given length, fitted and compared with the choice.

Improbable programs are often short (each token adds certainty), and short programs may be fast for reasons of
their own. So the question is asked again with "a random candidate" replaced by "a random candidate as long as the
chosen one": a logistic regression of fast on the length rank inside the cell (cubic, one shape for all tasks, an
intercept for every cell) gives each chosen candidate's chance, and the number of fast ones is tested against these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longodds.analysis.library import rank

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RIDGE = 0.05
"""Pseudo-observations' worth of shrinkage, so that cells whose candidates are all fast keep a finite intercept."""


@dataclass(frozen=True, slots=True)
class LengthAdjusted:
    """estimate: mean over cells of (chosen is fast - chance at its length); p: two-sided, given the chances."""

    estimate: float
    p: float


def length_rank(tokens: Floats) -> Floats:
    """Rank of the length inside a cell, scaled to [-1, 1]; ties share their mean; 0 for a single candidate."""
    n = len(tokens)
    return (rank(tokens) - (n + 1) / 2) / max((n - 1) / 2, 1.0)


def length_adjusted(
    tokens: Sequence[Floats],
    fast: Sequence[Floats],
    chosen: Sequence[int],
    n_cells: int,
    p: Callable[[Floats, int], float],
) -> LengthAdjusted | None:
    """tokens, fast: per cell with a correct candidate, (c,) each; chosen: its index. n_cells counts the others too. p:
    of a number of fast choices, given the chance of each (`Null.hits_p`).

    None if no length differs anywhere: there is nothing to adjust for.
    """
    z = [length_rank(t) for t in tokens]
    if not any(bool((x != x[0]).any()) for x in z):
        return None
    chance = _fitted(z, fast)
    picked = np.array([c[i] for c, i in zip(chance, chosen, strict=True)])
    hits = int(sum(f[i] for f, i in zip(fast, chosen, strict=True)))
    return LengthAdjusted((hits - float(picked.sum())) / n_cells, p(picked, hits))


def _fitted(z: Sequence[Floats], fast: Sequence[Floats]) -> list[Floats]:
    """Chances by logistic regression, an intercept per cell and one cubic in z; Newton, cells by Schur complement."""
    sizes = [len(x) for x in z]
    cell = np.repeat(np.arange(len(z)), sizes)
    x, y = np.concatenate(z), np.concatenate(fast)
    basis = np.stack([x, 1.5 * x**2 - 0.5, 2.5 * x**3 - 1.5 * x], axis=1)
    intercept, slope = np.zeros(len(z)), np.zeros(3)
    for _ in range(60):
        p = 1 / (1 + np.exp(-np.clip(intercept[cell] + basis @ slope, -30, 30)))
        w = p * (1 - p)
        gradient_a = np.bincount(cell, y - p, len(z)) - RIDGE * intercept
        gradient_b = basis.T @ (y - p) - RIDGE * slope
        diagonal = np.bincount(cell, w, len(z)) + RIDGE
        cross = np.stack([np.bincount(cell, w * basis[:, j], len(z)) for j in range(3)], axis=1)
        corner = (basis * w[:, None]).T @ basis + RIDGE * np.eye(3)
        schur = corner - cross.T @ (cross / diagonal[:, None])
        step_b = np.linalg.solve(schur, gradient_b - cross.T @ (gradient_a / diagonal))
        step_a = (gradient_a - cross @ step_b) / diagonal
        largest = float(max(np.abs(step_a).max(), np.abs(step_b).max()))
        damp = min(1.0, 2.0 / largest) if largest > 0 else 1.0
        intercept, slope = intercept + damp * step_a, slope + damp * step_b
        if largest < 1e-9:
            break
    p = 1 / (1 + np.exp(-np.clip(intercept[cell] + basis @ slope, -30, 30)))
    return np.split(p, np.cumsum(sizes)[:-1])

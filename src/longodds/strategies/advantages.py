"""From rewards to advantages: how much better than the others a sample did.

A round holds groups: the samples of one task. Every function takes the rewards group by group and returns advantages of
the same shape, zero where all rewards are equal: then there is nothing to tell apart, and dividing by a spread that is
rounding alone would make noise of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

import numpy as np

from longodds.strategies.learning_settings import Advantage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ADVANTAGES: tuple[str, ...] = get_args(Advantage)
ENTROPIC_KL = math.log(2.0)
_EQUAL = 1e-9  # of the largest reward: spreads below it are rounding


def advantages(kind: Advantage, rewards: Sequence[Sequence[float]]) -> list[list[float]]:
    """Advantages of the samples of a round, group by group.

    rewards: of each group (a task), finite, of any length. kind:
    `global`, (r - mean) / sd over all samples of all groups together (the seed release's);
    `group`, the same inside each group (GRPO, Shao et al. 2024, arXiv:2402.03300);
    `loo`, r minus the mean of the others of its group (RLOO, Ahmadian et al. 2024, arXiv:2402.14740);
    `entropic`, n q - 1 with q proportional to exp(beta r) in the group, beta such that KL(q || uniform) = ln 2, or as
    near to it as ties at the top allow: the best get nearly all the credit (TTT-Discover, 2026; with the mean over the
    whole group as normaliser, so that advantages sum to zero).
    Standard deviations are of the population. Raises ValueError for a reward that is not finite or an unknown kind.
    """
    if kind not in _OF_GROUP and kind != "global":
        raise ValueError(f"unknown advantage {kind!r}; known: {', '.join(ADVANTAGES)}")
    groups = [np.asarray(g, dtype=np.float64) for g in rewards]
    if any(not bool(np.isfinite(g).all()) for g in groups):
        raise ValueError("a reward is not a finite number")
    if kind == "global":
        every = np.concatenate(groups) if groups else np.zeros(0)
        ends = np.cumsum([len(g) for g in groups])[:-1]
        return [part.tolist() for part in np.split(_standardised(every), ends)] if groups else []
    return [_OF_GROUP[kind](g).tolist() for g in groups]


def _told_apart(r: Floats) -> bool:
    return len(r) > 1 and float(np.ptp(r)) > _EQUAL * max(1.0, float(np.abs(r).max()))


def _standardised(r: Floats) -> Floats:
    return (r - r.mean()) / r.std() if _told_apart(r) else np.zeros(len(r))


def _leave_one_out(r: Floats) -> Floats:
    return (r - r.mean()) * (len(r) / (len(r) - 1)) if _told_apart(r) else np.zeros(len(r))


def _entropic(r: Floats) -> Floats:
    if not _told_apart(r):
        return np.zeros(len(r))
    scaled = (r - r.max()) / np.ptp(r)
    top = int((scaled > -_EQUAL).sum())
    # The most that beta can reach is all mass on the ties at the top.
    wanted = min(ENTROPIC_KL, 0.999 * math.log(len(r) / top))
    low, high = 0.0, 1.0
    while _divergence(scaled, high) < wanted:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(scaled, middle) < wanted else (low, middle)
    return len(r) * _tilted(scaled, high) - 1.0


def _tilted(scaled: Floats, beta: float) -> Floats:
    q = np.exp(beta * scaled)
    return q / q.sum()


def _divergence(scaled: Floats, beta: float) -> float:
    """KL(q || uniform), nats."""
    q = _tilted(scaled, beta)
    return float((q * np.log(np.maximum(q, 1e-300))).sum()) + math.log(len(q))


_OF_GROUP: dict[str, Callable[[Floats], Floats]] = {
    "group": _standardised,
    "loo": _leave_one_out,
    "entropic": _entropic,
}

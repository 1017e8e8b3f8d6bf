"""Scores of the correct candidates of one cell: one number each, higher is chosen first, nan is never chosen.

All see the candidates of the whole cell, since some scores are relative: what is improbable *for its length*, or both
per token and in total. Shapes: c candidates in, (c,) scores out. None depends on the order of the candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from longodds.types import Candidate

    Floats = NDArray[np.float64]

CURVED_FROM = 12
"""Candidates from which the dependence on length may bend; with fewer a parabola would fit the noise."""


def surprisal(cell: Sequence[Candidate]) -> Floats:
    return _column([c.surprisal for c in cell])


def sum_surprisal(cell: Sequence[Candidate]) -> Floats:
    return _column([c.sum_surprisal for c in cell])


def length(cell: Sequence[Candidate]) -> Floats:
    return _column([c.n_tokens for c in cell])


def popularity(cell: Sequence[Candidate]) -> Floats:
    return _column([c.popularity for c in cell])


def tail_entropy(cell: Sequence[Candidate]) -> Floats:
    return _column([c.tail_entropy for c in cell])


def self_certainty(cell: Sequence[Candidate]) -> Floats:
    return _column([c.self_certainty for c in cell])


def surprisal_given_length(cell: Sequence[Candidate]) -> Floats:
    """What is left of the surprisal after a least-squares fit on the rank of the length inside the cell: how
    improbable a program is among programs as long as itself. Equal lengths: the surprisal less its mean."""
    score = surprisal(cell)
    known = np.isfinite(score)
    if int(known.sum()) < 3:
        return score
    z = _rank(length(cell)[known])
    columns = [np.ones_like(z), z] + ([z**2] if len(z) >= CURVED_FROM else [])
    basis = np.stack(columns, axis=1)
    fit, *_ = np.linalg.lstsq(basis, score[known], rcond=None)
    left = np.full(len(score), np.nan)
    left[known] = score[known] - basis @ fit
    return left


def standardised_surprisal(cell: Sequence[Candidate]) -> Floats:
    """Mean and summed surprisal, each standardised over the correct candidates of the cell, added: improbable both
    per token and in total. (Standardising one score alone moves no candidate past another.)"""
    return _standardise(surprisal(cell)) + _standardise(sum_surprisal(cell))


def _standardise(score: Floats) -> Floats:
    known = score[np.isfinite(score)]
    spread = float(known.std()) if len(known) else 0.0
    centre = float(known.mean()) if len(known) else 0.0
    return (score - centre) / (spread if spread > 1e-12 else 1.0)


def _rank(values: Floats) -> Floats:
    """Ranks scaled to [-1, 1], ties at the mean of theirs."""
    order, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean = last - (counts - 1) / 2
    n = len(values)
    return (mean[inverse] - (n + 1) / 2) / max((n - 1) / 2, 1.0) if len(order) > 1 else np.zeros(n)


def _column(values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)

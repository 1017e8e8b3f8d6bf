"""When more samples of a cell are not worth drawing: their expected gain, from those that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longodds.strategies.rewards import reward_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.types import Sample

LOOK_EVERY = 8
"""Samples between two looks, and how many more are weighed at each."""


def expected_gain(samples: Sequence[Sample], more: int = LOOK_EVERY) -> float | None:
    """By what share `more` samples are expected to raise the best verified speedup of these n, at most.

    With B(m) the expected best of m of them (Chen et al.'s counting, `expected_best`; the reference is kept, so at
    least 1), it is B(n) / B(n - more) - 1: what the last ones gave, averaged over all orders. The gain of a maximum of
    exchangeable samples shrinks with n, so in expectation the next ones give no more. None where nothing is known: no
    sample is correct, or one has no verdict. samples: judged, exchangeable.
    """
    from longodds.analysis.estimators import expected_best

    verdicts = [s.verdict for s in samples if s.verdict is not None]
    if len(verdicts) < len(samples) or not any(v.correct for v in verdicts):
        return None
    values = [max(1.0, reward_of(v, "verified")) for v in verdicts]
    n = len(values)
    before = float(expected_best(values, [n - more])[0]) if n > more else 1.0
    return max(max(values) / before - 1.0, 0.0)  # rounding

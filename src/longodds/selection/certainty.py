"""Confidence from the distribution at each token and not only from the token that was taken: rivals of surprisal.

Both need the top-k log-probabilities of every token (`Completion.top_logprobs`). With k below the vocabulary they are
approximations over the k stored ones. Nothing here is a selector: these are scores of one sample.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.types import Completion

TAIL_SHARE = 0.25
TAIL_LEAST = 16


def token_entropy(top: Sequence[float]) -> float:
    """Entropy in nats of one token's distribution, what the stored ones leave over counted as one more token."""
    inside = [math.exp(x) for x in top]
    rest = max(0.0, 1.0 - math.fsum(inside))
    total = -math.fsum(p * x for p, x in zip(inside, top, strict=True) if p > 0)
    return total - (rest * math.log(rest) if rest > 0 else 0.0)


def token_certainty(top: Sequence[float]) -> float:
    """KL divergence of the uniform distribution over the k stored tokens from theirs, nats: -log k - mean log p."""
    return -math.log(len(top)) - math.fsum(top) / len(top)


def certainty_of(completion: Completion) -> tuple[float, float]:
    """(tail entropy, self-certainty) over the score span; nan where a token has no finite top-k log-probabilities.

    tail entropy: median entropy of the last quarter of the span, of at least 16 tokens (its_hub's selector, which
    takes the lowest). self-certainty: mean over the span of `token_certainty` (Kang et al. 2025, arXiv:2502.18581).
    """
    start, end = completion.score_span
    top = None if completion.top_logprobs is None else completion.top_logprobs[start:end]
    if not top or len(top) != end - start or any(not row or not all(map(math.isfinite, row)) for row in top):
        return math.nan, math.nan
    tail = top[-max(TAIL_LEAST, math.ceil(TAIL_SHARE * len(top))) :]
    return (
        statistics.median(token_entropy(row) for row in tail),
        math.fsum(token_certainty(row) for row in top) / len(top),
    )

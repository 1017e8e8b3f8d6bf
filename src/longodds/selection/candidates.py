"""From samples to what a selector may see: correctness, likelihood, length. Timings stop here.

Surprisal of a sample is the mean negative log-probability per token of its `score_span`, in nats, at
temperature 1 under the policy that sampled it; the sum instead for the `sum-` strategies. A distinct
program (equal `program_digest`) gets the mean over its samples.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from longodds.errors import UserError
from longodds.types import Candidate, Completion, Sample, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

Unit = Literal["program", "sample"]


def surprisal_of(completion: Completion) -> tuple[float, float, int]:
    """(mean, sum, tokens): negative log-probability over the score span, nats; mean and sum are nan when the span
    is empty or its log-probabilities are missing or not finite, so that nothing is chosen on a made-up score."""
    start, end = completion.score_span
    span = completion.logprobs[start:end]
    length = max(end - start, 0)
    if not span or len(span) != length:
        return math.nan, math.nan, length
    total = -math.fsum(span)
    if not math.isfinite(total):
        return math.nan, math.nan, length
    return total / length, total, length


def judged(sample: Sample) -> bool:
    """Whether the program has an outcome; an infrastructure error is ours, not the program's."""
    return sample.verdict is not None and sample.verdict.status is not Status.INFRA_ERROR


def candidate_key(sample: Sample, unit: Unit) -> str:
    """What names a sample's candidate: the sample itself, or the program it wrote."""
    return sample.program_digest if unit == "program" else sample.sample_id


def to_candidates(samples: Iterable[Sample], unit: Unit = "program") -> list[Candidate]:
    """Candidates of one cell (the samples of one task and seed), in order of first appearance.

    Samples without an outcome are left out. A distinct program counts as correct only if every one of its
    judged samples was; `surprisal`, `sum_surprisal` and `n_tokens` are means over its samples (those with
    log-probabilities, for the first two). Raises UserError for another unit.
    """
    if unit not in ("program", "sample"):
        raise UserError(f"unit {unit!r}: expected 'program' or 'sample'")
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        if judged(sample):
            groups.setdefault(candidate_key(sample, unit), []).append(sample)
    return [_candidate(key, group) for key, group in groups.items()]


def _candidate(key: str, group: list[Sample]) -> Candidate:
    scores = [surprisal_of(s.completion) for s in group]
    scored = [s for s in scores if not math.isnan(s[0])]
    mean, total = (
        (math.fsum(s[0] for s in scored) / len(scored), math.fsum(s[1] for s in scored) / len(scored))
        if scored
        else (math.nan, math.nan)
    )
    return Candidate(
        key=key,
        correct=all(s.verdict is not None and s.verdict.correct for s in group),
        surprisal=mean,
        sum_surprisal=total,
        n_tokens=sum(s[2] for s in scores) / len(scores),
        count=len(group),
    )

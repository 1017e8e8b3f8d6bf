"""From samples to what a selector may see: correctness, likelihood, length. Timings stop here.

Surprisal of a sample is the mean negative log-probability per token of its `score_span`, in nats, at
temperature 1 under the policy that sampled it; the sum instead for the `sum-` strategies. A distinct
program (equal `program_digest`) gets the mean over its samples.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Literal

from longodds.errors import UserError
from longodds.selection.certainty import certainty_of
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
    if not span and completion.mean_logprob is not None:
        return -completion.mean_logprob, -completion.mean_logprob * length, length
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
    judged samples was; its scores and `n_tokens` are means over its samples (those that have the score).
    Raises UserError for another unit.
    """
    if unit not in ("program", "sample"):
        raise UserError(f"unit {unit!r}: expected 'program' or 'sample'")
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        if judged(sample):
            groups.setdefault(candidate_key(sample, unit), []).append(sample)
    written = Counter(sample.program_digest for group in groups.values() for sample in group)
    return [_candidate(key, group, written[group[0].program_digest]) for key, group in groups.items()]


def _candidate(key: str, group: list[Sample], popularity: int) -> Candidate:
    scores = [surprisal_of(s.completion) for s in group]
    certainty = [certainty_of(s.completion) for s in group]
    return Candidate(
        key=key,
        correct=all(s.verdict is not None and s.verdict.correct for s in group),
        surprisal=_mean_known(s[0] for s in scores),
        sum_surprisal=_mean_known(s[1] for s in scores),
        n_tokens=sum(s[2] for s in scores) / len(scores),
        count=len(group),
        popularity=popularity,
        tail_entropy=_mean_known(c[0] for c in certainty),
        self_certainty=_mean_known(c[1] for c in certainty),
    )


def _mean_known(values: Iterable[float]) -> float:
    """Mean of those that are not nan; nan if none is known."""
    known = [v for v in values if not math.isnan(v)]
    return math.fsum(known) / len(known) if known else math.nan

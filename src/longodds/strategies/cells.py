"""Cells, a task and a seed each: their samples, and the row that sums one up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longodds.selection import surprisal_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.types import Sample, Verdict

Cells = dict[tuple[str, int], list["Sample"]]


def by_cell(samples: Sequence[Sample]) -> Cells:
    """(task id, seed) -> samples, in their order."""
    cells: Cells = {}
    for sample in samples:
        cells.setdefault((sample.task_id, sample.seed), []).append(sample)
    return cells


def faster(verdicts: Sequence[Verdict]) -> int | None:
    """How many are faster by their point speedup; None where one is not known."""
    return sum(v.correct and (v.speedup or 0.0) > 1 for v in verdicts) if not any(v.untold for v in verdicts) else None


def verified(verdicts: Sequence[Verdict]) -> int | None:
    """How many are verified to be faster; None where a speedup has no interval to tell it by, or one is not known."""
    timed = [v for v in verdicts if v.correct and v.speedup is not None]
    known = all(v.has_interval for v in timed) and not any(v.untold for v in verdicts)
    return sum((v.ci_low or 0.0) > 1 for v in timed) if known else None


def cell_metrics(strategy: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """One row of metrics.jsonl: counts of a finished cell. Surprisal in nats per token, speedups as measured.

    A task's winner is measured again only when all its cells are finished, so the row has its first speedup. step: the
    last one of the samples.
    """
    verdicts = [s.verdict for s in samples if s.verdict is not None]
    statuses = [v.status.value for v in verdicts]
    scores = [score for score, _, _ in (surprisal_of(s.completion) for s in samples) if score == score]
    return {
        "strategy": strategy,
        "step": max(s.step for s in samples),
        "task_id": samples[0].task_id,
        "seed": samples[0].seed,
        "n": len(samples),
        "distinct": len({s.program_digest for s in samples}),
        "statuses": {name: statuses.count(name) for name in sorted(set(statuses))},
        "timed": sum(v.speedup is not None for v in verdicts),
        "fast_1": faster(verdicts),
        "fast_1_sig": verified(verdicts),
        "best_speedup": max((v.speedup for v in verdicts if v.correct and v.speedup is not None), default=None),
        "mean_surprisal": round(sum(scores) / len(scores), 6) if scores else None,
        "mean_tokens": round(sum(len(s.completion.token_ids) for s in samples) / len(samples), 3),
    }
